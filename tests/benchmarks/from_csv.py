"""From CSV files to the first answer, by the command line as a user would: seconds and peak memory of each step.

The files are those of a generated shop: items with a title, a brand and a category, and timed events of users with tastes. They
are looked at, imported into SQLite, built from with the default settings, and one user is asked for, each by a process of its
own. The stages of the build are beside its total. ``implicit`` fits iALS at its defaults (128 factors, 15 rounds) to the
matrix of the same events, with as many threads; reading the files is not counted for it.

Arguments: the number of events (default 10000000). Wall seconds say something on an idle machine only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pyarrow import csv
from scipy import sparse

from kgrecall.threads import num_threads
from tests.benchmarks.generated_shop import write_shop
from tests.benchmarks.quality.peers import environment, run_peer
from tests.benchmarks.record import Cost, measure, record

SEED = 0
FACTORS, ROUNDS = 128, 15


def main() -> None:
    num_events = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    dataset = f"shop of {num_events / 1e6:g}M events"
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        files, mapping, store, model = place / "raw", place / "shop.toml", place / "shop.sqlite", place / "model"
        files.mkdir()
        write_shop(files, num_events, SEED)
        steps = {
            "inspect": ["inspect", files, "--out", mapping],
            "ingest": ["ingest", files, "--mapping", mapping, "--store", store],
            "build": ["build", "--store", store, "--out", model, "--json"],
            "recall": ["recall", model, "--user", _first_user(files / "events.csv"), "-k", "20", "--json"],
        }
        total = Cost()
        for step, arguments in steps.items():
            said, cost = _run(["-m", "kgrecall", *map(str, arguments)])
            _record(dataset, f"kgrecall {step}", "wall", cost.wall_seconds, cost)
            if step == "build":
                for stage, seconds in json.loads(said)["seconds"].items():
                    _record(dataset, f"kgrecall {step}", f"of which {stage}", seconds, cost)
            total.cpu_seconds += cost.cpu_seconds
            total.wall_seconds += cost.wall_seconds
            total.peak_mb = max(total.peak_mb, cost.peak_mb)
        _record(dataset, "kgrecall, all four", "wall", total.wall_seconds, total)
        _peer(dataset, files / "events.csv")


def _first_user(events: Path) -> str:
    with events.open(encoding="utf-8") as lines:
        next(lines)
        return next(lines).split(",")[0].strip('"')


def _run(arguments: list[str]) -> tuple[str, Cost]:
    """What a Python process says, and its own cost: its peak memory is not that of this process."""
    with tempfile.TemporaryFile("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=said)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
        said.seek(0)
        return said.read(), Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024 / 1e6)


def _peer(dataset: str, events: Path) -> None:
    table = csv.read_csv(events, convert_options=csv.ConvertOptions(include_columns=["user_id", "item_id"]))
    users, items = (table[name].combine_chunks().dictionary_encode() for name in ("user_id", "item_id"))
    shape = (len(users.dictionary), len(items.dictionary))
    cells = (users.indices.to_numpy(), items.indices.to_numpy())
    matrix = sparse.csr_matrix((np.ones(len(table), np.float32), cells), shape=shape)
    matrix.data[:] = 1
    params = {"model": "iALS", "factors": FACTORS, "iterations": ROUNDS, "num_threads": num_threads(), "seed": SEED}
    environment("implicit_models")
    with tempfile.TemporaryDirectory() as folder:
        sparse.save_npz(Path(folder, "matrix.npz"), matrix, compressed=False)
        Path(folder, "params.json").write_text(json.dumps(params))
        with measure() as cost:
            run_peer("implicit_models", Path(folder))
    _record(dataset, "implicit iALS, fit", "wall", cost.wall_seconds, Cost(cost.cpu_seconds, cost.wall_seconds))


def _record(dataset: str, system: str, metric: str, seconds: float, cost: Cost) -> None:
    cpu = f"{cost.cpu_seconds:9.1f} CPU s  {cost.peak_mb:8,.0f} MB"
    print(f"{dataset:24} {system:24} {metric:24} {seconds:9.1f} s  {cpu}", flush=True)
    record(
        benchmark="from CSV",
        dataset=dataset,
        system=system,
        metric=metric,
        value=seconds,
        unit="s",
        seed=SEED,
        seconds=cost.cpu_seconds,
        peak_mb=cost.peak_mb or None,
        config={"threads": num_threads()},
    )


if __name__ == "__main__":
    main()
