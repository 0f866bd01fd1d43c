"""Upserts and deletions: records become codes, codes become transactions, transactions run side by side where they may."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.schema import EdgeTypeSpec
from kgrecall.store.base import WriteStats
from kgrecall.store.latest import codes, event_times, last_of_equal
from kgrecall.store.neo4j import statements as cypher
from kgrecall.store.neo4j.connection import Connection, Run
from kgrecall.store.neo4j.edges import EdgeRecords, EdgeWrite, Lanes, Outcome, Pairs
from kgrecall.store.neo4j.ledger import Ledger
from kgrecall.store.neo4j.schedule import Cell, plan_cells, run_cells
from kgrecall.store.neo4j.values import id_list, parameters
from kgrecall.types import IntArray

_GROUPS_PER_SESSION = 1
"""More groups balance better, and touch every node in more transactions."""
T = TypeVar("T")


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
    ledger: Ledger,
    edge_type: str,
    spec: EdgeTypeSpec,
    ends: tuple[pa.StringArray, pa.StringArray],
    columns: Mapping[str, pa.Array],
) -> WriteStats:
    """Distinct edges, grouped by source; a call beyond one transaction is cut into cells that share no node."""
    batch = EdgeRecords.of(edge_type, spec, ends, columns)
    rows = last_of_equal([batch.source, batch.target, *(codes(columns[k]) for k in spec.edge_key)], event_times(spec, columns))
    config = connection.config
    if len(rows) <= config.transaction_rows or config.sessions == 1:
        cells = [Cell(rows, frozenset())] if len(rows) else []
    else:
        one_label = spec.source == spec.target
        num_groups = _GROUPS_PER_SESSION * config.sessions
        cells = plan_cells(batch.source[rows], batch.target[rows], num_groups, one_label=one_label)
        cells = [Cell(rows[cell.rows], cell.groups) for cell in cells]
    key = [columns[name] for name in spec.edge_key]
    page = ledger.open(edge_type, (batch.source_ids, batch.target_ids), (batch.source, batch.target), key)

    def write(worker: int, chosen: IntArray) -> list[Outcome]:
        outcomes = []
        for part in _cut(chosen, config.transaction_rows):
            outcome = connection.write(EdgeWrite(batch, part, lanes, worker, page))
            page.note(outcome.created)
            outcomes.append(outcome)
        return outcomes

    try:
        outcomes = [outcome for done in _run(connection, cells, write) for outcome in done]
    finally:
        ledger.close(page)
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
    batch = EdgeRecords.of(edge_type, spec, ends, {})

    def delete(part: IntArray) -> int:
        def work(run: Run) -> int:
            lane, number = lanes.take(run, 0)
            ends = Pairs.of(batch, part).parameters(np.arange(len(part)))
            run(cypher.lock_sources(spec), us=ends["us"])
            deleted = int(run(cypher.delete_edges(edge_type, spec), **ends)[0][0])
            if deleted:
                run(cypher.ADVANCE_LANE, lane=lane, number=number)
            return deleted

        return connection.write(work)

    rows = last_of_equal([batch.source, batch.target])
    return sum(delete(part) for part in _cut(rows, connection.config.transaction_rows))


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
