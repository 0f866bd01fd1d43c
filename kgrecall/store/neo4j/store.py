"""A graph store in a Neo4j database: the system of record for more than one process or machine."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from kgrecall.errors import ConfigError, NotBuilt, Shown
from kgrecall.schema import GraphSchema
from kgrecall.store import checks
from kgrecall.store.base import Direction, Ragged, WriteStats
from kgrecall.store.neo4j import schema as constraints
from kgrecall.store.neo4j import statements as cypher
from kgrecall.store.neo4j import write
from kgrecall.store.neo4j.connection import Connection, Neo4jConfig, Run
from kgrecall.store.neo4j.edges import Lanes
from kgrecall.store.neo4j.journal import Neo4jJournal
from kgrecall.store.neo4j.ledger import Ledger
from kgrecall.store.neo4j.values import edge_batches, node_batches, ragged

_UNBORN = "empty-0"
"""The version of a database that no schema was applied to."""
_WRITTEN = re.compile(r"\d+:\d+(\.\d+:\d+)*")


class Neo4jStore:
    """A :class:`kgrecall.store.base.GraphStore` in one Neo4j database.

    Threads may share an instance; after a fork make a new one. A call of at most ``config.transaction_rows`` records is one
    transaction; a larger one is cut into several that run side by side, and what was committed before a failure stays
    (running it again completes it). An edge whose relation has a time property outside its key is only overwritten by a record
    that is not older. Other programs may use the database too: they must leave labels and properties with a leading
    underscore alone, and edges that they write carry no write number, so ``scan_edges(since=...)`` does not report them.

    Args:
        url: ``neo4j://host:port`` or ``bolt://...``, with ``+s`` or ``+ssc`` for TLS; may carry ``user:password@`` and
            ``/database``.
        user, password, database: win over those of the address, and these over ``KGRECALL_NEO4J_USER``,
            ``KGRECALL_NEO4J_PASSWORD`` and ``KGRECALL_NEO4J_DATABASE``.
        config: sessions, sizes and deadlines.
    """

    def __init__(
        self,
        url: str,
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        *,
        config: Neo4jConfig | None = None,
    ) -> None:
        self._connection = Connection(url, user, password, database, config or Neo4jConfig())
        self._lanes, self._ledger = Lanes(random.randrange(cypher.LANES)), Ledger()
        self._parsed: tuple[str, GraphSchema] | None = None
        self._constrained: set[str] = set()

    @classmethod
    def connect(
        cls,
        url: str,
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        *,
        config: Neo4jConfig | None = None,
    ) -> Neo4jStore:
        """As the constructor, and log in at once.

        Raises:
            ConfigError: the address cannot be parsed.
            StoreUnavailable: the server cannot be reached, or refuses the password or the database.
            Unsupported: the server is older than 5.26, or not Neo4j.
        """
        store = cls(url, user, password, database, config=config)
        try:
            store._connection.verify()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset(
            {"since", "journal", "persistent", "concurrent_readers", "parallel_writes", "vector_index", "fulltext_index"}
        )

    @property
    def connection(self) -> Connection:
        """The connection, for what else this room keeps in the database: vectors, full text, live walks."""
        return self._connection

    @property
    def retries(self) -> Mapping[str, int]:
        """How often transactions were run again since this instance was made, by the kind of error."""
        return dict(self._connection.retries)

    def __repr__(self) -> str:
        return f"Neo4jStore({self._connection.url!r}, database={self._connection.database!r})"

    def server_version(self) -> str:
        """The version of the server, such as ``5.26.28``."""
        return self._connection.verify()

    def apply_schema(self, schema: GraphSchema) -> None:
        """Create the uniqueness constraints, wait until they are online, and declare the schema."""
        constraints.apply(self._connection, schema)

    @property
    def schema(self) -> GraphSchema:
        return self._declared(self._connection.read(self._read_meta))

    def _schema_for_write(self) -> GraphSchema:
        return self._declared(self._connection.read_for_write(self._read_meta))

    def _declared(self, meta: constraints.Meta | None) -> GraphSchema:
        if meta is None:
            raise NotBuilt(
                repr(self), expected="a schema", got=Shown("none"), remedy="Call apply_schema(schema) or ingest(...) first."
            )
        if self._parsed is None or self._parsed[0] != meta.schema:
            self._parsed = (meta.schema, GraphSchema.from_json(meta.schema))
        return self._parsed[1]

    def upsert_nodes(self, label: str, keys: pa.StringArray, columns: Mapping[str, pa.Array]) -> WriteStats:
        checks.check_node_batch(self._schema_for_write(), label, keys, columns)
        self._require_constraints(label)
        return write.upsert_nodes(self._connection, self._lanes, label, keys, columns)

    def upsert_edges(
        self, edge_type: str, sources: pa.StringArray, targets: pa.StringArray, columns: Mapping[str, pa.Array]
    ) -> WriteStats:
        schema = self._schema_for_write()
        checks.check_edge_batch(schema, edge_type, sources, targets, columns)
        spec = schema.edge(edge_type)
        self._require_constraints(spec.source, spec.target)
        return write.upsert_edges(self._connection, self._lanes, self._ledger, edge_type, spec, (sources, targets), columns)

    def delete_nodes(self, label: str, keys: pa.StringArray) -> int:
        checks.check_keys(label, keys)
        self._schema_for_write().node(label)
        try:
            return write.delete_nodes(self._connection, self._lanes, label, keys)
        finally:
            self._ledger.forget()

    def delete_edges(self, edge_type: str, sources: pa.StringArray, targets: pa.StringArray) -> int:
        checks.check_pairs(edge_type, sources, targets)
        spec = self._schema_for_write().edge(edge_type)
        try:
            return write.delete_edges(self._connection, self._lanes, edge_type, spec, (sources, targets))
        finally:
            self._ledger.forget()

    def version(self) -> str:
        return self._connection.read(self._read_version)

    def count_nodes(self, label: str) -> int:
        self.schema.node(label)
        return self._count(cypher.count_nodes(label))

    def count_edges(self, edge_type: str) -> int:
        return self._count(cypher.count_edges(edge_type, self.schema.edge(edge_type)))

    def scan_nodes(self, label: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        kinds = self.schema.node(label).properties
        checks.check_properties(label, kinds, columns)
        rows = self._connection.stream(cypher.scan_nodes(label, columns), {})
        return node_batches(rows, label, kinds, columns)

    def scan_edges(self, edge_type: str, columns: Sequence[str], since: str | None = None) -> Iterator[pa.RecordBatch]:
        spec = self.schema.edge(edge_type)
        checks.check_properties(edge_type, spec.properties, columns)
        statement = cypher.scan_edges(edge_type, spec, columns, since=since is not None)
        rows = self._connection.stream(statement, {"since": None if since is None else self._lane_numbers(since)})
        return edge_batches(rows, edge_type, spec.properties, columns)

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
        statement = cypher.neighbors(edge_type, spec, direction=direction, limited=limit is not None, newest_first=newest_first)
        rows = self._connection.read(lambda run: run(statement, id=keys.to_pylist(), limit=limit))
        return ragged(rows, len(keys), edge_type, spec.properties)

    def journal(self) -> Neo4jJournal:
        """The lock and the notes of an import; see :mod:`kgrecall.store.journal`."""
        return Neo4jJournal(self._connection, self._ledger)

    def note(self, name: str) -> str | None:
        """What :meth:`keep_note` kept under this name; it is no part of the graph."""
        self._declared(self._connection.read(self._read_meta))
        rows = self._connection.read(lambda run: run(cypher.READ_NOTE, name=name))
        return str(rows[0][0]) if rows else None

    def keep_note(self, name: str, text: str) -> None:
        self._schema_for_write()
        self._connection.write(lambda run: run(cypher.KEEP_NOTE, name=name, text=text))

    def close(self) -> None:
        self._connection.close()

    def _read_meta(self, run: Run) -> constraints.Meta | None:
        return constraints.read_meta(run, self._connection.url)

    def _read_version(self, run: Run) -> str:
        meta = self._read_meta(run)
        numbers = ".".join(f"{lane}:{number}" for lane, number in run(cypher.READ_LANES) if number)
        return f"{meta.store}-{numbers}" if meta else _UNBORN

    def _count(self, statement: str) -> int:
        return int(self._connection.read(lambda run: run(statement))[0][0])

    def _require_constraints(self, *labels: str) -> None:
        """Asked once per label and instance, since the answer costs more than a small write."""
        unseen = set(labels) - self._constrained
        if unseen:
            constraints.require_unique(self._connection, unseen)
            self._constrained |= unseen

    def _lane_numbers(self, version: str) -> list[int]:
        """The number of each lane at a version of this database, ``store-lane:number.lane:number``."""
        store, _, written = version.rpartition("-")
        if version == _UNBORN:
            return [-1] * cypher.LANES
        if _WRITTEN.fullmatch(written) is None or store != self.version().rpartition("-")[0]:
            raise ConfigError(
                "since", expected="a version() of this very store", got=version, remedy="Leave it out to read all edges."
            )
        known = dict(part.split(":") for part in written.split("."))
        return [int(known.get(str(lane), 0)) for lane in range(cypher.LANES)]
