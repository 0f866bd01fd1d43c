"""Upserts and deletions: records become codes, codes become transactions, transactions run side by side where they may."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.errors import NotBuilt, Shown, StoreConflict
from kgrecall.schema import EdgeTypeSpec
from kgrecall.store.base import WriteStats
from kgrecall.store.latest import codes, event_times, last_of_equal
from kgrecall.store.neo4j import statements as cypher
from kgrecall.store.neo4j.connection import Connection, Run
from kgrecall.store.neo4j.schedule import Cell, plan_cells, run_cells
from kgrecall.store.neo4j.values import id_list, parameters
from kgrecall.types import IntArray

_GROUPS_PER_SESSION = 2
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lanes:
    """The write counters that one instance uses: worker i takes lane ``first + i``."""

    first: int

    def take(self, run: Run, worker: int) -> tuple[int, int]:
        """Lock the worker's lane until the transaction ends; its number and the next count."""
        lane = (self.first + worker) % cypher.LANES
        rows = run(cypher.TAKE_LANE, lane=lane)
        if not rows:
            raise NotBuilt(
                "Neo4j database",
                expected="a schema",
                got=Shown("none"),
                remedy="Call apply_schema(schema) or ingest(...) first.",
            )
        return lane, rows[0][0] + 1


def upsert_nodes(
    connection: Connection, lanes: Lanes, label: str, keys: pa.StringArray, columns: Mapping[str, pa.Array]
) -> WriteStats:
    """Distinct keys in transactions of the configured size; several sessions for a large call."""
    rows = last_of_equal([codes(keys)])
    rows = rows[pc.sort_indices(keys.take(pa.array(rows))).to_numpy()]
    names = list(columns)

    def write(worker: int, chosen: IntArray) -> int:
        def work(run: Run) -> int:
            lane, number = lanes.take(run, worker)
            ids, values = id_list(keys, chosen), parameters(columns, chosen)
            absent, changed = run(cypher.compare_nodes(label, names), id=ids, **values)[0]
            if absent:
                run(cypher.merge_nodes(label, names), id=_pick(ids, absent), **_pick_all(values, absent))
            if changed:
                run(cypher.update_nodes(label, names), id=_pick(ids, changed), **_pick_all(values, changed))
            if absent or changed:
                run(cypher.ADVANCE_LANE, lane=lane, number=number)
            return len(absent) + len(changed)

        return connection.write(work)

    parts = [Cell(part, frozenset((i,))) for i, part in enumerate(_cut(rows, connection.config.transaction_rows))]
    written = sum(_run(connection, parts, write))
    return WriteStats(written, len(keys) - written)


def upsert_edges(
    connection: Connection,
    lanes: Lanes,
    edge_type: str,
    spec: EdgeTypeSpec,
    ends: tuple[pa.StringArray, pa.StringArray],
    columns: Mapping[str, pa.Array],
) -> WriteStats:
    """Distinct edges, grouped by source; a call beyond one transaction is cut into cells that share no node."""
    batch = _EdgeBatch.of(edge_type, spec, ends, columns)
    rows = last_of_equal([batch.source, batch.target, *(codes(columns[k]) for k in spec.edge_key)], event_times(spec, columns))
    config = connection.config
    if len(rows) <= config.transaction_rows or config.sessions == 1:
        cells = [Cell(rows, frozenset())] if len(rows) else []
    else:
        one_label = spec.source == spec.target
        num_groups = _GROUPS_PER_SESSION * config.sessions
        cells = plan_cells(batch.source[rows], batch.target[rows], num_groups, one_label=one_label)
        cells = [Cell(rows[cell.rows], cell.groups) for cell in cells]
    ours: list[int] = []

    def write(worker: int, chosen: IntArray) -> list[_Outcome]:
        outcomes = []
        for part in _cut(chosen, config.transaction_rows):
            outcome = connection.write(_EdgeWrite(batch, part, lanes, worker, tuple(ours)))
            if outcome.written:  # otherwise the number is still free, and another importer may take it
                ours.append(outcome.seq)
            outcomes.append(outcome)
        return outcomes

    outcomes = [outcome for done in _run(connection, cells, write) for outcome in done]
    return batch.stats(outcomes)


