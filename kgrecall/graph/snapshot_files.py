"""A snapshot as a folder of plain files that is either whole or not there.

    manifest.json              format, fingerprint, schema, edge types and where their rows lie, sha256 of every other file
    vocabulary/Movie.parquet   the ids of a label
    properties/Movie.parquet   the properties of a label, row i for position i; absent when it has none
    indptr.npy ... time.npy    the arrays of all relations on end, so that a graph of 500 relations is still 7 files

The folder is written under another name, flushed to the disk and renamed. Arrays are memory-mapped on load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

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
_CONTEXT = "context.npy"
"""There when a relation has contexts."""


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
    if contexts := [edges.context for edges in relations.values() if edges.context is not None]:
        _save(folder / _CONTEXT, contexts, np.dtype(np.int32).newbyteorder("<"))
    return [
        {
            "edge_type": list(edge_type),
            "num_sources": edges.num_sources,
            "num_targets": edges.num_targets,
            "num_edges": edges.num_edges,
            "timed": edges.time is not None,
            "contexts": None if edges.context is None else [list(values) for values in edges.contexts],
        }
        for edge_type, edges in relations.items()
    ]


def read_relations(folder: Path, described: Sequence[Mapping[str, Any]], *, mmap: bool) -> dict[EdgeType, Adjacency]:
    """Views of the arrays, one adjacency per entry of ``described``."""
    arrays = {name: _load(folder / f"{name}.npy", mmap) for name in _ARRAYS}
    if (folder / _CONTEXT).exists():
        arrays["context"] = _load(folder / _CONTEXT, mmap)
    start = dict.fromkeys(arrays, 0)

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
            context=take("context", num_edges) if facts.get("contexts") is not None else None,
            contexts=tuple(tuple(values) for values in facts.get("contexts") or ()),
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
