"""Import into Neo4j: relationships per second beside one and four sessions of UNWIND $rows MERGE.

Arguments: the numbers of relationships, e.g. ``100000 1000000 3000000`` (default 100000). Every system gets the same records
in the same order, into an empty database and into one that holds every second record already. Server and client share this
machine; wall seconds and the CPU seconds of both are shown, the ratios are those of wall seconds.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from kgrecall.sources.tables import Batch, EdgeBatch, NodeBatch
from kgrecall.store.ingest import ingest
from tests.benchmarks.generated_graph import SCHEMA, batches
from tests.benchmarks.neo4j_server_cost import Bench, ServerCost, open_bench
from tests.benchmarks.record import record

SEED = 0
BATCH = 10_000
MERGE = (
    "UNWIND $rows AS row MATCH (u:User {id: row.source}) MATCH (i:Item {id: row.target})"
    " MERGE (u)-[r:VIEWED {time: row.time}]->(i) SET r.weight = row.weight"
)
Rows = list[dict[str, object]]


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [100_000]
    logging.getLogger("neo4j").setLevel(logging.ERROR)  # the naive sessions deadlock, and the driver would tell each time
    with open_bench() as bench:
        _compare(bench, 50_000, rounds=2, report=False)
        for size in sizes:
            _compare(bench, size, rounds=3 if size <= 200_000 else 1)


def _compare(bench: Bench, size: int, *, rounds: int, report: bool = True) -> None:
    """The systems take turns, and the median of the rounds counts: the first minutes of a Java server are slower."""
    systems: dict[str, Callable[[Bench, Sequence[Batch]], None]] = {
        "UNWIND rows MERGE, 1 session": _naive(1),
        "UNWIND rows MERGE, 4 sessions": _naive(4),
        "kgrecall": _kgrecall,
    }
    data = list(batches(size, SEED))
    for filled in (False, True):
        costs: dict[str, list[ServerCost]] = {name: [] for name in systems}
        for _ in range(rounds):
            for name, load in systems.items():
                costs[name].append(_run(bench, data, load, filled))
        medians = {name: sorted(all_, key=lambda cost: cost.wall)[len(all_) // 2] for name, all_ in costs.items()}
        baseline = next(iter(medians.values()))
        if report:
            for name, cost in medians.items():
                _report(name, size, filled, cost, baseline)


def _run(bench: Bench, data: Sequence[Batch], load: Callable[[Bench, Sequence[Batch]], None], filled: bool) -> ServerCost:
    bench.wipe()
    _prepare(bench, data, every_second=filled)
    with bench.measure() as cost:
        load(bench, data)
    held = bench.run("MATCH ()-[r:VIEWED]->() RETURN count(r)")[0][0]
    wanted = sum(len(batch) for batch in data if isinstance(batch, EdgeBatch))
    assert held == wanted, f"{held} relationships of {wanted}"
    return cost


def _prepare(bench: Bench, data: Sequence[Batch], *, every_second: bool) -> None:
    """Schema and nodes, and every second edge where asked."""
    store = bench.store()
    nodes = [batch for batch in data if isinstance(batch, NodeBatch)]
    ingest(nodes, store, SCHEMA)
    if every_second:
        for batch in data:
            if isinstance(batch, EdgeBatch):
                half = {name: values[::2] for name, values in batch.columns.items()}
                store.upsert_edges(batch.edge_type, batch.sources[::2], batch.targets[::2], half)
    store.close()


def _kgrecall(bench: Bench, data: Sequence[Batch]) -> None:
    store = bench.store()
    report = ingest([batch for batch in data if isinstance(batch, EdgeBatch)], store, SCHEMA)
    assert report.total.balanced
    store.close()


def _naive(sessions: int) -> Callable[[Bench, Sequence[Batch]], None]:
    def load(bench: Bench, data: Sequence[Batch]) -> None:
        chunks = _chunks(data)

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


def _chunks(data: Sequence[Batch]) -> Iterator[Rows]:
    for batch in data:
        if isinstance(batch, EdgeBatch):
            columns = {"source": batch.sources, "target": batch.targets, **batch.columns}
            lists = [values.to_pylist() for values in columns.values()]
            rows = (dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True))
            while chunk := list(islice(rows, BATCH)):
                yield chunk


def _report(system: str, size: int, filled: bool, cost: ServerCost, baseline: ServerCost) -> None:
    fast = " + rust" if importlib.util.find_spec("neo4j._rust") else ""
    where = "half-filled" if filled else "empty"
    print(
        f"{system + fast:34} {size:>9,} into {where:12} {size / cost.wall:>8,.0f}/s {baseline.wall / cost.wall:5.2f}x"
        f"  {size / cost.cpu:>8,.0f}/CPU s {baseline.cpu / cost.cpu:5.2f}x"
        f"  (server {cost.server_cpu:.1f} s, client {cost.client_cpu:.1f} s)",
        flush=True,
    )
    figures = {"relationships per second": size / cost.wall, "relationships per CPU second": size / cost.cpu}
    for metric, value in figures.items():
        record(
            benchmark="neo4j_import",
            dataset=f"generated {size / 1e6:g}M, {where}",
            system=system + fast,
            metric=metric,
            value=value,
            unit="1/s",
            seed=SEED,
            seconds=cost.cpu,
        )


if __name__ == "__main__":
    main()
