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
    order = in_order_of([*parts, *([] if times is None else [times])])
    new_key = np.zeros(len(order) - 1, bool)
    for part in parts:
        in_order = part[order]
        new_key |= in_order[1:] != in_order[:-1]
    kept: IntArray = order[np.append(new_key, True)]
    return kept


def in_order_of(columns: Sequence[NDArray[Any]]) -> IntArray:
    """Positions (n,) in ascending order of the first column, then of the second ...; equal rows stay in their order.

    Columns of a key are whole numbers that repeat: they are sorted by 16 bits at a time, which NumPy does by counting, and
    only the rows that are equal in the first column are looked at again.
    """
    first = columns[0]
    if not np.issubdtype(first.dtype, np.integer):
        return _sorted(columns)
    order = _counted(first.astype(np.int64, copy=False))
    equal = first[order][1:] == first[order][:-1]
    if len(columns) > 1 and equal.any():
        twins = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
        rows = order[twins]
        order[twins] = rows[_sorted([column[rows] for column in columns])]
    return order


def _sorted(columns: Sequence[NDArray[Any]]) -> IntArray:
    table = pa.table({str(i): column for i, column in enumerate(columns)})
    order: IntArray = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in table.column_names]).to_numpy()
    return order.astype(np.int64)


def _counted(numbers: IntArray) -> IntArray:
    """The stable order of int64 (n,), from the lowest digit of 16 bits to the highest that differs anywhere."""
    bits = numbers.view(np.uint64) ^ np.uint64(1 << 63)  # negative numbers first
    differing = int(np.bitwise_or.reduce(bits ^ bits[:1]))
    order: IntArray = np.arange(len(bits))
    for shift in range(0, differing.bit_length(), 16):
        if differing >> shift & 0xFFFF:
            digits = (bits >> np.uint64(shift)).astype(np.uint16)
            order = order[np.argsort(digits[order], kind="stable")]
    return order


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
