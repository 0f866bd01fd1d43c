"""From the user's string ids to the internal positions of nodes."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.store.sqlite.layout import node_table, read_counter
from kgrecall.store.sqlite.values import Field, records_of, select_list
from kgrecall.types import IntArray

_CHUNK = 500
_KEPT = 1_000_000
"""Labels with more nodes than this are looked up in the database each time: memory stays bounded."""
_FEW_OF_UNREAD, _FEW_OF_KEPT = 2, 20
"""A label with more than so many nodes per id is asked for these ids instead of read (or hashed) as a whole."""
_FIELDS = (Field("id", "string", "id", nullable=False), Field("pos", "integer", "pos", nullable=False))


@dataclass(frozen=True, slots=True)
class _Held:
    """All ids of a label as they were when ``state`` was current."""

    state: tuple[int, int]
    ids: pa.StringArray
    positions: IntArray


class KeyLookup:
    """Finds positions of ids, and keeps the ids of labels that are asked for in bulk until the label's nodes change.

    The kept ids are valid while no node of the label was added (the highest position is the same) and no node of the store
    was deleted (neither is the counter of deletions), by whatever process.
    """

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def positions(self, connection: sqlite3.Connection, label: str, ids: pa.StringArray) -> IntArray:
        """The position of each id, int64 (n,), -1 where the label has no such node; inside a transaction."""
        highest = connection.execute(f"SELECT ifnull(max(pos), 0) FROM {node_table(label)}").fetchone()[0]
        state = (highest, read_counter(connection, "deletions"))
        held = self._held.get(label)
        fresh = held is not None and held.state == state
        few = highest > (_FEW_OF_KEPT if fresh else _FEW_OF_UNREAD) * len(ids)
        if few or highest > _KEPT:
            wanted = pc.unique(ids)
            return _in_order(ids, wanted, _ask(connection, label, wanted))
        if held is None or not fresh:
            held = self._held[label] = _load(connection, label, state)
        return _in_order(ids, held.ids, held.positions)


def _in_order(ids: pa.StringArray, known: pa.StringArray, positions: IntArray) -> IntArray:
    at = pc.fill_null(pc.index_in(ids, value_set=known), -1).to_numpy()
    found: IntArray = np.append(positions, -1)[at]
    return found


def _load(connection: sqlite3.Connection, label: str, state: tuple[int, int]) -> _Held:
    records = records_of(connection.execute(f"SELECT {select_list(_FIELDS)} FROM {node_table(label)}"), _FIELDS)
    return _Held(state, pa.array(records["id"].tolist(), pa.string()), np.ascontiguousarray(records["pos"]))


def _ask(connection: sqlite3.Connection, label: str, wanted: pa.StringArray) -> IntArray:
    """Positions of distinct ids, -1 where absent: sorted, because neighbours in the index are cheap to visit."""
    found: dict[str, int] = {}
    ids: list[str] = wanted.to_pylist()
    ordered = sorted(ids)
    for start in range(0, len(ordered), _CHUNK):
        chunk = ordered[start : start + _CHUNK]
        marks = ",".join("?" * len(chunk))
        found.update(connection.execute(f"SELECT id, pos FROM {node_table(label)} WHERE id IN ({marks})", chunk))
    return np.fromiter((found.get(i, -1) for i in ids), np.int64, len(ids))
