"""Ingest into SQLite from memory and scan it again: relationships per CPU second, beside a bare executemany.

Arguments: the numbers of relationships, e.g. ``1000000 3000000 10000000`` (default 3000000).
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kgrecall.sources.tables import Batch, EdgeBatch
from kgrecall.store import open_store
from kgrecall.store.ingest import ingest
from tests.benchmarks.generated_graph import SCHEMA, batches
from tests.benchmarks.record import Cost, measure, record

SEED = 0


class Generated:
    """The batches, with the CPU time that making them took."""

    def __init__(self, num_edges: int) -> None:
        self.num_edges = num_edges
        self.cpu_seconds = 0.0

    def __iter__(self) -> Iterator[Batch]:
        made = batches(self.num_edges, SEED)
        while True:
            started = time.process_time()
            batch = next(made, None)
            self.cpu_seconds += time.process_time() - started
            if batch is None:
                return
            yield batch


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [3_000_000]
    for num_edges in sizes:
        with tempfile.TemporaryDirectory() as folder:
            _bare(Path(folder) / "bare.sqlite", num_edges)
            _kgrecall(Path(folder) / "graph.sqlite", num_edges)


def _kgrecall(path: Path, num_edges: int) -> None:
    source, store = Generated(num_edges), open_store(path)
    with measure() as cost:
        report = ingest(source, store, SCHEMA)
    assert report.total.balanced
    _report("kgrecall", "ingest, relationships per CPU second", num_edges, cost.cpu_seconds - source.cpu_seconds, cost)
    with measure() as cost:
        scanned = sum(batch.num_rows for batch in store.scan_edges("VIEWED", ["time", "weight"]))
    assert scanned == store.count_edges("VIEWED")
    _report("kgrecall", "scan, relationships per CPU second", scanned, cost.cpu_seconds, cost)
    source = Generated(num_edges)
    with measure() as cost:
        report = ingest(source, store, SCHEMA)
    assert report.total.written == 0
    _report("kgrecall", "ingest again, relationships per CPU second", num_edges, cost.cpu_seconds - source.cpu_seconds, cost)
    store.close()


def _bare(path: Path, num_edges: int) -> None:
    """The same columns into one table without keys, ids as text: what no import can do without."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE viewed(source TEXT, target TEXT, time INTEGER, weight REAL)")
    source = Generated(num_edges)
    with measure() as cost:
        for batch in source:
            if isinstance(batch, EdgeBatch):
                arrays = [batch.sources, batch.targets, *batch.columns.values()]
                lists = [array.to_numpy(zero_copy_only=False).tolist() for array in arrays]
                connection.execute("BEGIN")
                connection.executemany("INSERT INTO viewed VALUES(?, ?, ?, ?)", zip(*lists, strict=True))
                connection.execute("COMMIT")
    connection.close()
    _report(
        "sqlite3.executemany", "ingest, relationships per CPU second", num_edges, cost.cpu_seconds - source.cpu_seconds, cost
    )


def _report(system: str, metric: str, num_edges: int, cpu_seconds: float, cost: Cost) -> None:
    value = num_edges / cpu_seconds
    print(f"{system:20} {num_edges:>12,} {metric:45} {value:>12,.0f}  peak {cost.peak_mb:,.0f} MB  {cpu_seconds:.1f} CPU s")
    dataset = f"generated {num_edges / 1e6:g}M"
    record(
        benchmark="ingest_sqlite",
        dataset=dataset,
        system=system,
        metric=metric,
        value=value,
        unit="1/s",
        seed=SEED,
        seconds=cpu_seconds,
        peak_mb=cost.peak_mb,
    )


if __name__ == "__main__":
    main()
