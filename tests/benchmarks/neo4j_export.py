"""Export from Neo4j: relationships per second of scan_edges and of a snapshot, beside one row per relationship.

Arguments: the numbers of relationships (default 200000). Server and client share this machine.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable

from kgrecall.graph.snapshot import take_snapshot
from kgrecall.store.ingest import ingest
from kgrecall.store.neo4j import Neo4jStore
from tests.benchmarks.generated_graph import SCHEMA, batches
from tests.benchmarks.neo4j_server_cost import Bench, open_bench
from tests.benchmarks.record import record

SEED = 0
ROUNDS = 3
ROWS = "MATCH (u:User)-[r:VIEWED]->(i:Item) RETURN u.id, i.id, r.time, r.weight"


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [200_000]
    with open_bench() as bench:
        for size in sizes:
            bench.wipe()
            store = bench.store()
            ingest(list(batches(size, SEED)), store, SCHEMA)
            _compare(bench, store, size)
            store.close()


def _compare(bench: Bench, store: Neo4jStore, size: int) -> None:
    def rows() -> int:
        with bench.driver.session(database="neo4j") as session:
            return len([record.values() for record in session.run(ROWS)])

    def scan() -> int:
        return sum(batch.num_rows for batch in store.scan_edges("VIEWED", ["time", "weight"]))

    def snapshot() -> int:
        return take_snapshot(store, SCHEMA).counts["VIEWED"].read

    systems: dict[str, Callable[[], int]] = {
        "one row per relationship": rows,
        "kgrecall scan_edges": scan,
        "kgrecall snapshot": snapshot,
    }
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, read in systems.items():
            with bench.measure() as cost:
                assert read() == size
            best[name] = min(best.get(name, cost.wall), cost.wall)
    fast = " + rust" if importlib.util.find_spec("neo4j._rust") else ""
    for name, seconds in best.items():
        print(
            f"{name + fast:34} {size:>9,} {size / seconds:>9,.0f}/s {best['one row per relationship'] / seconds:5.2f}x",
            flush=True,
        )
        record(
            benchmark="neo4j_export",
            dataset=f"generated {size / 1e6:g}M",
            system=name + fast,
            metric="relationships per second",
            value=size / seconds,
            unit="1/s",
            seed=SEED,
            seconds=seconds,
        )


if __name__ == "__main__":
    main()
