"""Tables into a graph store: in large batches, idempotently, with an account of every record."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from kgrecall.schema import GraphSchema
from kgrecall.sources.quarantine import Quarantine, Reason
from kgrecall.sources.tables import Batch, EdgeBatch, NodeBatch
from kgrecall.store.base import GraphStore, WriteStats
from kgrecall.store.journal import Memory, digest_of, journaled
from kgrecall.store.pool import WRITE_ROWS, Pool, name_of, take
from kgrecall.store.report import ImportReport, Tally
from kgrecall.types import IntArray, Progress, no_progress


@runtime_checkable
class Tables(Protocol):
    """What a reader of files offers beside its batches. The counts are complete when the iteration ends."""

    @property
    def quarantine(self) -> Quarantine: ...

    @property
    def records_read(self) -> Mapping[str, int]:
        """By label and relation; quarantined ones included."""
        ...

    @property
    def rows_read(self) -> Mapping[str, int]:
        """By file."""
        ...

    def __iter__(self) -> Iterator[Batch]: ...


def ingest(
    tables: Tables | Iterable[Batch],
    store: GraphStore,
    schema: GraphSchema,
    *,
    write_rows: int = WRITE_ROWS,
    progress: Progress = no_progress,
) -> ImportReport:
    """Write all records of ``tables`` into ``store``; running it again changes nothing.

    Edges whose end nodes are missing go to the quarantine of ``tables`` with their row, unless the mapping lets the edge
    create them. Whatever stops an import, a second run completes it; where the store keeps a journal it skips the chunks
    that are already there, and only one process imports at a time.

    Args:
        tables: a reader of files, or batches from anywhere (their bad records are then only counted).
        write_rows: records per write; more are faster and take more memory, some 500 bytes each.
        progress: called with ("ingest", records so far, None) after each write.

    Raises:
        SchemaError: the store holds a schema that this one contradicts.
        TooManyBadRows: the quarantine reached its limit.
        StoreConflict: another process is importing; names it.
        StoreError: the store failed.
    """
    started = time.perf_counter()
    source = tables if isinstance(tables, Tables) else _Counted(tables)
    store.apply_schema(schema)
    with journaled(store) as memory:
        writer = _Writer(store, schema, source.quarantine, memory, progress)
        pool = Pool(write_rows)
        for batch in source:
            pool.add(batch)
            if pool.full:
                writer.write(pool.take())
        writer.write(pool.take())
        store.apply_schema(schema)  # builds the indexes that were better put off
    return _report(writer, source, schema, time.perf_counter() - started)


class _Counted:
    """Batches that do not come from files, counted as a reader would."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = batches
        self.quarantine = Quarantine()
        self.records_read: Counter[str] = Counter()
        self.rows_read: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self.records_read[name_of(batch)] += len(batch)
            last = int(batch.origin.rows.max(initial=0))
            self.rows_read[batch.origin.file] = max(self.rows_read[batch.origin.file], last)
            yield batch


@dataclass
class _Writer:
    """Writes batches and counts what became of them, by label or relation."""

    store: GraphStore
    schema: GraphSchema
    quarantine: Quarantine
    memory: Memory
    progress: Progress
    written: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    created: Counter[str] = field(default_factory=Counter)
    done: int = 0

    def write(self, batches: Iterable[Batch]) -> None:
        """Nodes must come before the edges that need them."""
        rules = self.schema.to_json()
        for batch in batches:
            digest = digest_of(batch, rules)
            stats = self.memory.recall(digest, len(batch))
            if stats is None:
                stats = self._upsert(batch)
                self.memory.note(digest, stats)
            self.written[name_of(batch)] += stats.written
            self.unchanged[name_of(batch)] += stats.unchanged
            if isinstance(batch, EdgeBatch):
                self._put_aside(batch, stats)
            self.done += len(batch)
            self.progress("ingest", self.done, None)

    def _upsert(self, batch: Batch) -> WriteStats:
        if isinstance(batch, NodeBatch):
            return self.store.upsert_nodes(batch.label, batch.keys, batch.columns)
        stats = self._upsert_edges(batch)
        mendable = _mendable(batch, stats)
        if not len(mendable):
            return stats
        self._create_ends(batch, stats, mendable)
        again = self._upsert_edges(take(batch, mendable))
        return WriteStats(
            stats.written + again.written,
            stats.unchanged + again.unchanged,
            _still(stats.missing_source, mendable, again.missing_source),
            _still(stats.missing_target, mendable, again.missing_target),
        )

    def _upsert_edges(self, batch: EdgeBatch) -> WriteStats:
        return self.store.upsert_edges(batch.edge_type, batch.sources, batch.targets, batch.columns)

    def _create_ends(self, batch: EdgeBatch, stats: WriteStats, rows: IntArray) -> None:
        spec = self.schema.edge(batch.edge_type)
        sides = (
            (spec.source, batch.sources, stats.missing_source),
            (spec.target, batch.targets, stats.missing_target),
        )
        for label, keys, missing in sides:
            wanted = np.intersect1d(missing, rows)
            if len(wanted):
                self.created[label] += self.store.upsert_nodes(label, keys.take(pa.array(wanted)), {}).written

    def _put_aside(self, batch: EdgeBatch, stats: WriteStats) -> None:
        """Each record once: a missing source is blamed before a missing target."""
        blame = (
            ("source", Reason.DANGLING_SOURCE, batch.sources, stats.missing_source),
            ("target", Reason.DANGLING_TARGET, batch.targets, np.setdiff1d(stats.missing_target, stats.missing_source)),
        )
        for column, reason, keys, positions in blame:
            values = keys.take(pa.array(positions)).to_pylist()
            origin, record = batch.origin, batch.edge_type
            self.quarantine.add_many(
                origin.file, origin.rows[positions], record=record, column=column, reason=reason, values=values
            )


def _mendable(batch: EdgeBatch, stats: WriteStats) -> IntArray:
    """Positions of the edges whose missing ends may all be created."""
    sides = ((batch.create_source, stats.missing_source), (batch.create_target, stats.missing_target))
    hopeless = [missing for create, missing in sides if not create]
    return np.setdiff1d(stats.missing, np.concatenate([np.empty(0, np.int64), *hopeless]))


def _still(missing: IntArray, mended: IntArray, missing_again: IntArray) -> IntArray:
    """Without those that were mended, except where somebody deleted the new node in between."""
    return np.union1d(np.setdiff1d(missing, mended), mended[missing_again])


def _report(writer: _Writer, source: Tables, schema: GraphSchema, seconds: float) -> ImportReport:
    quarantine = source.quarantine

    def tally(name: str) -> Tally:
        return Tally(
            read=source.records_read.get(name, 0),
            written=writer.written[name],
            unchanged=writer.unchanged[name],
            quarantined=quarantine.records[name],
            created=writer.created[name],
        )

    return ImportReport(
        nodes={label: tally(label) for label in schema.nodes},
        edges={relation: tally(relation) for relation in schema.edges},
        rows=dict(source.rows_read),
        reasons={str(reason): count for reason, count in quarantine.reasons.most_common()},
        quarantine=str(quarantine.path) if quarantine.path and quarantine.total else None,
        seconds=seconds,
    )
