"""Scans and neighbours: whole columns out of SQLite, with the user's own ids."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from kgrecall.schema import EdgeTypeSpec, NodeType
from kgrecall.store.base import Direction, Ragged
from kgrecall.store.sqlite.layout import edge_table, node_table, quoted
from kgrecall.store.sqlite.values import Field, batches_of, property_field, records_of, select_list
from kgrecall.types import IntArray

BATCH_ROWS = 65_536
_ID = Field("id", "string", "id", nullable=False)
_POS = Field("pos", "integer", "pos", nullable=False)
_SRC = Field("src", "integer", "src", nullable=False)
_DST = Field("dst", "integer", "dst", nullable=False)


def scan_nodes(connection: sqlite3.Connection, label: str, spec: NodeType, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """All nodes sorted by id; SQLite compares text by its UTF-8 bytes."""
    fields = [_ID, *(property_field(name, spec.properties[name]) for name in columns)]
    cursor = connection.execute(f"SELECT {select_list(fields)} FROM {node_table(label)} ORDER BY id")
    for records in batches_of(cursor, fields, BATCH_ROWS):
        yield pa.record_batch([field.decode(records) for field in fields], names=["id", *columns])


def scan_edges(
    connection: sqlite3.Connection, edge_type: str, spec: EdgeTypeSpec, columns: Sequence[str], since: int
) -> Iterator[pa.RecordBatch]:
    """All edges written after the write number ``since``; ids are joined here, which is cheaper than in SQL."""
    fields = [property_field(name, spec.properties[name], key=name in spec.edge_key) for name in columns]
    condition = f" WHERE seq > {since:d}" if since else ""
    selected = select_list([_SRC, _DST, *fields])
    cursor = connection.execute(f"SELECT {selected} FROM {edge_table(edge_type)}{condition}")
    sources = _IdTable(connection, spec.source)
    targets = sources if spec.target == spec.source else _IdTable(connection, spec.target)
    for records in batches_of(cursor, [_SRC, _DST, *fields], BATCH_ROWS):
        ends = [sources.at(records["src"]), targets.at(records["dst"])]
        arrays = [*ends, *(field.decode(records) for field in fields)]
        yield pa.record_batch(arrays, names=["source", "target", *columns])


class _IdTable:
    """The ids of a label by position."""

    def __init__(self, connection: sqlite3.Connection, label: str) -> None:
        cursor = connection.execute(f"SELECT id, pos FROM {node_table(label)}")
        records = records_of(cursor, [_ID, _POS])
        self._ids = pa.array(records["id"].tolist(), pa.string())
        self._row = np.zeros(int(records["pos"].max(initial=0)) + 1, np.int64)
        self._row[records["pos"]] = np.arange(len(records))

    def at(self, positions: IntArray) -> pa.StringArray:
        return self._ids.take(pa.array(self._row[positions]))


def neighbors(
    connection: sqlite3.Connection,
    edge_type: str,
    spec: EdgeTypeSpec,
    keys: pa.StringArray,
    direction: Direction,
    limit: int | None,
    newest_first: bool,
) -> Ragged:
    """One indexed query per key."""
    properties = [property_field(name, kind, table="e", key=name in spec.edge_key) for name, kind in spec.properties.items()]
    fields = [Field("id", "string", "t.id", nullable=False), *properties]
    order = ["t.id", *(f"e.{quoted(name)}" for name in spec.edge_key)]
    if newest_first:
        order.insert(0, f"e.{quoted(spec.time or '')} DESC")  # SQLite puts nulls last when it descends
    statement = _neighbors_statement(edge_type, spec, direction, fields, order)
    rows: list[tuple[Any, ...]] = []
    indptr = np.zeros(len(keys) + 1, np.int64)
    for i, key in enumerate(keys.to_pylist()):
        rows.extend(connection.execute(statement, {"key": key, "limit": -1 if limit is None else limit}))
        indptr[i + 1] = len(rows)
    records = records_of(rows, fields)
    return Ragged(indptr, fields[0].decode(records), {field.name: field.decode(records) for field in properties})


def _neighbors_statement(
    edge_type: str, spec: EdgeTypeSpec, direction: Direction, fields: Sequence[Field], order: Sequence[str]
) -> str:
    """CROSS JOIN fixes the order of the loops: the edges of the key, then their other ends."""
    target = node_table(spec.source if direction == "in" else spec.target)
    columns = "".join(f", {quoted(name)}" for name in spec.properties)
    ways = []
    if direction != "in":
        key = f"(SELECT pos FROM {node_table(spec.source)} WHERE id = :key)"
        ways.append(f"SELECT dst AS far{columns} FROM {edge_table(edge_type)} WHERE src = {key}")
    if direction != "out":
        key = f"(SELECT pos FROM {node_table(spec.target)} WHERE id = :key)"
        once = " AND src <> dst" if ways else ""  # a loop is one edge, met from both ends
        ways.append(f"SELECT src AS far{columns} FROM {edge_table(edge_type)} WHERE dst = {key}{once}")
    return (
        f"SELECT {select_list(fields)} FROM ({' UNION ALL '.join(ways)}) e CROSS JOIN {target} t ON t.pos = e.far"
        f" ORDER BY {', '.join(order)} LIMIT :limit"
    )
