"""One transaction of edges: what is written, what is there already, and the counter that numbers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.errors import NotBuilt, Shown, StoreConflict
from kgrecall.schema import EdgeTypeSpec
from kgrecall.store.base import WriteStats
from kgrecall.store.neo4j import statements as cypher
from kgrecall.store.neo4j.compare import compare
from kgrecall.store.neo4j.connection import Run
from kgrecall.store.neo4j.ledger import Page
from kgrecall.store.neo4j.values import id_list, parameters
from kgrecall.types import BoolArray, IntArray

_CROWDED = 32
"""A source with so many times more edges than records is not read; each of its records is looked up."""
_LISTED = 100
"""The records of a source up to which the server compares every edge's target with theirs; beyond, it returns all edges."""
_CROWDED_HUB = 8
"""As ``_CROWDED``, for sources beyond ``_LISTED``."""


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
    found: IntArray
    """The database's number of each target once a transaction of the call has found it, else -1; writing verifies it."""

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
        return cls(edge_type, spec, *known, source, target, columns, np.full(len(known[1]), -1, np.int64))

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
    """What one transaction did. ``created`` holds records of the batch, absent ends are numbers of it."""

    created: IntArray
    written: int
    absent_sources: IntArray
    absent_targets: IntArray


@dataclass(frozen=True, slots=True)
class Ends:
    """The database's numbers of the sources (``near``) and targets (``far``) of a transaction; -1 for an absent one."""

    near: IntArray
    far: IntArray

    def present(self, pairs: Pairs) -> BoolArray:
        """The records whose ends are both there, bool (m,)."""
        there: BoolArray = (self.near[pairs.s] >= 0) & (self.far[pairs.t] >= 0)
        return there


@dataclass(frozen=True, slots=True)
class Pairs:
    """The records of one transaction, sorted by source: ``s``, ``t`` int64 (m,) index its distinct ``sources``, ``targets``."""

    batch: EdgeRecords
    rows: IntArray
    sources: IntArray
    targets: IntArray
    s: IntArray
    t: IntArray

    @classmethod
    def of(cls, batch: EdgeRecords, rows: IntArray) -> Pairs:
        sources, s = np.unique(batch.source[rows], return_inverse=True)
        targets, t = np.unique(batch.target[rows], return_inverse=True)
        return cls(batch, rows, sources, targets, s, t)

    def parameters(self, chosen: IntArray) -> dict[str, list[object]]:
        """Ends by id and columns of some of the records, in their order."""
        sources, s = np.unique(self.s[chosen], return_inverse=True)
        targets, t = np.unique(self.t[chosen], return_inverse=True)
        ids = {"us": self.source_ids(sources), "vs": self.target_ids(targets)}
        return {**ids, "s": s.tolist(), "t": t.tolist(), **parameters(self.batch.columns, self.rows[chosen])}

    def numbered(self, chosen: IntArray, known: Ends) -> dict[str, list[object]]:
        """Ends by the database's numbers, and columns of some of the records."""
        sources, start = np.unique(self.s[chosen], return_index=True)
        targets, t = np.unique(self.t[chosen], return_inverse=True)
        ends = {
            "u": known.near[sources].tolist(),
            "v": known.far[targets].tolist(),
            "vs": self.target_ids(targets),
            "t": t.tolist(),
        }
        bounds = {"from": [*start.tolist(), len(chosen)]}
        return {**ends, **bounds, **parameters(self.batch.columns, self.rows[chosen])}

    def source_ids(self, chosen: IntArray) -> list[str]:
        return id_list(self.batch.source_ids, self.sources[chosen])

    def target_ids(self, chosen: IntArray) -> list[str]:
        return id_list(self.batch.target_ids, self.targets[chosen])


