"""Time of a request of 100 candidates, and of a batch, to a model that a build has published, with all of its channels.

Argument: the folder, e.g. ``demo/model`` after ``make demo``. Asked are all of its users, in random order, who have a history.
One thread: run it with ``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from kgrecall.errors import ConfigError, Shown
from kgrecall.jobs.serve import load_engine
from kgrecall.types import Query
from tests.benchmarks.timings import Timings

K = 100
MOST = 1000
SEED = 0


def main() -> None:
    if len(sys.argv) != 2:
        given = Shown(" ".join(sys.argv[1:]) or "none")
        raise ConfigError("argument", expected="the folder of a model", got=given, remedy="Run make demo: demo/model is one.")
    folder = Path(sys.argv[1])
    engine = load_engine(folder)
    engine.warm_up()
    ids = engine.users.ids.to_pylist()
    known = np.flatnonzero(np.diff(engine.histories.indptr) > 0)
    users = np.random.default_rng(SEED).permutation(known)[:MOST]
    queries = [Query(user_id=ids[user], k=K) for user in users]
    mean = round(float(np.diff(engine.histories.indptr)[users].mean()), 1)
    config = {"k": K, "channels": list(engine.channel_names), "fusion": engine.fusion.method, "mean history": mean}
    name = f"{folder.resolve().parent.name}: {len(engine.items):,} items, {len(ids):,} users"
    timings = Timings("artifact latency", name, SEED, config)
    system = f"{len(engine.channel_names)} channels, fusion {engine.fusion.method}"
    timings.latencies(f"{system}, request", [lambda q=q: engine.recall(q) for q in queries])
    timings.throughput(f"{system}, batched", len(queries), lambda: engine.recall_many(queries))


if __name__ == "__main__":
    main()
