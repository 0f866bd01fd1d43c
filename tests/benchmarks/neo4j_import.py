"""Import into Neo4j: relationships per second beside one and four sessions of UNWIND $rows MERGE.

Arguments: the numbers of relationships, e.g. ``100000 1000000 3000000`` (default 100000), and ``--into`` one kind of database
alone. Every system writes records of the same graph in the same order, into an empty database and into one that holds every
second record already. Server and client share this machine; wall seconds and the CPU seconds of both are shown, the ratios are
those of wall seconds. Into an empty database every system writes the whole graph, but the four sessions a tenth of one beyond a
million. Of a half-filled one beyond 200,000 each of the two plain ways writes a tenth of the records, each its own, so that it
need not be filled again for each.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from kgrecall.sources.tables import Batch, EdgeBatch, NodeBatch, Origin
from kgrecall.store.ingest import ingest
from tests.benchmarks.generated_graph import SCHEMA, batches
from tests.benchmarks.neo4j_server_cost import Bench, ServerCost, open_bench
from tests.benchmarks.record import record

SEED = 0
BATCH = 10_000
WHOLE, WHOLE_BY_FOUR = 200_000, 1_000_000
"""The largest half-filled graph that every system writes as a whole, and the largest one that four sessions do."""
WARM_UP = 5
"""Rounds of 50,000 that are not counted: a Java server compiles itself while it works, for minutes."""
SMALL_ROUNDS = 9
"""Of a graph that is written in seconds: single rounds of it differ by a third."""
KINDS = {"empty": False, "half-filled": True}
MERGE = (
    "UNWIND $rows AS row MATCH (u:User {id: row.source}) MATCH (i:Item {id: row.target})"
    " MERGE (u)-[r:VIEWED {time: row.time}]->(i) SET r.weight = row.weight"
)
Rows = list[dict[str, object]]
Load = Callable[[Bench, Sequence[EdgeBatch]], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What writing so many records cost."""

    records: int
    cost: ServerCost

    @property
    def per_second(self) -> float:
        return self.records / self.cost.wall

    @property
    def per_cpu_second(self) -> float:
        return self.records / self.cost.cpu