@dataclass(frozen=True, slots=True)
class EdgeWrite:
    """One transaction of edges: lock the sources, see what is there, create the rest, update what differs."""

    batch: EdgeRecords
    rows: IntArray
    lanes: Lanes
    worker: int
    page: Page

    def __call__(self, run: Run) -> Outcome:
        edge_type, spec, names = self.batch.edge_type, self.batch.spec, list(self.batch.columns)
        lane, number = self.lanes.take(run, self.worker)
        seq = number * cypher.LANES + lane
        pairs = Pairs.of(self.batch, self.rows)
        near, edges = self._lock_sources(run, pairs)
        ends = Ends(near, self._find_targets(run, pairs))
        found, changed = self._compare(run, pairs, ends, edges)
        absent = ends.present(pairs)
        absent[found] = False
        new = np.flatnonzero(absent)
        if len(new):
            self._create(run, seq, len(new), pairs.numbered(new, ends))
        if len(changed):
            run(cypher.update_edges(edge_type, spec, names), seq=seq, **pairs.parameters(changed))
        written = len(new) + len(changed)
        if written:
            run(cypher.ADVANCE_LANE, lane=lane, number=number)
        return Outcome(self.rows[new], written, pairs.sources[ends.near < 0], pairs.targets[ends.far < 0])

    def _find_targets(self, run: Run, pairs: Pairs) -> IntArray:
        """The database's number of each target, -1 for an absent one; asks for those that the call does not know yet."""
        found = self.batch.found
        unknown = np.flatnonzero(found[pairs.targets] < 0)
        if len(unknown):
            found[pairs.targets[unknown]] = run(cypher.find_targets(self.batch.spec), vs=pairs.target_ids(unknown))[0][0]
        return found[pairs.targets]

    def _lock_sources(self, run: Run, pairs: Pairs) -> tuple[IntArray, IntArray]:
        """Per source the database's number, -1 for an absent one, and how many edges it has."""
        us = pairs.source_ids(np.arange(len(pairs.sources)))
        numbers, edges = run(cypher.lock_and_count(self.batch.edge_type, self.batch.spec), us=us)[0]
        return np.asarray(numbers, np.int64), np.asarray(edges, np.int64)

    def _compare(self, run: Run, pairs: Pairs, ends: Ends, edges: IntArray) -> tuple[IntArray, IntArray]:
        """Which of the records are in the database already, and which of them have to change it."""
        possible = (edges > 0)[pairs.s] & (~self.page.alone(pairs.sources, edges)[pairs.s] | self.page.seen[pairs.rows])
        chosen = np.flatnonzero(ends.present(pairs) & possible)
        records = np.bincount(pairs.s[chosen], minlength=len(edges))
        crowded = edges > records * np.where(records <= _LISTED, _CROWDED, _CROWDED_HUB)
        parts = ((chosen[crowded[pairs.s[chosen]]], self._look_up), (chosen[~crowded[pairs.s[chosen]]], self._read_through))
        outcomes = [way(run, pairs, part, ends) for part, way in parts if len(part)]
        none = np.empty(0, np.int64)
        found, changed = zip((none, none), *outcomes, strict=True)
        return np.concatenate(found), np.concatenate(changed)

    def _read_through(self, run: Run, pairs: Pairs, part: IntArray, ends: Ends) -> tuple[IntArray, IntArray]:
        """The edges of the sources, compared here: that costs the server the least."""
        sources, start, s = np.unique(pairs.s[part], return_index=True, return_inverse=True)
        targets = ends.far[pairs.t[part]].tolist()
        near = [targets[a:b] if b - a <= _LISTED else None for a, b in pairwise([*start.tolist(), len(part)])]
        statement = cypher.read_sources(self.batch.edge_type, list(self.batch.columns))
        stored = run(statement, u=ends.near[sources].tolist(), near=near)[0][0]
        values = parameters(self.batch.columns, pairs.rows[part])
        columns = {name: values[cypher.column(name)] for name in self.batch.columns}
        read = [(j, edges) for j, edges in enumerate(stored) if edges]
        found, changed = compare(read, self.batch.spec, (s.tolist(), targets), columns)
        return part[found], part[changed]

    def _look_up(self, run: Run, pairs: Pairs, part: IntArray, _: Ends) -> tuple[IntArray, IntArray]:
        """Pair by pair, on the server: for sources that have many edges beside those asked for."""
        statement = cypher.compare_pairs(self.batch.edge_type, self.batch.spec, list(self.batch.columns))
        there, differ = run(statement, **pairs.parameters(part))[0]
        return part[np.unique(np.asarray(there, np.int64))], part[np.unique(np.asarray(differ, np.int64))]

    def _create(self, run: Run, seq: int, wanted: int, values: Mapping[str, object]) -> None:
        statement = cypher.create_edges(self.batch.edge_type, self.batch.spec, list(self.batch.columns))
        created = run(statement, seq=seq, **values)[0][0]
        if created != wanted:
            raise StoreConflict(
                self.batch.edge_type,
                expected=f"{wanted} edges written",
                got=created,
                remedy="Their end nodes were deleted meanwhile: run it again.",
            )
