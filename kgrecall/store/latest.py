"""Which record stands when several of one batch have the same key: the latest in time, and among equals the last given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kgrecall.schema import EdgeTypeSpec
from kgrecall.types import IntArray

_NEVER = np.iinfo(np.int64).min


def last_of_equal(parts: Sequence[NDArray[Any]], times: IntArray | None = None) -> IntArray:
    """Positions of one row per distinct key, sorted by key.

    Shapes: ``parts`` the columns of the key, each (n,); ``times`` int64 (n,) or None -> int64 (m,), m distinct keys.
    """
    if not len(parts[0]):
        return np.empty(0, np.int64)
    columns = {str(i): part for i, part in enumerate([*parts, *([] if times is None else [times])])}
    order = pc.sort_indices(pa.table(columns), sort_keys=[(name, "ascending") for name in columns]).to_numpy().astype(np.int64)
    new_key = np.zeros(len(order) - 1, bool)
    for part in parts:
        in_order = part[order]
        new_key |= in_order[1:] != in_order[:-1]
    kept: IntArray = order[np.append(new_key, True)]
    return kept


def codes(values: pa.Array) -> NDArray[Any]:
    """Numbers as they are, anything else as the number of its distinct value; equal values have equal codes."""
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return np.asarray(values.to_numpy())
    if pa.types.is_nested(values.type):
        values = pa.array([repr(v) for v in values.to_pylist()])
    return np.asarray(values.dictionary_encode().indices.to_numpy())


def event_times(spec: EdgeTypeSpec, columns: Mapping[str, pa.Array]) -> IntArray | None:
    """When each record happened, where that decides between records of equal key; an unknown time is the earliest."""
    if spec.time is None or spec.time in spec.edge_key or spec.time not in columns:
        return None
    times: IntArray = pc.fill_null(columns[spec.time], _NEVER).to_numpy()
    return times
