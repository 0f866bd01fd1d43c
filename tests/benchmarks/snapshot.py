"""Take a snapshot of a generated graph in SQLite, cut it, save it and open it again: CPU seconds and peak memory.

Arguments: the numbers of relationships, e.g. ``1000000 3000000`` (default 3000000).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.graph.split import split_by_time
from kgrecall.store import open_store
from kgrecall.store.ingest import ingest
from tests.benchmarks.generated_graph import SCHEMA, batches
from tests.benchmarks.record import measure, record

SEED = 0
Result = TypeVar("Result")


def main() -> None:
    for num_edges in [int(argument) for argument in sys.argv[1:]] or [3_000_000]:
        with tempfile.TemporaryDirectory() as folder:
            _run(Path(folder), num_edges)


def _run(folder: Path, num_edges: int) -> None:
    dataset = f"generated {num_edges / 1e6:g}M"
    store = open_store(folder / "graph.sqlite")
    ingest(batches(num_edges, SEED), store, SCHEMA)
    graph = _timed(dataset, "snapshot", lambda: take_snapshot(store, SCHEMA))
    store.close()
    assert sum(edges.num_edges for edges in graph.relations.values()) == sum(count.read for count in graph.counts.values())
    events = _timed(dataset, "interactions", graph.interactions)
    split = _timed(dataset, "split by time", lambda: split_by_time(events))
    _timed(dataset, "cut to the training events", lambda: graph.with_interactions(split.train))
    _timed(dataset, "save", lambda: graph.save(folder / "saved"))
    _timed(dataset, "open, verified", lambda: GraphSnapshot.load(folder / "saved"))
    _timed(dataset, "open, not verified", lambda: GraphSnapshot.load(folder / "saved", verify=False))


def _timed(dataset: str, metric: str, work: Callable[[], Result]) -> Result:
    with measure() as cost:
        result = work()
    print(f"{dataset:16} {metric:28} {cost.cpu_seconds:>8.3f} CPU s  peak {cost.peak_mb:>7,.0f} MB")
    record(
        benchmark="snapshot",
        dataset=dataset,
        system="kgrecall sqlite",
        metric=metric,
        value=cost.cpu_seconds,
        unit="s",
        seed=SEED,
        seconds=cost.cpu_seconds,
        peak_mb=cost.peak_mb,
    )
    return result


if __name__ == "__main__":
    main()
