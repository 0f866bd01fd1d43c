"""One transaction of edges: what is written, what is there already, and the counter that numbers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.errors import NotBuilt, Shown, StoreConflict
from kgrecall.schema import EdgeTypeSpec
from kgrecall.store.base import WriteStats
from kgrecall.store.neo4j import statements as cypher
from kgrecall.store.neo4j.compare import compare
from kgrecall.store.neo4j.connection import Run
from kgrecall.store.neo4j.values import id_list, parameters
from kgrecall.types import IntArray

_CROWDED = 8
"""A source with so many times more edges than records is not read as a whole; each of its records is looked up."""


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


@dataclass(frozen=True, slots=True)
class EdgeRecords:
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
    ) -> EdgeRecords:
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

    def stats(self, outcomes: list[Outcome]) -> WriteStats:
        written = sum(outcome.written for outcome in outcomes)
        no_source = np.unique(np.concatenate([np.empty(0, np.int64), *(outcome.absent_sources for outcome in outcomes)]))
        no_target = np.unique(np.concatenate([np.empty(0, np.int64), *(outcome.absent_targets for outcome in outcomes)]))
        missing_source = np.flatnonzero(np.isin(self.source, no_source))
        missing_target = np.flatnonzero(np.isin(self.target, no_target))
        missing = len(np.union1d(missing_source, missing_target))
        return WriteStats(written, len(self.source) - missing - written, missing_source, missing_target)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one transaction did. ``seq`` numbers its relationships; absent ends are numbers of the batch."""

    seq: int
    written: int
    absent_sources: IntArray
    absent_targets: IntArray


@dataclass(frozen=True, slots=True)
class Pairs:
    """The records of one transaction: ``s``, ``t`` int64 (m,) index the distinct ends ``sources``, ``targets`` of the batch."""

    batch: EdgeRecords
    rows: IntArray
    sources: IntArray
    targets: IntArray
    s: IntArray
    t: IntArray
    us: list[str] = field(repr=False)
    vs: list[str] = field(repr=False)

    @classmethod
    def of(cls, batch: EdgeRecords, rows: IntArray) -> Pairs:
        sources, s = np.unique(batch.source[rows], return_inverse=True)
        targets, t = np.unique(batch.target[rows], return_inverse=True)
        us, vs = id_list(batch.source_ids, sources), id_list(batch.target_ids, targets)
        return cls(batch, rows, sources, targets, s, t, us, vs)

    def parameters(self, chosen: IntArray) -> dict[str, list[object]]:
        """Ends and columns of some of the records, in their order."""
        ends = {"us": self.us, "vs": self.vs, "s": self.s[chosen].tolist(), "t": self.t[chosen].tolist()}
        return {**ends, **parameters(self.batch.columns, self.rows[chosen])}


@dataclass(frozen=True, slots=True)
class EdgeWrite:
    """One transaction of edges: lock the sources, see what is there, create the rest, update what differs."""

    batch: EdgeRecords
    rows: IntArray
    lanes: Lanes
    worker: int
    ours: tuple[int, ...]
    """Numbers of this call's earlier transactions: their edges are other ones than these."""

    def __call__(self, run: Run) -> Outcome:
        edge_type, spec, names = self.batch.edge_type, self.batch.spec, list(self.batch.columns)
        lane, number = self.lanes.take(run, self.worker)
        seq = number * cypher.LANES + lane
        pairs = Pairs.of(self.batch, self.rows)
        no_source, linked = run(cypher.lock_sources(edge_type, spec), us=pairs.us, ours=list(self.ours))[0]
        numbers = run(cypher.find_targets(spec), vs=pairs.vs)[0][0]
        no_target = np.flatnonzero(np.asarray(numbers, np.int64) < 0)
        present = ~np.isin(pairs.s, no_source) & ~np.isin(pairs.t, no_target)
        chosen = np.flatnonzero(present & np.isin(pairs.s, [j for j, _ in linked]))
        found, changed = self._compare(run, pairs, chosen, linked, numbers)
        present[found] = False
        new = np.flatnonzero(present)
        if len(new):
            self._create(run, pairs, new, seq)
        if len(changed):
            run(cypher.update_edges(edge_type, spec, names), seq=seq, **pairs.parameters(changed))
        written = len(new) + len(changed)
        if written:
            run(cypher.ADVANCE_LANE, lane=lane, number=number)
        return Outcome(seq, written, pairs.sources[no_source], pairs.targets[no_target])

    def _compare(
        self, run: Run, pairs: Pairs, chosen: IntArray, linked: list[list[int]], numbers: list[int]
    ) -> tuple[IntArray, IntArray]:
        """Which of the chosen records are in the database already, and which of them have to change it."""
        if not len(chosen):
            return chosen, chosen
        edges = np.zeros(len(pairs.us), np.int64)
        edges[[j for j, _ in linked]] = [count for _, count in linked]
        records = np.bincount(pairs.s[chosen], minlength=len(edges))
        crowded = (edges > _CROWDED * records)[pairs.s[chosen]]
        parts = ((chosen[crowded], self._look_up), (chosen[~crowded], self._read_through))
        outcomes = [way(run, pairs, part, numbers) for part, way in parts if len(part)]
        return np.concatenate([found for found, _ in outcomes]), np.concatenate([changed for _, changed in outcomes])

    def _look_up(self, run: Run, pairs: Pairs, part: IntArray, _: list[int]) -> tuple[IntArray, IntArray]:
        """Pair by pair, on the server: for sources that have many edges beside those asked for."""
        statement = cypher.compare_pairs(self.batch.edge_type, self.batch.spec, list(self.batch.columns))
        there, differ = run(statement, **pairs.parameters(part))[0]
        return part[np.unique(np.asarray(there, np.int64))], part[np.unique(np.asarray(differ, np.int64))]

    def _read_through(self, run: Run, pairs: Pairs, part: IntArray, numbers: list[int]) -> tuple[IntArray, IntArray]:
        """All edges of the sources, compared here: that costs the server the least."""
        names = list(self.batch.columns)
        sources, s = np.unique(pairs.s[part], return_inverse=True)
        us = [pairs.us[source] for source in sources]
        rows = run(cypher.read_sources(self.batch.edge_type, self.batch.spec, names), us=us)
        values = parameters(self.batch.columns, pairs.rows[part])
        columns = {name: values[cypher.column(name)] for name in names}
        found, changed = compare(rows, self.batch.spec, (s.tolist(), pairs.t[part].tolist()), numbers, columns)
        return part[found], part[changed]

    def _create(self, run: Run, pairs: Pairs, new: IntArray, seq: int) -> None:
        statement = cypher.create_edges(self.batch.edge_type, self.batch.spec, list(self.batch.columns))
        created = run(statement, seq=seq, **pairs.parameters(new))[0][0]
        if created != len(new):
            raise StoreConflict(
                self.batch.edge_type,
                expected=f"{len(new)} edges written",
                got=created,
                remedy="Their end nodes were deleted meanwhile: run it again.",
            )