def delete_nodes(connection: Connection, lanes: Lanes, label: str, keys: pa.StringArray) -> int:
    """Nodes with all their edges."""
    distinct = pc.unique(keys)

    def delete(part: IntArray) -> int:
        def work(run: Run) -> int:
            lane, number = lanes.take(run, 0)
            deleted = int(run(cypher.delete_nodes(label), id=id_list(distinct, part))[0][0])
            if deleted:
                run(cypher.ADVANCE_LANE, lane=lane, number=number)
            return deleted

        return connection.write(work)

    return sum(delete(part) for part in _cut(np.arange(len(distinct)), connection.config.transaction_rows))


def delete_edges(
    connection: Connection, lanes: Lanes, edge_type: str, spec: EdgeTypeSpec, ends: tuple[pa.StringArray, pa.StringArray]
) -> int:
    batch = _EdgeBatch.of(edge_type, spec, ends, {})

    def delete(part: IntArray) -> int:
        def work(run: Run) -> int:
            lane, number = lanes.take(run, 0)
            pairs = _Pairs.of(batch, part)
            run(cypher.lock_sources(edge_type, spec), us=pairs.us, ours=[])
            deleted = int(run(cypher.delete_edges(edge_type, spec), **pairs.parameters(np.arange(len(part))))[0][0])
            if deleted:
                run(cypher.ADVANCE_LANE, lane=lane, number=number)
            return deleted

        return connection.write(work)

    rows = last_of_equal([batch.source, batch.target])
    return sum(delete(part) for part in _cut(rows, connection.config.transaction_rows))


@dataclass(frozen=True, slots=True)
class _EdgeBatch:
    """The records of one call: distinct ids of both ends, and per record their numbers (int64 (n,))."""

    edge_type: str
    spec: EdgeTypeSpec
    source_ids: pa.StringArray
    target_ids: pa.StringArray
    source: IntArray
    target: IntArray
    columns: Mapping[str, pa.Array]

    @classmethod
    def of(
        cls,
        edge_type: str,
        spec: EdgeTypeSpec,
        ends: tuple[pa.StringArray, pa.StringArray],
        columns: Mapping[str, pa.Array],
    ) -> _EdgeBatch:
        """Numbers are shared by both ends when they have one label."""
        if spec.source == spec.target:
            ids = pc.unique(pa.concat_arrays(ends))
            known = (ids, ids)
        else:
            known = (pc.unique(ends[0]), pc.unique(ends[1]))
        source, target = (
            pc.index_in(end, value_set=ids).to_numpy(zero_copy_only=False).astype(np.int64)
            for end, ids in zip(ends, known, strict=True)
        )
        return cls(edge_type, spec, *known, source, target, columns)

    def stats(self, outcomes: list[_Outcome]) -> WriteStats:
        written = sum(outcome.written for outcome in outcomes)
        no_source = np.unique(np.concatenate([np.empty(0, np.int64), *(outcome.absent_sources for outcome in outcomes)]))
        no_target = np.unique(np.concatenate([np.empty(0, np.int64), *(outcome.absent_targets for outcome in outcomes)]))
        missing_source = np.flatnonzero(np.isin(self.source, no_source))
        missing_target = np.flatnonzero(np.isin(self.target, no_target))
        missing = len(np.union1d(missing_source, missing_target))
        return WriteStats(written, len(self.source) - missing - written, missing_source, missing_target)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one transaction did. ``seq`` numbers its relationships; absent ends are numbers of the batch."""

    seq: int
    written: int
    absent_sources: IntArray
    absent_targets: IntArray


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The records of one transaction: ``s``, ``t`` int64 (m,) index the distinct ends ``sources``, ``targets`` of the batch."""

    batch: _EdgeBatch
    rows: IntArray
    sources: IntArray
    targets: IntArray
    s: IntArray
    t: IntArray
    us: list[str] = field(repr=False)
    vs: list[str] = field(repr=False)

    @classmethod
    def of(cls, batch: _EdgeBatch, rows: IntArray) -> _Pairs:
        sources, s = np.unique(batch.source[rows], return_inverse=True)
        targets, t = np.unique(batch.target[rows], return_inverse=True)
        us, vs = id_list(batch.source_ids, sources), id_list(batch.target_ids, targets)
        return cls(batch, rows, sources, targets, s, t, us, vs)

    def parameters(self, chosen: IntArray) -> dict[str, list[object]]:
        """Ends and columns of some of the records, in their order."""
        ends = {"us": self.us, "vs": self.vs, "s": self.s[chosen].tolist(), "t": self.t[chosen].tolist()}
        return {**ends, **parameters(self.batch.columns, self.rows[chosen])}