def main() -> None:
    parser = argparse.ArgumentParser(prog="neo4j_import", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("size", type=int, nargs="*", default=[100_000])
    parser.add_argument("--into", choices=KINDS, action="append")
    options = parser.parse_args()
    kinds = options.into or list(KINDS)
    logging.getLogger("neo4j").setLevel(logging.ERROR)  # the naive sessions deadlock, and the driver would tell each time
    with open_bench() as bench:
        _compare(bench, 50_000, kinds, rounds=WARM_UP, report=False)
        for size in options.size:
            _compare(bench, size, kinds, rounds=SMALL_ROUNDS if size <= WHOLE else 1)


def _compare(bench: Bench, size: int, kinds: Sequence[str], *, rounds: int, report: bool = True) -> None:
    """The systems take turns, and the median of the rounds counts."""
    data = list(batches(size, SEED))
    for kind in kinds:
        filled = KINDS[kind]
        costs: dict[str, list[Measured]] = {name: [] for name in SYSTEMS}
        for _ in range(rounds):
            for name, measured in _round(bench, data, filled).items():
                costs[name].append(measured)
        medians = {name: sorted(all_, key=lambda one: one.cost.wall)[len(all_) // 2] for name, all_ in costs.items()}
        baseline = next(iter(medians.values()))
        if report:
            for name, measured in medians.items():
                _report(name, size, kind, measured, baseline)


def _round(bench: Bench, data: Sequence[Batch], filled: bool) -> dict[str, Measured]:
    """Every system once."""
    size = sum(len(batch) for batch in data if isinstance(batch, EdgeBatch))
    shared = filled and size > WHOLE
    tenth = size // 10
    by_four = size if size <= WHOLE_BY_FOUR else tenth
    shares = [(0, tenth), (tenth, 2 * tenth), (2 * tenth, size)] if shared else [(0, size), (0, by_four), (0, size)]
    costs: dict[str, Measured] = {}
    for (name, load), (start, end) in zip(SYSTEMS.items(), shares, strict=True):
        if not (shared and costs):
            bench.wipe()
            _prepare(bench, data, every_second=filled)
        edges = list(_edges(data, start, end))
        before = _held(bench)
        with bench.measure() as cost:
            load(bench, edges)
        added = _held(bench) - before
        new = [batch.origin.rows % 2 == 0 if filled else batch.origin.rows > 0 for batch in edges]
        wanted = int(sum(rows.sum() for rows in new))
        assert added == wanted, f"{added} relationships written, {wanted} were new"
        costs[name] = Measured(end - start, cost)
    return costs


def _edges(data: Sequence[Batch], start: int, end: int) -> Iterator[EdgeBatch]:
    """The relationships from one position of all to another."""
    at = 0
    for batch in data:
        if isinstance(batch, EdgeBatch):
            lo, hi = max(start - at, 0), min(end - at, len(batch))
            at += len(batch)
            if lo < hi:
                yield _part(batch, slice(lo, hi))


def _part(batch: EdgeBatch, chosen: slice) -> EdgeBatch:
    columns = {name: values[chosen] for name, values in batch.columns.items()}
    origin = Origin(batch.origin.file, batch.origin.rows[chosen])
    return EdgeBatch(batch.edge_type, batch.sources[chosen], batch.targets[chosen], columns, origin)


def _held(bench: Bench) -> int:
    held = bench.run("MATCH ()-[r:VIEWED]->() RETURN count(r)")[0][0]
    assert isinstance(held, int)
    return held


def _prepare(bench: Bench, data: Sequence[Batch], *, every_second: bool) -> None:
    """Schema and nodes, and every second edge where asked."""
    store = bench.store()
    ingest([batch for batch in data if isinstance(batch, NodeBatch)], store, SCHEMA)
    if every_second:
        halves = [_part(batch, slice(None, None, 2)) for batch in data if isinstance(batch, EdgeBatch)]
        ingest(halves, store, SCHEMA)
    store.close()


def _kgrecall(bench: Bench, edges: Sequence[EdgeBatch]) -> None:
    store = bench.store()
    report = ingest(edges, store, SCHEMA)
    assert report.total.balanced
    store.close()


def _naive(sessions: int) -> Load:
    def load(bench: Bench, edges: Sequence[EdgeBatch]) -> None:
        chunks = _chunks(edges)

        def worker(_: int) -> None:
            with bench.driver.session(database="neo4j") as session:
                while rows := next(chunks, None):
                    session.execute_write(lambda tx, rows=rows: tx.run(MERGE, rows=rows).consume())

        if sessions == 1:
            worker(0)
        else:
            chunks = iter(list(chunks))  # a generator is no queue for threads
            with ThreadPoolExecutor(sessions) as threads:
                list(threads.map(worker, range(sessions)))

    return load


SYSTEMS: Mapping[str, Load] = {
    "UNWIND rows MERGE, 1 session": _naive(1),
    "UNWIND rows MERGE, 4 sessions": _naive(4),
    "kgrecall": _kgrecall,
}


def _chunks(edges: Sequence[EdgeBatch]) -> Iterator[Rows]:
    for batch in edges:
        columns = {"source": batch.sources, "target": batch.targets, **batch.columns}
        lists = [values.to_pylist() for values in columns.values()]
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True))
        while chunk := list(islice(rows, BATCH)):
            yield chunk


def _report(system: str, size: int, kind: str, measured: Measured, baseline: Measured) -> None:
    system += " + rust" if importlib.util.find_spec("neo4j._rust") else ""
    if measured.records < size:
        system += f", {measured.records / size:.0%} of the records"
    cost, ratio = measured.cost, measured.per_second / baseline.per_second
    print(
        f"{system:58} {size:>9,} into {kind:12} {measured.per_second:>8,.0f}/s {ratio:5.2f}x"
        f"  {measured.per_cpu_second:>8,.0f}/CPU s {measured.per_cpu_second / baseline.per_cpu_second:5.2f}x"
        f"  (server {cost.server_cpu:.1f} s, client {cost.client_cpu:.1f} s)",
        flush=True,
    )
    figures = {
        "relationships per second": measured.per_second,
        "relationships per CPU second": measured.per_cpu_second,
        "times 1 session": ratio,
    }
    for metric, value in figures.items():
        record(
            benchmark="neo4j_import",
            dataset=f"generated {size / 1e6:g}M, {kind}",
            system=system,
            metric=metric,
            value=value,
            unit="x" if metric == "times 1 session" else "1/s",
            seed=SEED,
            seconds=cost.cpu,
            config={"records written": measured.records},
        )


if __name__ == "__main__":
    main()
