"""A snapshot as a folder of plain files that is either whole or not there.

    manifest.json              format, fingerprint, schema, edge types and where their rows lie, sha256 of every other file
    vocabulary/Movie.parquet   the ids of a label
    properties/Movie.parquet   the properties of a label, row i for position i; absent when it has none
    indptr.npy ... time.npy    the arrays of all relations on end, so that a graph of 500 relations is still 7 files

The folder is written under another name, flushed to the disk and renamed. Arrays are memory-mapped on load.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kgrecall.errors import ConfigError, CorruptArtifact, Shown, StaleArtifact
from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.types import EdgeType

FORMAT = "kgrecall snapshot"
FORMAT_VERSION = 1
_ARRAYS = {
    "indptr": np.int64,
    "indices": np.int32,
    "weight": np.float32,
    "time": np.int64,
    "rev_indptr": np.int64,
    "rev_indices": np.int32,
    "rev_edge": np.int64,
}


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``folder`` when the block ends, or vanishes when it fails.

    Raises:
        ConfigError: ``folder`` exists already and is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "folder",
            expected="a folder that does not exist yet",
            got=str(folder),
            remedy="Choose a new name, or remove it first.",
        )
    beside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.partial"
    try:
        beside.mkdir(parents=True)
        yield beside
        for path in (*beside.rglob("*"), beside):
            _flush(path)
        beside.rename(folder)
        _flush(folder.parent)
    except OSError as error:
        raise ConfigError(
            "folder",
            expected="a folder that can be written",
            got=str(folder),
            remedy=f"{error.strerror or error}. Free some space, or choose another folder.",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_nodes(folder: Path, vocabularies: Mapping[str, Vocabulary], properties: Mapping[str, pa.Table]) -> None:
    """One Parquet file of ids and one of properties per label."""
    (folder / "vocabulary").mkdir()
    (folder / "properties").mkdir()
    for label, vocabulary in vocabularies.items():
        vocabulary.save(folder / "vocabulary" / f"{label}.parquet")
        if properties[label].num_columns:
            pq.write_table(properties[label], folder / "properties" / f"{label}.parquet", compression="zstd")


def read_nodes(folder: Path, labels: Sequence[str]) -> tuple[dict[str, Vocabulary], dict[str, pa.Table]]:
    """What :func:`write_nodes` wrote."""
    vocabularies, properties = {}, {}
    for label in labels:
        vocabularies[label] = Vocabulary.load(folder / "vocabulary" / f"{label}.parquet")
        path = folder / "properties" / f"{label}.parquet"
        properties[label] = pq.read_table(path, memory_map=True).combine_chunks() if path.exists() else pa.table({})
    return vocabularies, properties


def write_relations(folder: Path, relations: Mapping[EdgeType, Adjacency]) -> list[dict[str, Any]]:
    """The arrays of all relations on end; returns, per relation, what :func:`read_relations` needs to find it again."""
    for name, dtype in _ARRAYS.items():
        parts = [part for edges in relations.values() if (part := getattr(edges, name)) is not None]
        _save(folder / f"{name}.npy", parts, np.dtype(dtype).newbyteorder("<"))
    return [
        {
            "edge_type": list(edge_type),
            "num_sources": edges.num_sources,
            "num_targets": edges.num_targets,
            "num_edges": edges.num_edges,
            "timed": edges.time is not None,
        }
        for edge_type, edges in relations.items()
    ]


def read_relations(folder: Path, described: Sequence[Mapping[str, Any]], *, mmap: bool) -> dict[EdgeType, Adjacency]:
    """Views of the arrays, one adjacency per entry of ``described``."""
    arrays = {name: _load(folder / f"{name}.npy", mmap) for name in _ARRAYS}
    start = dict.fromkeys(_ARRAYS, 0)

    def take(name: str, length: int) -> NDArray[Any]:
        part = arrays[name][start[name] : start[name] + length]
        start[name] += length
        return part

    relations = {}
    for facts in described:
        source, relation, target = facts["edge_type"]
        num_edges = facts["num_edges"]
        relations[source, relation, target] = Adjacency(
            (source, relation, target),
            facts["num_sources"],
            facts["num_targets"],
            indptr=take("indptr", facts["num_sources"] + 1),
            indices=take("indices", num_edges),
            weight=take("weight", num_edges),
            time=take("time", num_edges) if facts["timed"] else None,
            rev_indptr=take("rev_indptr", facts["num_targets"] + 1),
            rev_indices=take("rev_indices", num_edges),
            rev_edge=take("rev_edge", num_edges),
        )
    return relations


def _save(path: Path, parts: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> None:
    """The parts on end as one array, without joining them in memory first."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": (sum(map(len, parts)),)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)


def _load(path: Path, mmap: bool) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    return array.view(np.ndarray)  # np.memmap as a subclass makes every later slice slower


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write ``facts`` with the size and sha256 of every file that the folder holds."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **facts, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")


def read_manifest(folder: Path, *, verify: bool) -> dict[str, Any]:
    """The manifest, after its files were looked at.

    Args:
        verify: read every file and compare its sha256; otherwise only sizes are compared.

    Raises:
        CorruptArtifact: the manifest or a file is missing, or differs from what was written; names it.
        StaleArtifact: written in another format version.
    """
    path = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kind, version, files = manifest["format"], manifest["format_version"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _corrupt(str(path), "the manifest of a snapshot", Shown(error)) from error
    if (kind, version) != (FORMAT, FORMAT_VERSION):
        raise StaleArtifact(
            str(path),
            expected=f"{FORMAT}, format {FORMAT_VERSION}",
            got=Shown(f"{kind}, format {version}"),
            remedy="Take the snapshot again with this version of kgrecall.",
        )
    for name, facts in files.items():
        _check(folder / name, facts, verify)
    return manifest


def _check(path: Path, facts: Mapping[str, Any], verify: bool) -> None:
    if not path.is_file():
        raise _corrupt(str(path), "a file of the snapshot", Shown("nothing"))
    if path.stat().st_size != facts["bytes"]:
        raise _corrupt(str(path), f"{facts['bytes']} bytes", path.stat().st_size)
    if verify and (digest := _sha256(path)) != facts["sha256"]:
        raise _corrupt(str(path), f"sha256 {facts['sha256']}", digest)


def _corrupt(what: str, expected: str, got: object) -> CorruptArtifact:
    return CorruptArtifact(what, expected=expected, got=got, remedy="Take the snapshot again, or restore the folder.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
