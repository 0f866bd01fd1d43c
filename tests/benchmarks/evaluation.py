"""Full-ranking evaluation: CPU cost of measures, top-k selection, AUC and the paired bootstrap beside the ranking itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kgrecall.evaluate import evaluate, paired_bootstrap
from kgrecall.evaluate.ranking import top_positions
from kgrecall.evaluate.tables import plain_table
from kgrecall.types import Interactions
from tests.benchmarks.record import measure, record

NUM_USERS, NUM_ITEMS, K, RELEVANT, BLOCK = 70_000, 25_000, 20, 4, 1024
MEASURES = ["recall@20", "ndcg@20", "map@20", "mrr@20", "precision@20", "hitrate@20", "coverage@20", "novelty@20"]
DATASET = f"{NUM_USERS:,} users x {NUM_ITEMS:,} items"


def main() -> None:
    rng = np.random.default_rng(0)
    lists = ((np.arange(K) * (NUM_ITEMS // K))[None] + rng.integers(0, NUM_ITEMS // K, (NUM_USERS, K))).astype(np.int32)
    users, items = np.repeat(np.arange(NUM_USERS), RELEVANT), rng.integers(0, NUM_ITEMS, NUM_USERS * RELEVANT)
    truth = Interactions(users, items, np.ones(len(users), np.float32), None, NUM_USERS, NUM_ITEMS)
    few = truth.take(users < BLOCK)
    scores = rng.random((BLOCK, NUM_ITEMS), dtype=np.float32)
    a, b = rng.random((2, NUM_USERS))
    work: dict[str, tuple[Callable[[], object], int]] = {
        f"{len(MEASURES)} measures": (
            lambda: evaluate(lambda part, k: lists[part, :k], truth, MEASURES, history=truth),
            NUM_USERS,
        ),
        "top 20 by score": (lambda: top_positions(scores, K), BLOCK),
        "AUC": (lambda: evaluate(lambda part, k: lists[part, :k], few, ["auc"], score=lambda part: scores[part]), BLOCK),
        "paired bootstrap, 5,000 rounds": (lambda: paired_bootstrap(a, b, seed=0), NUM_USERS),
    }
    rows = []
    for name, (call, num_users) in work.items():
        with measure() as cost:
            call()
        rows.append([name, f"{cost.cpu_seconds:.2f} s", f"{num_users / cost.cpu_seconds:,.0f}"])
        record(
            benchmark="evaluation",
            dataset=DATASET,
            system=name,
            metric="users",
            value=num_users / cost.cpu_seconds,
            unit="1/CPU s",
            seed=0,
            seconds=cost.cpu_seconds,
            peak_mb=cost.peak_mb,
        )
    print(plain_table([DATASET, "CPU", "users per CPU second"], rows))
