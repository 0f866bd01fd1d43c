"""Ingest into SQLite, from memory and from CSV, and scan it again: relationships per CPU second, beside bare inserts.

The bare inserts are ``sqlite3.executemany`` of the same columns from memory: into a table without any key, and into one that
gives what an import must give, rows that are unique and found from both ends. An import from CSV reads and parses on a second
core while it writes, so its rows per second of wall time are measured too; they say something on an idle machine only. The bare
insert and the import from CSV take turns, so that both meet the same neighbours; the median turn counts, and the median of the
shares, each of one turn.

Arguments: the numbers of relationships, e.g. ``1000000 3000000 10000000`` (default 3000000).
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pyarrow as pa
from pyarrow import csv

from kgrecall.schema import GraphSchema
from kgrecall.sources.reader import read_tables
from kgrecall.sources.tables import Batch, EdgeBatch, NodeBatch
from kgrecall.store import open_store
from kgrecall.store.ingest import ingest
from tests.benchmarks.generated_graph import SCHEMA, batches
from tests.benchmarks.record import Cost, measure, record

SEED = 0
_KEYED = "sqlite3.executemany, unique and indexed"
_MOST_KEYED = 3_000_000
"""Above it, the bare insert with a key takes most of an hour."""
_TURNS, _MOST_IN_TURNS = 7, 1_000_000
"""Larger ones are measured once."""
FILES = GraphSchema.parse(
    {
        **SCHEMA.model_dump(),
        "files": [
            {"path": "users.csv", "nodes": [{"label": "User", "id": "id"}]},
            {"path": "items.csv", "nodes": [{"label": "Item", "id": "id"}]},
            {
                "path": "views.csv",
                "edges": [
                    {
                        "type": "VIEWED",
                        "source": "source",
                        "target": "target",
                        "properties": {"time": {"column": "time", "unit": "ms"}, "weight": "weight"},
                    }
                ],
            },
        ],
    }
)


class Generated:
    """The batches, with the CPU time that making them took; an import reads them in a thread of its own."""

    def __init__(self, num_edges: int) -> None:
        self.num_edges = num_edges
        self.cpu_seconds = self.wall_seconds = 0.0

    def __iter__(self) -> Iterator[Batch]:
        made = batches(self.num_edges, SEED)
        while True:
            started, wall = time.thread_time(), time.perf_counter()
            batch = next(made, None)
            self.cpu_seconds += time.thread_time() - started
            self.wall_seconds += time.perf_counter() - wall
            if batch is None:
                return
            yield batch


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [3_000_000]
    for num_edges in sizes:
        with tempfile.TemporaryDirectory() as folder:
            _in_turns(Path(folder), num_edges)
            if num_edges <= _MOST_KEYED:
                key = ", PRIMARY KEY(source, target, time)) WITHOUT ROWID"
                _report_bare(_KEYED, num_edges, _bare(Path(folder) / "keyed.sqlite", num_edges, key))
            _kgrecall(Path(folder) / "graph.sqlite", num_edges)


def _in_turns(folder: Path, num_edges: int) -> None:
    for batch in batches(num_edges, SEED):
        _append(folder, batch)
    count = _TURNS if num_edges <= _MOST_IN_TURNS else 1
    turns = [(_bare(folder / "bare.sqlite", num_edges, ""), _csv(folder, num_edges)) for _ in range(count)]
    bare, ours = (sorted(costs, key=lambda cost: cost.cpu_seconds)[len(turns) // 2] for costs in zip(*turns, strict=True))
    _report_bare("sqlite3.executemany", num_edges, bare)
    _report("kgrecall", "ingest of CSV, relationships per CPU second", num_edges, ours.cpu_seconds, ours)
    _report("kgrecall", "from CSV, relationships per second", num_edges, ours.cpu_seconds, ours, wall=ours.wall_seconds)
    shares = [there.cpu_seconds / here.cpu_seconds for there, here in turns]
    print(f"from CSV as a share of the bare insert: {', '.join(f'{share:.3f}' for share in shares)}")
    _record(num_edges, "kgrecall", "from CSV as a share of the bare insert", median(shares), "", ours.cpu_seconds, ours)


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


def _csv(folder: Path, num_edges: int) -> Cost:
    """The same graph from delimited files: reading, parsing and validation included."""
    path = folder / "csv.sqlite"
    path.unlink(missing_ok=True)
    store, tables = open_store(path), read_tables(folder, FILES)
    with measure() as cost:
        report = ingest(tables, store, FILES)
    assert report.total.balanced
    assert report.edges["VIEWED"].read == num_edges
    store.close()
    return cost


def _append(folder: Path, batch: Batch) -> None:
    ends = {"id": batch.keys} if isinstance(batch, NodeBatch) else {"source": batch.sources, "target": batch.targets}
    path = folder / f"{batch.origin.file}.csv"
    new = not path.exists()
    with path.open("ab") as file:
        options = csv.WriteOptions(include_header=new, quoting_style="none")
        csv.write_csv(pa.table({**ends, **batch.columns}), file, options)


def _bare(path: Path, num_edges: int, key: str) -> Cost:
    """Without the time that making the batches took."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"CREATE TABLE viewed(source TEXT, target TEXT, time INTEGER, weight REAL{key or ')'}")
    if key:
        connection.execute("CREATE INDEX backwards ON viewed(target, source)")
    source = Generated(num_edges)
    with measure() as cost:
        for batch in source:
            if isinstance(batch, EdgeBatch):
                arrays = [batch.sources, batch.targets, *batch.columns.values()]
                lists = [array.to_numpy(zero_copy_only=False).tolist() for array in arrays]
                connection.execute("BEGIN")
                connection.executemany("INSERT OR REPLACE INTO viewed VALUES(?, ?, ?, ?)", zip(*lists, strict=True))
                connection.execute("COMMIT")
    connection.close()
    return Cost(cost.cpu_seconds - source.cpu_seconds, cost.wall_seconds - source.wall_seconds, cost.peak_mb)


def _report_bare(system: str, num_edges: int, cost: Cost) -> None:
    _report(system, "ingest, relationships per CPU second", num_edges, cost.cpu_seconds, cost)
    _report(system, "from memory, relationships per second", num_edges, cost.cpu_seconds, cost, wall=cost.wall_seconds)


def _report(system: str, metric: str, num_edges: int, cpu_seconds: float, cost: Cost, wall: float | None = None) -> None:
    value = num_edges / (wall or cpu_seconds)
    print(f"{system:40} {num_edges:>12,} {metric:45} {value:>12,.0f}  peak {cost.peak_mb:,.0f} MB  {cpu_seconds:.1f} CPU s")
    _record(num_edges, system, metric, value, "1/s", cpu_seconds, cost)


def _record(num_edges: int, system: str, metric: str, value: float, unit: str, cpu_seconds: float, cost: Cost) -> None:
    record(
        benchmark="ingest_sqlite",
        dataset=f"generated {num_edges / 1e6:g}M",
        system=system,
        metric=metric,
        value=value,
        unit=unit,
        seed=SEED,
        seconds=cpu_seconds,
        peak_mb=cost.peak_mb,
    )


if __name__ == "__main__":
    main()
