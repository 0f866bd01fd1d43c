"""Vectors that items bring along: properties of numbers, such as embeddings of pictures or sound computed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.errors import ConfigError, nearest
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.types import BoolArray, FloatArray


def own_vectors(snapshot: GraphSnapshot, names: Sequence[str] | None = None) -> tuple[dict[str, FloatArray], tuple[str, ...]]:
    """The vectors of all items, and a sentence on each property, or part of one, that holds none.

    A property of type ``numbers`` is one vector per item when all of its lists are equally long and longer than 1. What all
    items share is taken out, and each row is scaled to length 1: encoders differ in both, and only angles between items count.

    Args:
        names: properties; None: all that are of type ``numbers``.

    Returns:
        name -> float32 (num_items, dim), a zero row for an item without, in the order of the schema; only those that tell any
        two items apart.

    Raises:
        ConfigError: a named property is not of type ``numbers``; names the nearest.
    """
    known, table = numbers_fields(snapshot), snapshot.properties[snapshot.schema.item_label]
    for name in names or ():
        if name not in known:
            raise ConfigError("vectors", expected="properties of items of type numbers", got=name, remedy=nearest(name, known))
    vectors, notes = dict[str, FloatArray](), list[str]()
    for name in known if names is None else names:
        lists = table.column(name).combine_chunks()
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        dims = np.unique(lengths[lengths > 0])
        if len(dims) > 1 or (dims == 1).any():
            found = "of 1 number" if dims[-1] == 1 else f"of {dims[0]} to {dims[-1]} numbers"
            notes.append(f"Nothing was learned from {name}: its lists are {found}, and vectors are equally long.")
        elif len(dims):
            rows, bad = _rows(lists, lengths > 0, int(dims[0]))
            notes += [f"{bad:,} lists of {name} hold NaN or infinity and count as missing."] if bad else []
            if rows.any():
                vectors[name] = rows
    return vectors, tuple(notes)


def all_told(texts: FloatArray | None, vectors: Mapping[str, FloatArray]) -> list[FloatArray]:
    """The texts, if there are any, and the vectors: float32 (num_items, some_dim) each."""
    return [*([] if texts is None else [texts]), *vectors.values()]


def numbers_fields(snapshot: GraphSnapshot) -> tuple[str, ...]:
    """The properties of items that are of type ``numbers``."""
    properties = snapshot.schema.node(snapshot.schema.item_label).properties
    return tuple(name for name, kind in properties.items() if kind == "numbers")


def _rows(lists: pa.ListArray, filled: BoolArray, dim: int) -> tuple[FloatArray, int]:
    """Centred rows of length 1, float32 (n, dim), zeros where there is none; and how many were not finite."""
    values = pc.fill_null(pc.list_flatten(lists), np.nan).to_numpy(zero_copy_only=False)
    given = np.asarray(values, np.float32).reshape(-1, dim)
    finite = np.isfinite(given).all(axis=1)
    shared = given[finite].mean(axis=0, dtype=np.float64) if finite.any() else np.zeros(dim)
    centred = given[finite] - shared.astype(np.float32)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    rows = np.zeros((len(filled), dim), np.float32)
    rows[np.flatnonzero(filled)[finite]] = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return rows, int((~finite).sum())
