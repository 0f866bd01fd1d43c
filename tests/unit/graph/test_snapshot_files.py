from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kgrecall import sealed
from kgrecall.errors import ConfigError, CorruptArtifact, StaleArtifact
from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.snapshot import GraphSnapshot

ARRAYS = ("indptr", "indices", "weight", "time", "rev_indptr", "rev_indices", "rev_edge")


@pytest.fixture
def saved(cinema: GraphSnapshot, tmp_path: Path) -> Path:
    cinema.save(tmp_path / "graph")
    return tmp_path / "graph"


def same(one: Adjacency, two: Adjacency) -> bool:
    pairs = [(getattr(one, name), getattr(two, name)) for name in ARRAYS]
    return all((a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in pairs)


@pytest.mark.parametrize("mmap", [True, False])
def test_what_is_saved_is_loaded(mmap: bool, saved: Path, cinema: GraphSnapshot) -> None:
    loaded = GraphSnapshot.load(saved, mmap=mmap)
    assert loaded.schema == cinema.schema
    assert loaded.version == cinema.version
    assert loaded.vocabularies == cinema.vocabularies
    assert loaded.origins == cinema.origins
    assert loaded.counts == cinema.counts
    assert list(loaded.relations) == list(cinema.relations)
    assert all(same(edges, cinema.relations[name]) for name, edges in loaded.relations.items())
    assert loaded.texts("Movie") == cinema.texts("Movie")
    assert loaded.properties["Movie"].equals(cinema.properties["Movie"])
    assert loaded.fingerprint == cinema.fingerprint
    del loaded.__dict__["fingerprint"]
    assert loaded.fingerprint == cinema.fingerprint, "worked out from the loaded content"


def test_a_mapped_snapshot_is_read_only_and_works(saved: Path, cinema: GraphSnapshot) -> None:
    loaded = GraphSnapshot.load(saved)
    edges = loaded.relation(("User", "RATED", "Movie"))
    with pytest.raises(ValueError, match="read-only"):
        edges.weight[0] = 9
    known = cinema.relation(("User", "RATED", "Movie"))
    assert np.array_equal(edges.forward().toarray(), known.forward().toarray())
    assert np.array_equal(edges.backward().toarray(), known.backward().toarray())
    assert len(loaded.with_interactions(loaded.interactions().take(np.array([0]))).interactions()) == 1


def files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def test_nothing_is_left_beside_the_folder(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == ["graph"]
    names = {path.relative_to(saved).as_posix() for path in files(saved)}
    described = json.loads((saved / "manifest.json").read_text())["files"]
    assert names == {"manifest.json", *described}
    assert {"indices.npy", "vocabulary/Movie.parquet", "properties/Topic.parquet"} <= names
    assert "properties/Genre.parquet" not in names


def test_a_flipped_byte_anywhere_is_found_and_named(saved: Path) -> None:
    for path in files(saved):
        whole = path.read_bytes()
        place = len(whole) // 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(CorruptArtifact, match=path.name):
            GraphSnapshot.load(saved)
        path.write_bytes(whole)
    GraphSnapshot.load(saved)


@pytest.mark.parametrize("verify", [True, False])
def test_a_missing_or_short_file_is_found_and_named(verify: bool, saved: Path) -> None:
    for path in files(saved):
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(CorruptArtifact, match=path.name):
            GraphSnapshot.load(saved, verify=verify)
        path.write_bytes(whole[:-1])
        with pytest.raises(CorruptArtifact, match=path.name):
            GraphSnapshot.load(saved, verify=verify)
        path.write_bytes(whole)


def test_another_format_is_stale(saved: Path) -> None:
    manifest = saved / "manifest.json"
    newer = json.loads(manifest.read_text()) | {"format_version": 99}
    manifest.write_text(json.dumps(newer))
    with pytest.raises(StaleArtifact, match="format 1, got kgrecall snapshot, format 99"):
        GraphSnapshot.load(saved)


def test_an_existing_folder_is_never_overwritten(saved: Path, cinema: GraphSnapshot) -> None:
    before = {path: path.read_bytes() for path in files(saved)}
    with pytest.raises(ConfigError, match="does not exist yet"):
        cinema.save(saved)
    assert {path: path.read_bytes() for path in files(saved)} == before
    (saved.parent / "file").write_text("")
    with pytest.raises(ConfigError):
        cinema.save(saved.parent / "file")


def test_a_failure_halfway_leaves_nothing(cinema: GraphSnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        cinema.save(tmp_path / "graph")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError), sealed.new_folder(tmp_path / "graph"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
