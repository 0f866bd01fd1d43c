"""Upserts and deletions inside one write transaction: the caller opens it, commits it and counts it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import repeat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.schema import EdgeTypeSpec, NodeType, PropertyType
from kgrecall.store.base import WriteStats
from kgrecall.store.latest import codes, event_times, last_of_equal
from kgrecall.store.sqlite_keys import KeyLookup
from kgrecall.store.sqlite_layout import create_reverse_index, edge_table, node_table, quoted, relations
from kgrecall.store.sqlite_values import to_sql
from kgrecall.types import IntArray

_CHUNK = 65_536
"""Rows that are turned into Python objects at a time."""


def upsert_nodes(
    connection: sqlite3.Connection, label: str, spec: NodeType, keys: pa.StringArray, columns: Mapping[str, pa.Array]
) -> WriteStats:
    """Rows go in sorted by id, so that the index grows at neighbouring places."""
    rows = last_of_equal([codes(keys)])
    rows = rows[pc.sort_indices(keys.take(pa.array(rows))).to_numpy()]
    names = list(columns)
    marks = ", ".join("?" * (1 + len(names)))
    into = ", ".join(["id", *map(quoted, names)])
    statement = f"INSERT INTO {node_table(label)}({into}) VALUES({marks}) ON CONFLICT(id) {_on_conflict(names)}"
    before = connection.total_changes
    _insert(connection, statement, rows, [(keys, "string"), *((columns[n], spec.properties[n]) for n in names)], ())
    written = connection.total_changes - before
    return WriteStats(written, len(keys) - written)


def upsert_edges(
    connection: sqlite3.Connection,
    lookup: KeyLookup,
    edge_type: str,
    spec: EdgeTypeSpec,
    ends: tuple[pa.StringArray, pa.StringArray],
    columns: Mapping[str, pa.Array],
    seq: int,
) -> WriteStats:
    """Rows go in sorted by their key, because the table is clustered by it; ``seq`` marks the rows that change."""
    src, dst = (lookup.positions(connection, label, ids) for label, ids in zip((spec.source, spec.target), ends, strict=True))
    present = np.flatnonzero((src >= 0) & (dst >= 0))
    src_here, dst_here = pa.array(src), pa.array(dst)
    key = spec.edge_key
    parts = [*_packed(src[present], dst[present]), *(codes(columns[k])[present] for k in key)]
    times = event_times(spec, columns)
    rows = present[last_of_equal(parts, None if times is None else times[present])]
    names = list(columns)
    others = [n for n in names if n not in key]
    into = ", ".join(["src", "dst", *map(quoted, names), "seq"])
    marks = ", ".join("?" * (3 + len(names)))
    conflict = ", ".join(["src", "dst", *map(quoted, key)])
    newest = spec.time if spec.time in others else None
    statement = (
        f"INSERT INTO {edge_table(edge_type)}({into}) VALUES({marks})"
        f" ON CONFLICT({conflict}) {_on_conflict(others, newest=newest, stamp='seq')}"
    )
    before = connection.total_changes
    cells: list[tuple[pa.Array, PropertyType]] = [(src_here, "integer"), (dst_here, "integer")]
    _insert(connection, statement, rows, [*cells, *((columns[n], spec.properties[n]) for n in names)], (seq,))
    written = connection.total_changes - before
    missing_source, missing_target = np.flatnonzero(src < 0), np.flatnonzero(dst < 0)
    return WriteStats(written, len(present) - written, missing_source, missing_target)


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


def _on_conflict(names: Sequence[str], *, newest: str | None = None, stamp: str | None = None) -> str:
    """Update only rows that differ; with ``newest``, only by a record whose time is not before the stored one."""
    if not names:
        return "DO NOTHING"
    columns = [quoted(n) for n in names]
    update = ", ".join(f"{c} = excluded.{c}" for c in [*columns, *([stamp] if stamp else [])])
    differs = " OR ".join(f"excluded.{c} IS NOT {c}" for c in columns)
    if newest is None:
        return f"DO UPDATE SET {update} WHERE {differs}"
    time = quoted(newest)
    return f"DO UPDATE SET {update} WHERE ({differs}) AND ({time} IS NULL OR excluded.{time} >= {time})"


def _packed(src: IntArray, dst: IntArray) -> list[IntArray]:
    """Both positions in one number, as long as they are below 2^31: a sort key less."""
    return [(src << 32) | dst] if max(src.max(initial=0), dst.max(initial=0)) < 2**31 else [src, dst]


def _insert(
    connection: sqlite3.Connection,
    statement: str,
    rows: IntArray,
    cells: Sequence[tuple[pa.Array, PropertyType]],
    constants: tuple[int, ...],
) -> None:
    for start in range(0, len(rows), _CHUNK):
        chosen = pa.array(rows[start : start + _CHUNK])
        lists = [to_sql(values.take(chosen), kind) for values, kind in cells]
        connection.executemany(statement, zip(*lists, *map(repeat, constants), strict=False))
