"""How a property graph lies in SQLite tables: names, columns, and what a later schema may add.

    _meta(name, value)                         the schema and the counters
    _relations(relation, source, target, key)  every relation that was ever declared
    _importer, _finished                       the import under way: see kgrecall.store.sqlite.journal
    node_<Label>(pos, id, <properties>)        pos is the internal position, id the user's own string
    edge_<RELATION>(src, dst, <key>, <properties>, seq)
                                               clustered by (src, dst, key); seq is the write that last touched the row

A relation's reverse index ``back_<RELATION>(dst, src)`` is made by the next ``apply_schema`` after its first edges, or when
something first walks against them: a first load is twice as fast without it. Lists of strings are JSON text, lists of
numbers float32 little-endian; a NaN is a null, and a zero has no sign.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kgrecall.errors import SchemaError, Shown
from kgrecall.schema import EdgeTypeSpec, GraphSchema, PropertyType, quote_identifier

DECLARED: Mapping[PropertyType, str] = {
    "string": "TEXT",
    "text": "TEXT",
    "image": "TEXT",
    "integer": "INTEGER",
    "time": "INTEGER",
    "number": "REAL",
    "boolean": "BOOLEAN",
    "strings": "TEXT_LIST",
    "numbers": "BLOB",
}
"""The declared type of every property's column; two property types are interchangeable when it is the same."""
_SORTED_KIB = 4_096


def node_table(label: str) -> str:
    return _named("node", label)


def edge_table(relation: str) -> str:
    return _named("edge", relation)


def reverse_index(relation: str) -> str:
    return _named("back", relation)


def quoted(name: str) -> str:
    return quote_identifier(name, '"')


def _named(prefix: Literal["node", "edge", "back"], name: str) -> str:
    return f'"{prefix}_{quoted(name)[1:]}'


@dataclass(frozen=True, slots=True)
class Relation:
    """One declared relation, whether or not the current schema still has it."""

    name: str
    source: str
    target: str


def relations(connection: sqlite3.Connection) -> list[Relation]:
    """All relations that the file holds tables for."""
    return [Relation(*row) for row in connection.execute("SELECT relation, source, target FROM _relations ORDER BY relation")]


def read_meta(connection: sqlite3.Connection, name: str) -> object:
    row = connection.execute("SELECT value FROM _meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def write_meta(connection: sqlite3.Connection, name: str, value: object) -> None:
    connection.execute("INSERT INTO _meta VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value", (name, value))


def read_counter(connection: sqlite3.Connection, name: Literal["seq", "deletions"]) -> int:
    value = read_meta(connection, name)
    assert isinstance(value, int)  # written by create()
    return value


def apply(connection: sqlite3.Connection, schema: GraphSchema) -> None:
    """Create the missing tables and columns of a schema.

    Raises:
        SchemaError: the file holds a property with another type, or a relation with other ends or another key; or two
            names differ only in their case, which SQLite does not tell apart.
    """
    _check_case("label", schema.nodes)
    _check_case("relation", schema.edges)
    for label, node in schema.nodes.items():
        _check_case(f"property of {label}", node.properties)
        connection.execute(f"CREATE TABLE IF NOT EXISTS {node_table(label)}(pos INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)")
        _add_columns(connection, f"node_{label}", label, node.properties)
    for name, edge in schema.edges.items():
        _check_case(f"property of {name}", edge.properties)
        _declare_edge(connection, name, edge)
        _add_columns(connection, f"edge_{name}", name, edge.properties)
    write_meta(connection, "schema", schema.to_json())


def _declare_edge(connection: sqlite3.Connection, name: str, edge: EdgeTypeSpec) -> None:
    key = json.dumps(edge.edge_key)
    known = connection.execute("SELECT source, target, key FROM _relations WHERE relation = ?", (name,)).fetchone()
    if known and known != (edge.source, edge.target, key):
        raise SchemaError(
            f"relation {name}",
            expected=Shown(f"{known[0]} -> {known[1]} with the key {known[2]}, as the store holds it"),
            got=Shown(f"{edge.source} -> {edge.target} with the key {key}"),
            remedy="Give the changed relation a new name, or import into a new store.",
        )
    if not known:
        keys = "".join(f", {quoted(k)} {DECLARED[edge.properties[k]]} NOT NULL" for k in edge.edge_key)
        primary = ", ".join(("src", "dst", *(quoted(k) for k in edge.edge_key)))
        connection.execute(
            f"CREATE TABLE {edge_table(name)}(src INTEGER NOT NULL, dst INTEGER NOT NULL{keys}, seq INTEGER NOT NULL,"
            f" PRIMARY KEY({primary})) WITHOUT ROWID"
        )
        connection.execute("INSERT INTO _relations VALUES(?, ?, ?, ?)", (name, edge.source, edge.target, key))


def _add_columns(connection: sqlite3.Connection, table: str, owner: str, properties: Mapping[str, PropertyType]) -> None:
    held = {row[1].lower(): row[2] for row in connection.execute("SELECT * FROM pragma_table_info(?)", (table,))}
    for name, kind in properties.items():
        declared = DECLARED[kind]
        if name.lower() not in held:
            connection.execute(f'ALTER TABLE "{table}" ADD COLUMN {quoted(name)} {declared}')
        elif held[name.lower()] != declared:
            raise SchemaError(
                f"{owner}.{name}",
                expected=f"the type that the store holds ({held[name.lower()]})",
                got=f"{kind} ({declared})",
                remedy="Give the changed property a new name, or import into a new store.",
            )


def _check_case(what: str, names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise SchemaError(
                what,
                expected="names that differ in more than their case",
                got=(other, name),
                remedy="Rename one of them in the mapping file.",
            )


def create_reverse_index(connection: sqlite3.Connection, relation: str) -> None:
    """SQLite sorts runs as large as its page cache: runs that fit the processor's cache are sorted in half the time."""
    held = connection.execute("PRAGMA cache_size").fetchone()[0]
    connection.execute(f"PRAGMA cache_size = -{_SORTED_KIB}")
    try:
        connection.execute(f"CREATE INDEX IF NOT EXISTS {reverse_index(relation)} ON {edge_table(relation)}(dst, src)")
    finally:
        connection.execute(f"PRAGMA cache_size = {held}")


def lacks_reverse_index(connection: sqlite3.Connection, relation: str) -> bool:
    """Whether the relation holds edges and no reverse index yet."""
    held = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?", (f"back_{relation}",)).fetchone()
    return held is None and connection.execute(f"SELECT 1 FROM {edge_table(relation)} LIMIT 1").fetchone() is not None
