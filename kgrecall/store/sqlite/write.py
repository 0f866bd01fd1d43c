"""Upserts and deletions inside one write transaction: the caller opens it, commits it and counts it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kgrecall.schema import EdgeTypeSpec, NodeType, PropertyType
from kgrecall.store.base import Keep, WriteStats
from kgrecall.store.latest import codes, event_times, last_of_equal
from kgrecall.store.sqlite import staging
from kgrecall.store.sqlite.conflict import Target, rounds
from kgrecall.store.sqlite.keys import KeyLookup
from kgrecall.store.sqlite.layout import create_reverse_index, edge_table, node_table, quoted, relations
from kgrecall.store.sqlite.values import to_sql, to_storable
from kgrecall.types import IntArray

Cell = tuple[pa.Array, PropertyType]
"""A whole column of a batch and how it is stored."""
_CHUNK = 65_536
"""Rows that are turned into Python objects at a time."""


def upsert_nodes(
    connection: sqlite3.Connection,
    label: str,
    spec: NodeType,
    keys: pa.StringArray,
    columns: Mapping[str, pa.Array],
    keep: Keep,
) -> WriteStats:
    """Rows go in sorted by id, so that the index grows at neighbouring places."""
    target = Target(node_table(label), ("id",), tuple(map(quoted, columns)))
    cells: list[Cell] = [(keys, "string"), *((values, spec.properties[name]) for name, values in columns.items())]
    by_id = pc.rank(keys, tiebreaker="dense").to_numpy().astype(np.int64)
    records = _Records(np.arange(len(keys)), [by_id], None, cells)
    written, conflicts = _write(connection, target, records, keep, None)
    return WriteStats(written, len(keys) - written - len(conflicts), conflicts=conflicts)


def upsert_edges(
    connection: sqlite3.Connection,
    lookup: KeyLookup,
    edge_type: str,
    spec: EdgeTypeSpec,
    ends: tuple[pa.StringArray, pa.StringArray],
    columns: Mapping[str, pa.Array],
    keep: Keep,
    seq: int,
) -> WriteStats:
    """Rows go in sorted by their key, because the table is clustered by it; ``seq`` marks the rows that change."""
    src, dst = (lookup.positions(connection, label, ids) for label, ids in zip((spec.source, spec.target), ends, strict=True))
    present = np.flatnonzero((src >= 0) & (dst >= 0))
    key, others = spec.edge_key, [name for name in columns if name not in spec.edge_key]
    times = event_times(spec, columns)
    target = Target(
        edge_table(edge_type),
        ("src", "dst", *map(quoted, key)),
        tuple(map(quoted, others)),
        time=None if times is None else quoted(spec.time or ""),
        stamp="seq",
    )
    records = _Records(
        present,
        [*_packed(src[present], dst[present]), *(codes(columns[name])[present] for name in key)],
        None if times is None else times[present],
        [
            (pa.array(src), "integer"),
            (pa.array(dst), "integer"),
            *((columns[name], spec.properties[name]) for name in (*key, *others)),
        ],
    )
    written, conflicts = _write(connection, target, records, keep, seq)
    unchanged = len(present) - written - len(conflicts)
    return WriteStats(written, unchanged, np.flatnonzero(src < 0), np.flatnonzero(dst < 0), conflicts)


@dataclass(frozen=True, slots=True)
class _Records:
    """The rows of a batch that may be written: their positions, sort keys and times (parallel), and all cells of the batch."""

    rows: IntArray
    parts: Sequence[NDArray[Any]]
    times: IntArray | None
    cells: Sequence[Cell]


def _write(
    connection: sqlite3.Connection, target: Target, records: _Records, keep: Keep, stamp: int | None
) -> tuple[int, IntArray]:
    """How many rows were new or changed, and the positions of those that contradict (only if ``keep`` is "error")."""
    order = (records.parts, records.times)
    turns = [last_of_equal(*order)] if keep == "last" else rounds(*order)
    written, conflicts = 0, [np.empty(0, np.int64)]
    for i, turn in enumerate(turns):
        rows = records.rows[turn]
        done = _write_staged(connection, target, records, rows, keep, stamp) if i == 0 and keep != "error" else None
        if done is not None:
            written += done
            continue
        for chunk in (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)):
            done, bad = _write_singly(connection, target, records, chunk, keep, stamp)
            written += done
            conflicts.append(bad)
    return written, np.sort(np.concatenate(conflicts))


def _write_staged(
    connection: sqlite3.Connection, target: Target, records: _Records, rows: IntArray, keep: Keep, stamp: int | None
) -> int | None:
    """All rows in one statement, and how many it changed; None when they are too few for that, or do not fit."""
    if len(rows) < staging.FEWEST_ROWS or not staging.available():
        return None
    at = pa.array(rows)
    expressions = staging.stage(connection, (to_storable(values.take(at), kind) for values, kind in records.cells), len(rows))
    if expressions is None:
        return None
    statement = target.upsert_from(staging.TABLE, expressions, keep)
    return connection.execute(statement, () if stamp is None else (stamp,)).rowcount


def _write_singly(
    connection: sqlite3.Connection, target: Target, records: _Records, rows: IntArray, keep: Keep, stamp: int | None
) -> tuple[int, IntArray]:
    """Row by row: how many were changed, and the positions of those that contradict."""
    lists, conflicts = _values(records.cells, rows), np.empty(0, np.int64)
    if keep == "error" and len(conflicts := target.contradictions(connection, rows, lists)):
        lists = _values(records.cells, np.setdiff1d(rows, conflicts))
    before = connection.total_changes
    stamps = () if stamp is None else (repeat(stamp),)
    connection.executemany(target.upsert(keep), zip(*lists, *stamps, strict=False))
    return connection.total_changes - before, conflicts


def _values(cells: Sequence[Cell], rows: IntArray) -> list[list[Any]]:
    at = pa.array(rows)
    return [to_sql(values.take(at), kind) for values, kind in cells]


def delete_nodes(connection: sqlite3.Connection, lookup: KeyLookup, label: str, keys: pa.StringArray) -> int:
    """Delete the nodes and the edges at both their ends, of every relation that the file holds."""
    positions = lookup.positions(connection, label, keys)
    doomed = [(int(p),) for p in np.unique(positions[positions >= 0])]
    for relation in relations(connection):
        for column, end in (("src", relation.source), ("dst", relation.target)):
            if end == label:
                if column == "dst":
                    create_reverse_index(connection, relation.name)
                connection.executemany(f"DELETE FROM {edge_table(relation.name)} WHERE {column} = ?", doomed)
    connection.executemany(f"DELETE FROM {node_table(label)} WHERE pos = ?", doomed)
    return len(doomed)


def delete_edges(
    connection: sqlite3.Connection,
    lookup: KeyLookup,
    edge_type: str,
    spec: EdgeTypeSpec,
    ends: tuple[pa.StringArray, pa.StringArray],
) -> int:
    src, dst = (lookup.positions(connection, label, ids) for label, ids in zip((spec.source, spec.target), ends, strict=True))
    before = connection.total_changes
    connection.executemany(
        f"DELETE FROM {edge_table(edge_type)} WHERE src = ? AND dst = ?", zip(src.tolist(), dst.tolist(), strict=True)
    )
    return connection.total_changes - before


def _packed(src: IntArray, dst: IntArray) -> list[IntArray]:
    """Both positions in one number of as few bits as can be: a sort key less."""
    low, high = (int(positions.max(initial=0)).bit_length() for positions in (dst, src))
    return [(src << low) | dst] if high + low < 63 else [src, dst]
