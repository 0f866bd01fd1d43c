"""Batches into a store, and an account of every record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pyarrow as pa

from kgrecall.errors import Shown, Unsupported
from kgrecall.schema import GraphSchema
from kgrecall.sources.quarantine import Quarantine, Reason
from kgrecall.sources.tables import Batch, EdgeBatch, NodeBatch
from kgrecall.store.base import GraphStore, Keep, KeepingStore, WriteStats
from kgrecall.store.journal import Memory, digest_of
from kgrecall.store.pool import name_of, take
from kgrecall.types import IntArray, Progress


@dataclass
class Writer:
    """Writes batches, puts records aside that the store cannot take, and counts by label or relation.

    ``duplicates`` other than "last" needs a :class:`kgrecall.store.base.KeepingStore` (Unsupported otherwise).
    """

    store: GraphStore
    schema: GraphSchema
    quarantine: Quarantine
    memory: Memory
    duplicates: Keep
    progress: Progress
    written: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    created: Counter[str] = field(default_factory=Counter)
    """Nodes that edges brought along, by label."""
    done: int = 0

    def __post_init__(self) -> None:
        if self.duplicates != "last" and "keep" not in self.store.capabilities:
            raise Unsupported(
                f"duplicates={self.duplicates!r}",
                expected="a store with the capability 'keep'",
                got=Shown(f"{self.store!r}"),
                remedy='Use duplicates="last", or import into SQLite.',
            )

    def write(self, batches: Iterable[Batch]) -> None:
        """Nodes must come before the edges that need them."""
        rules = f"{self.duplicates} {self.schema.to_json()}"
        for batch in batches:
            digest = digest_of(batch, rules)
            stats = self.memory.recall(digest, len(batch))
            if stats is None:
                stats = self._upsert(batch)
                self.memory.note(digest, stats)
            self.written[name_of(batch)] += stats.written
            self.unchanged[name_of(batch)] += stats.unchanged
            self._put_aside(batch, stats)
            self.done += len(batch)
            self.progress("ingest", self.done, None)

    def _upsert(self, batch: Batch) -> WriteStats:
        if isinstance(batch, NodeBatch):
            if self.duplicates == "last":
                return self.store.upsert_nodes(batch.label, batch.keys, batch.columns)
            return cast(KeepingStore, self.store).upsert_nodes(batch.label, batch.keys, batch.columns, keep=self.duplicates)
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
            np.union1d(stats.conflicts, mendable[again.conflicts]),
        )

    def _upsert_edges(self, batch: EdgeBatch) -> WriteStats:
        given = (batch.edge_type, batch.sources, batch.targets, batch.columns)
        if self.duplicates == "last":
            return self.store.upsert_edges(*given)
        return cast(KeepingStore, self.store).upsert_edges(*given, keep=self.duplicates)

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

    def _put_aside(self, batch: Batch, stats: WriteStats) -> None:
        """Each record once: a missing source is blamed before a missing target, unless the source could have been created."""
        if isinstance(batch, NodeBatch):
            self._quarantine(batch, "id", Reason.CONTRADICTION, batch.keys, stats.conflicts)
            return
        no_source, no_target = stats.missing_source, stats.missing_target
        if batch.create_source:
            no_source = np.setdiff1d(no_source, no_target)
        else:
            no_target = np.setdiff1d(no_target, no_source)
        self._quarantine(batch, "source", Reason.DANGLING_SOURCE, batch.sources, no_source)
        self._quarantine(batch, "target", Reason.DANGLING_TARGET, batch.targets, no_target)
        self._quarantine(batch, "source", Reason.CONTRADICTION, batch.sources, stats.conflicts)

    def _quarantine(self, batch: Batch, column: str, reason: Reason, keys: pa.StringArray, positions: IntArray) -> None:
        if not len(positions):
            return
        values: Sequence[str] = keys.take(pa.array(positions)).to_pylist()
        rows = batch.origin.rows[positions]
        self.quarantine.add_many(batch.origin.file, rows, record=name_of(batch), column=column, reason=reason, values=values)


def _mendable(batch: EdgeBatch, stats: WriteStats) -> IntArray:
    """Positions of the edges whose missing ends may all be created."""
    sides = ((batch.create_source, stats.missing_source), (batch.create_target, stats.missing_target))
    hopeless = [missing for create, missing in sides if not create]
    return np.setdiff1d(stats.missing, np.concatenate([np.empty(0, np.int64), *hopeless]))


def _still(missing: IntArray, mended: IntArray, missing_again: IntArray) -> IntArray:
    """Without those that were mended, except where somebody deleted the new node in between."""
    return np.union1d(np.setdiff1d(missing, mended), mended[missing_again])
