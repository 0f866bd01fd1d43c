"""The embedded graph store: one SQLite file, or ``:memory:``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from kgrecall.errors import ConfigError, NotBuilt, Shown, StoreConflict, StoreUnavailable
from kgrecall.schema import GraphSchema
from kgrecall.store import checks
from kgrecall.store.base import Direction, Keep, Ragged, WriteStats
from kgrecall.store.sqlite import file_format, layout, read, write
from kgrecall.store.sqlite.connection import MEMORY, Connections
from kgrecall.store.sqlite.journal import SqliteJournal
from kgrecall.store.sqlite.keys import KeyLookup

_UNBORN = "empty-0"
"""The version of a store that nothing was written to."""


class SqliteStore:
    """A :class:`kgrecall.store.base.GraphStore` in one SQLite file, for many readers and queued writers.

    Threads and processes may share the file; an instance may be used after a fork. Layout: see
    :mod:`kgrecall.store.sqlite.layout`. An edge whose relation has a time property outside its key is only overwritten by
    a record that is not older.

    Args:
        path: a file, made by the first ``apply_schema``, or ``:memory:``.
        busy_timeout: seconds that a write waits for another writer before StoreConflict.
    """

    def __init__(self, path: str | Path, *, busy_timeout: float = 30.0) -> None:
        self._connections = Connections(str(path), busy_timeout=busy_timeout)
        self._lookup = KeyLookup()
        self._parsed: tuple[str, GraphSchema] | None = None

    @property
    def path(self) -> str:
        return self._connections.path

    @property
    def capabilities(self) -> frozenset[str]:
        shared = {"since", "journal", "keep", "large_writes"}
        return frozenset(shared if self._connections.in_memory else shared | {"persistent", "concurrent_readers"})

    def __repr__(self) -> str:
        return f"SqliteStore({self.path!r})"

    def apply_schema(self, schema: GraphSchema) -> None:
        """Create what is missing; called again after a first load it also builds the reverse indexes put off until then."""
        self._check_folder()
        if not self._laid_out() or self.schema != schema:
            with self._connections.writing(create=True) as connection:
                file_format.create(connection)
                layout.apply(connection, schema)
                _advance(connection)
        for name in schema.edges:
            self._index_backwards(name)

    @property
    def schema(self) -> GraphSchema:
        with self._connections.reading() as connection:
            return self._schema_in(connection)

    def upsert_nodes(
        self, label: str, keys: pa.StringArray, columns: Mapping[str, pa.Array], *, keep: Keep = "last"
    ) -> WriteStats:
        with self._connections.writing() as connection:
            schema = self._schema_in(connection)
            checks.check_node_batch(schema, label, keys, columns)
            stats = write.upsert_nodes(connection, label, schema.node(label), keys, columns, keep)
            if stats.written:
                _advance(connection)
            return stats

    def upsert_edges(
        self,
        edge_type: str,
        sources: pa.StringArray,
        targets: pa.StringArray,
        columns: Mapping[str, pa.Array],
        *,
        keep: Keep = "last",
    ) -> WriteStats:
        with self._connections.writing() as connection:
            schema = self._schema_in(connection)
            checks.check_edge_batch(schema, edge_type, sources, targets, columns)
            spec, seq, ends = schema.edge(edge_type), _next(connection), (sources, targets)
            stats = write.upsert_edges(connection, self._lookup, edge_type, spec, ends, columns, keep, seq)
            if stats.written:
                _advance(connection)
            return stats

    def delete_nodes(self, label: str, keys: pa.StringArray) -> int:
        checks.check_keys(label, keys)
        with self._connections.writing() as connection:
            self._schema_in(connection).node(label)
            deleted = write.delete_nodes(connection, self._lookup, label, keys)
            if deleted:
                _advance(connection)
                layout.write_meta(connection, "deletions", layout.read_counter(connection, "deletions") + 1)
            return deleted

    def delete_edges(self, edge_type: str, sources: pa.StringArray, targets: pa.StringArray) -> int:
        checks.check_pairs(edge_type, sources, targets)
        with self._connections.writing() as connection:
            spec = self._schema_in(connection).edge(edge_type)
            deleted = write.delete_edges(connection, self._lookup, edge_type, spec, (sources, targets))
            if deleted:
                _advance(connection)
            return deleted

    def version(self) -> str:
        if not self._laid_out():
            return _UNBORN
        with self._connections.reading() as connection:
            return f"{layout.read_meta(connection, 'store')}-{layout.read_counter(connection, 'seq')}"

    def count_nodes(self, label: str) -> int:
        with self._connections.reading() as connection:
            self._schema_in(connection).node(label)
            return int(connection.execute(f"SELECT count(*) FROM {layout.node_table(label)}").fetchone()[0])

    def count_edges(self, edge_type: str) -> int:
        with self._connections.reading() as connection:
            self._schema_in(connection).edge(edge_type)
            return int(connection.execute(f"SELECT count(*) FROM {layout.edge_table(edge_type)}").fetchone()[0])

    def scan_nodes(self, label: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        spec = self.schema.node(label)
        checks.check_properties(label, spec.properties, columns)
        return self._stream(lambda connection: read.scan_nodes(connection, label, spec, columns))

    def scan_edges(self, edge_type: str, columns: Sequence[str], since: str | None = None) -> Iterator[pa.RecordBatch]:
        spec = self.schema.edge(edge_type)
        checks.check_properties(edge_type, spec.properties, columns)
        after = 0 if since is None else self._write_number(since)
        return self._stream(lambda connection: read.scan_edges(connection, edge_type, spec, columns, after))

    def neighbors(
        self,
        edge_type: str,
        keys: pa.StringArray,
        *,
        direction: Direction = "out",
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Ragged:
        spec = self.schema.edge(edge_type)
        checks.check_keys(edge_type, keys)
        checks.check_neighbors(edge_type, spec, direction, limit, newest_first)
        if direction != "out":
            self._index_backwards(edge_type)
        with self._connections.reading() as connection:
            return read.neighbors(connection, edge_type, spec, keys, direction, limit, newest_first)

    def journal(self) -> SqliteJournal:
        """The lock and the notes of an import; see :mod:`kgrecall.store.journal`."""
        return SqliteJournal(self._connections)

    def note(self, name: str) -> str | None:
        """What :meth:`keep_note` kept under this name; it is no part of the graph."""
        with self._connections.reading() as connection:
            value = layout.read_meta(connection, f"note {name}")
        return value if isinstance(value, str) else None

    def keep_note(self, name: str, text: str) -> None:
        with self._connections.writing() as connection:
            layout.write_meta(connection, f"note {name}", text)

    def compact(self) -> None:
        """Rewrite the file: freed space is given back, and no byte of what was deleted stays behind.

        Raises:
            StoreConflict: somebody else uses the file.
        """
        self._connections.rewrite()

    def close(self) -> None:
        self._connections.close()

    def _laid_out(self) -> bool:
        try:
            with self._connections.reading():
                return True
        except NotBuilt:
            return False

    def _check_folder(self) -> None:
        if self.path != MEMORY and not Path(self.path).absolute().parent.is_dir():
            raise StoreUnavailable(
                self.path, expected="a file in an existing folder", got=Shown("no such folder"), remedy="Make the folder first."
            )

    def _schema_in(self, connection: sqlite3.Connection) -> GraphSchema:
        text = layout.read_meta(connection, "schema")
        if not isinstance(text, str):
            raise NotBuilt(
                self.path, expected="a schema", got=Shown("none"), remedy="Call apply_schema(schema) or ingest(...) first."
            )
        if self._parsed is None or self._parsed[0] != text:
            self._parsed = (text, self._parse(text))
        return self._parsed[1]

    def _parse(self, text: str) -> GraphSchema:
        try:
            return GraphSchema.from_json(text)
        except ValueError as error:
            raise StoreUnavailable(
                self.path,
                expected="a schema that this version understands",
                got=text,
                remedy="Use the version of kgrecall that wrote it.",
            ) from error

    def _index_backwards(self, edge_type: str) -> None:
        with self._connections.reading() as connection:
            if not layout.lacks_reverse_index(connection, edge_type):
                return
        with suppress(StoreConflict, StoreUnavailable), self._connections.writing() as connection:
            layout.create_reverse_index(connection, edge_type)  # without it answers are slow, not wrong

    def _stream(self, scan: Callable[[sqlite3.Connection], Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
        if self._connections.in_memory:  # its one connection cannot keep a transaction open across yields
            with self._connections.reading() as connection:
                batches = list(scan(connection))
            yield from batches
        else:
            with self._connections.streaming() as connection:
                yield from scan(connection)

    def _write_number(self, version: str) -> int:
        store, _, number = version.rpartition("-")
        if number.isdecimal() and store in (self.version().rpartition("-")[0], _UNBORN.rpartition("-")[0]):
            return int(number)
        raise ConfigError(
            "since", expected="a version() of this very store", got=version, remedy="Leave it out to read all edges."
        )


def _next(connection: sqlite3.Connection) -> int:
    """The number of the write that is under way."""
    return layout.read_counter(connection, "seq") + 1


def _advance(connection: sqlite3.Connection) -> None:
    layout.write_meta(connection, "seq", _next(connection))
