"""The demo walks its whole story; here on films that are made up, from a folder of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kgrecall.cli.app import app
from kgrecall.cli.demo_story import sparkline


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """The atomic files of MovieLens-100k in miniature: two tastes, films 1-200, a small knowledge graph."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "films"
    folder.mkdir()
    users, items = range(1, 61), range(1, 201)
    people = [f"{u}\t{20 + u % 40}\tF\twriter\t00000" for u in users]
    genres = ["Sci-Fi Action" if i % 2 else "Romance Comedy" for i in items]
    titles = [f"{i}\tFilm {i} of {'stars' if i % 2 else 'hearts'}\t{1950 + i % 50}\t{genres[i - 1]}" for i in items]
    triples = [f"m.{i}\tfilm.film.directed_by\tm.d{i % 2}{i % 8}" for i in items]
    events = []
    for u in users:
        liked = [i for i in items if i % 2 == u % 2]
        chosen = rng.choice(liked, 25, replace=False)
        events += [f"{u}\t{i}\t4.0\t{880_000_000 + int(t)}" for i, t in zip(chosen, rng.integers(0, 10**7, 25), strict=True)]
    tables = {
        "user": ["user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token", *people],
        "item": ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq", *titles],
        "link": ["item_id:token\tentity_id:token", *(f"{i}\tm.{i}" for i in items)],
        "kg": ["head_id:token\trelation_id:token\ttail_id:token", *triples],
        "inter": ["user_id:token\titem_id:token\trating:float\ttimestamp:float", *events],
    }
    for name, lines in tables.items():
        (folder / f"ml-100k.{name}").write_text("\n".join(lines) + "\n")
    return folder


def test_the_whole_story(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRECALL_CACHE", str(tmp_path / "cache"))
    arguments = ["demo", "--data", str(films), "--out", str(tmp_path / "out"), "--encoder", "hashing"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    text = result.stdout
    stations = [
        "MovieLens data",
        "import",
        "graph",
        "encode",
        "train",
        "index",
        "fusion",
        "k = 10",
        "k = 50",
        "Why these?",
        "report:",
    ]
    places = [text.index(word) for word in stations]
    assert places == sorted(places)
    for system in ("plain popularity", "tuned item-kNN", "vector", "attributes", "neighbors", "text", "fused"):
        assert system in text
    assert "space adventure with robots" in text
    assert "'Film " in text, "no explanation names a film"
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert again.exit_code == 0, "a second run in the same folder"
    assert "from the cache" in again.stdout


def test_sparkline_rises_and_falls_with_its_values() -> None:
    assert sparkline([1, 2, 3]) == "▁▅█"
    assert sparkline([5, 5]) == "▁▁"
    assert sparkline([]) == ""
