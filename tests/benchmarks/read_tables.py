"""Read interactions from files: rows per CPU second with conversion and validation, beside polars' bare read.

Both read in turn, so that they meet the same neighbours on the machine; the median of their CPU seconds counts.

Arguments: the numbers of rows, e.g. ``1000000 10000000`` (default 1000000).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from kgrecall.schema import GraphSchema
from kgrecall.sources.reader import read_tables
from tests.benchmarks.record import Cost, measure, record

SEED = 0
_PART = 1_000_000
_TURNS = 7
_FORMATS: dict[str, dict[str, str]] = {
    "events.csv": {"format": "delimited"},
    "quoted.csv": {"format": "delimited"},
    "events.dat": {"format": "delimited", "delimiter": "::"},
    "events.parquet": {"format": "parquet"},
    "events.jsonl": {"format": "jsonl"},
}


def schema(file: str) -> GraphSchema:
    properties = {"rating": "rating", "time": {"column": "time", "unit": "s"}}
    edge = {"type": "RATED", "source": "user", "target": "item", "properties": properties}
    rated = {"role": "interaction", "source": "User", "target": "Item", "properties": {"rating": "number", "time": "time"}}
    return GraphSchema.parse(
        {
            "nodes": {"User": {"role": "user"}, "Item": {"role": "item"}},
            "edges": {"RATED": {**rated, "time": "time", "weight": "rating"}},
            "files": [{"path": file, **_FORMATS[file], "edges": [edge]}],
        }
    )


def write(folder: Path, name: str, num_rows: int) -> Path:
    """A file of events in parts of a million rows."""
    path = folder / name
    for start in range(0, num_rows, _PART):
        rng = np.random.default_rng([SEED, start])
        size = min(_PART, num_rows - start)
        part = pl.DataFrame(
            {
                "user": rng.integers(1, 200_000, size),
                "item": rng.integers(1, 50_000, size),
                "rating": rng.integers(1, 11, size) / 2,
                "time": rng.integers(1_000_000_000, 1_700_000_000, size),
            }
        )
        if name.endswith("parquet"):
            part.write_parquet(folder / f"{start}.part")
        elif name.endswith("jsonl"):
            with path.open("ab") as file:
                part.write_ndjson(file)
        else:
            style = "always" if name.startswith("quoted") else "necessary"
            text = part.write_csv(include_header=start == 0, quote_style=style)
            with path.open("a") as file:
                file.write(text.replace(",", "::") if name.endswith("dat") else text)
    if name.endswith("parquet"):
        pl.scan_parquet(folder / "*.part").sink_parquet(path)
    return path


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [1_000_000]
    with tempfile.TemporaryDirectory() as folder:  # imports are not measured
        _read(write(Path(folder), "events.csv", 1_000))
    for num_rows in sizes:
        for name in _FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                path = write(Path(folder), name, num_rows)
                _compare(name, num_rows, {"kgrecall": lambda path=path: _read(path), **_bare(path)})


def _bare(path: Path) -> dict[str, Callable[[], int]]:
    if path.suffix == ".parquet":
        return {"polars": lambda: len(pl.read_parquet(path))}
    return {"polars": lambda: len(pl.read_csv(path))} if path.suffix == ".csv" else {}


def _read(path: Path) -> int:
    reader = read_tables(path.parent, schema(path.name))
    rows = sum(map(len, reader))
    assert reader.quarantine.total == 0
    return rows


def _compare(name: str, num_rows: int, works: Mapping[str, Callable[[], int]]) -> None:
    costs: dict[str, list[Cost]] = {system: [] for system in works}
    for _ in range(_TURNS):
        for system, work in works.items():
            with measure() as cost:
                assert work() == num_rows
            costs[system].append(cost)
    for system, turns in costs.items():
        _report(system, name, num_rows, sorted(turns, key=lambda cost: cost.cpu_seconds)[_TURNS // 2])


def _report(system: str, name: str, num_rows: int, cost: Cost) -> None:
    value = num_rows / cost.cpu_seconds
    print(f"{system:10} {name:16} {num_rows:>12,} rows {value:>12,.0f}/CPU s  peak {cost.peak_mb:,.0f} MB")
    record(
        benchmark="read_tables",
        dataset=f"{name} {num_rows / 1e6:g}M",
        system=system,
        metric="rows per CPU second",
        value=value,
        unit="1/s",
        seed=SEED,
        seconds=cost.cpu_seconds,
        peak_mb=cost.peak_mb,
    )


if __name__ == "__main__":
    main()
