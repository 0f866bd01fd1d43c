"""The contract of every graph store: typed, batch-first, columnar, with the user's own string keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kgrecall.schema import GraphSchema
from kgrecall.types import IntArray

Direction = Literal["out", "in", "both"]
Keep = Literal["last", "first", "error"]
"""Which record stands when several have one key: see :class:`KeepingStore`."""


@dataclass(frozen=True, slots=True)
class WriteStats:
    """What became of one batch of n records: ``written + unchanged + len(missing) + len(conflicts) == n``.

    ``written``: new or changed in the store. ``unchanged``: were already there with the same values (a record that repeats
    an earlier one of the same batch counts here too). ``missing_source`` / ``missing_target``: int64 positions in the batch
    of edges whose end node does not exist; they were not written. A position may stand in both; ``missing`` is their union.
    ``conflicts``: int64 positions of records that a :class:`KeepingStore` was told to refuse.
    """

    written: int
    unchanged: int
    missing_source: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    missing_target: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    conflicts: IntArray = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def missing(self) -> IntArray:
        return np.union1d(self.missing_source, self.missing_target)


@dataclass(frozen=True, slots=True)
class Ragged:
    """Neighbours of several nodes: those of node i are ``keys[indptr[i]:indptr[i + 1]]``.

    ``columns`` holds the properties of the edges, row by row beside ``keys``.
    """

    indptr: NDArray[np.int64]
    keys: pa.StringArray
    columns: Mapping[str, pa.Array]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def at(self, i: int) -> list[str]:
        keys: list[str] = self.keys.slice(self.indptr[i], self.indptr[i + 1] - self.indptr[i]).to_pylist()
        return keys


@runtime_checkable
class GraphStore(Protocol):
    """A property graph that survives the process.

    Writes are idempotent upserts by key, atomic per call. Absent columns are left as they are; a null in a given column
    clears the property, and NaN is a null. Labels, relations and properties must belong to the applied schema (SchemaError
    names the nearest).
    All calls may raise StoreError's family.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Optional abilities: ``persistent``, ``concurrent_readers``, ``vector_index``, ``fulltext_index``, ...

        ``large_writes``: a write passes by all that is there, so that few large ones are cheaper than many small ones.
        """
        ...

    def apply_schema(self, schema: GraphSchema) -> None:
        """Create keys, constraints and indexes; repeatable. A later schema may add labels, relations and properties.

        A store may put an index off until there is data: :func:`kgrecall.store.ingest.ingest` calls this again at its end.
        """
        ...

    @property
    def schema(self) -> GraphSchema:
        """The schema applied last. Raises NotBuilt when there is none."""
        ...

    def upsert_nodes(self, label: str, keys: pa.StringArray, columns: Mapping[str, pa.Array]) -> WriteStats:
        """Create or update nodes; with empty ``columns`` an existing node is left as it is. The last of equal keys wins."""
        ...

    def upsert_edges(
        self, edge_type: str, sources: pa.StringArray, targets: pa.StringArray, columns: Mapping[str, pa.Array]
    ) -> WriteStats:
        """Create or update edges by (source, target, the key properties of the relation). The last of equal keys wins.

        Where the relation has a time property outside its key, and ``columns`` gives it, event time decides instead: a
        record never overwrites a later one, in whatever order they arrive (no time counts as the earliest; of equal times
        the last wins). Every key property must be given, without nulls (ConstraintViolated).
        """
        ...

    def delete_nodes(self, label: str, keys: pa.StringArray) -> int:
        """Delete nodes and every edge that touches them; returns how many nodes were there."""
        ...

    def delete_edges(self, edge_type: str, sources: pa.StringArray, targets: pa.StringArray) -> int:
        """Delete all edges of the relation between each pair; returns how many were there."""
        ...

    def version(self) -> str:
        """Changes with every committed write, and only then."""
        ...

    def count_nodes(self, label: str) -> int: ...

    def count_edges(self, edge_type: str) -> int: ...

    def scan_nodes(self, label: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All nodes: column ``id`` and the named properties, sorted by id (bytewise)."""
        ...

    def scan_edges(self, edge_type: str, columns: Sequence[str], since: str | None = None) -> Iterator[pa.RecordBatch]:
        """All edges: columns ``source``, ``target`` (ids) and the named properties, in no promised order.

        ``since``: only edges written after that version() (deletions are not reported).
        """
        ...

    def neighbors(
        self,
        edge_type: str,
        keys: pa.StringArray,
        *,
        direction: Direction = "out",
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Ragged:
        """Live, read-your-writes neighbours of each key (an unknown key has none), at most ``limit`` per key.

        ``newest_first`` orders by the relation's time property, descending, unknown times last (Unsupported when it has
        none); then and otherwise by id, then by key. ``direction="in"``: ``keys`` are of the target label. ``"both"`` is for
        relations within one label (Unsupported otherwise); a loop is met once.
        """
        ...

    def close(self) -> None:
        """Release files and connections; calling it twice is harmless."""
        ...


class KeepingStore(GraphStore, Protocol):
    """A store with the capability ``keep``: it can also hold on to what is there.

    ``keep="last"``: as every store. ``"first"``: a value that is there is never replaced, nulls are filled; where the time
    decides between records, the earliest one stands as a whole. ``"error"``: nulls are filled, and a record that says
    something else is not written and named in ``conflicts``; where the time decides, the latest one stands, and only records
    of one time contradict each other. All of this holds inside one batch, too, in its order.
    """

    def upsert_nodes(
        self, label: str, keys: pa.StringArray, columns: Mapping[str, pa.Array], *, keep: Keep = "last"
    ) -> WriteStats: ...

    def upsert_edges(
        self,
        edge_type: str,
        sources: pa.StringArray,
        targets: pa.StringArray,
        columns: Mapping[str, pa.Array],
        *,
        keep: Keep = "last",
    ) -> WriteStats: ...


@runtime_checkable
class RetryingStore(Protocol):
    """A store that runs a failed transaction again, and counts that."""

    @property
    def retries(self) -> Mapping[str, int]:
        """How often since the store was opened, by the kind of error."""
        ...