@dataclass(frozen=True, slots=True)
class _EdgeWrite:
    """One transaction of edges: lock the sources, see what is there, create the rest, update what differs."""

    batch: _EdgeBatch
    rows: IntArray
    lanes: Lanes
    worker: int
    ours: tuple[int, ...]
    """Numbers of this call's earlier transactions: their edges are other ones than these."""

    def __call__(self, run: Run) -> _Outcome:
        edge_type, spec, names = self.batch.edge_type, self.batch.spec, list(self.batch.columns)
        lane, number = self.lanes.take(run, self.worker)
        seq = number * cypher.LANES + lane
        pairs = _Pairs.of(self.batch, self.rows)
        no_source, linked = run(cypher.lock_sources(edge_type, spec), us=pairs.us, ours=list(self.ours))[0]
        (no_target,) = run(cypher.find_targets(spec), vs=pairs.vs)[0]
        present = ~np.isin(pairs.s, no_source) & ~np.isin(pairs.t, no_target)
        found, changed = self._compare(run, pairs, np.flatnonzero(present & np.isin(pairs.s, linked)))
        present[found] = False
        new = np.flatnonzero(present)
        if len(new):
            self._create(run, pairs, new, seq)
        if len(changed):
            run(cypher.update_edges(edge_type, spec, names), seq=seq, **pairs.parameters(changed))
        written = len(new) + len(changed)
        if written:
            run(cypher.ADVANCE_LANE, lane=lane, number=number)
        return _Outcome(seq, written, pairs.sources[no_source], pairs.targets[no_target])

    def _compare(self, run: Run, pairs: _Pairs, chosen: IntArray) -> tuple[IntArray, IntArray]:
        """Which records are in the database already, and which of them have to change it."""
        if not len(chosen):
            return chosen, chosen
        statement = cypher.compare_edges(self.batch.edge_type, self.batch.spec, list(self.batch.columns))
        found, changed = run(statement, **pairs.parameters(chosen))[0]
        return chosen[np.unique(np.asarray(found, np.int64))], chosen[np.unique(np.asarray(changed, np.int64))]

    def _create(self, run: Run, pairs: _Pairs, new: IntArray, seq: int) -> None:
        statement = cypher.create_edges(self.batch.edge_type, self.batch.spec, list(self.batch.columns))
        created = run(statement, seq=seq, **pairs.parameters(new))[0][0]
        if created != len(new):
            raise StoreConflict(
                self.batch.edge_type,
                expected=f"{len(new)} edges written",
                got=created,
                remedy="Their end nodes were deleted meanwhile: run it again.",
            )


def _run(connection: Connection, cells: list[Cell], write: Callable[[int, IntArray], T]) -> list[T]:
    """One cell needs no threads, which keeps a small call cheap."""
    if len(cells) <= 1 or connection.config.sessions == 1:
        return [write(0, cell.rows) for cell in cells]
    return run_cells(cells, connection.config.sessions, write)


def _pick(values: Sequence[T], positions: Sequence[int]) -> list[T]:
    return [values[i] for i in positions]


def _pick_all(columns: Mapping[str, Sequence[T]], positions: Sequence[int]) -> dict[str, list[T]]:
    return {name: _pick(values, positions) for name, values in columns.items()}


def _cut(rows: IntArray, size: int) -> list[IntArray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
