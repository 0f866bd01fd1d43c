"""Our accuracy measures against ir-measures (trec_eval's C code) on random lists."""

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG

from kgrecall.evaluate import MAP, MRR, NDCG, HitRate, Precision, Recall, evaluate
from kgrecall.types import Interactions

NUM_USERS, NUM_ITEMS, LENGTH = 200, 300, 20


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(11)
    lists = np.stack([rng.permutation(NUM_ITEMS)[:LENGTH] for _ in range(NUM_USERS)]).astype(np.int32)
    relevant = [rng.choice(NUM_ITEMS, rng.integers(1, 40), replace=False) for _ in range(NUM_USERS)]
    users = np.repeat(np.arange(NUM_USERS), [len(items) for items in relevant])
    items = np.concatenate(relevant)
    truth = Interactions(users, items, np.ones(len(users), np.float32), None, NUM_USERS, NUM_ITEMS)
    qrels = [ir_measures.Qrel(str(u), str(i), 1) for u, i in zip(users, items, strict=True)]
    run = [
        ir_measures.ScoredDoc(str(u), str(item), float(LENGTH - rank))
        for u, row in enumerate(lists)
        for rank, item in enumerate(row)
    ]
    return lists, truth, qrels, run


def oracle(measure, world):
    _, _, qrels, run = world
    by_user = {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure], qrels, run)}
    return np.array([by_user[str(user)] for user in range(NUM_USERS)])


def ours(measure, world):
    lists, truth, _, _ = world
    return evaluate(lambda users, k: lists[users, :k], truth, [measure], block=64).per_user[measure]


@pytest.mark.parametrize(
    ("measure", "theirs"),
    [
        (Recall(20), R @ 20),
        (Recall(5), R @ 5),
        (Precision(10), P @ 10),
        (HitRate(10), Success @ 10),
        (NDCG(20), nDCG @ 20),
        (NDCG(5), nDCG @ 5),
        (MRR(20), RR @ 20),
    ],
    ids=str,
)
def test_each_user_has_the_value_of_trec_eval(measure, theirs, world):
    np.testing.assert_allclose(ours(measure, world), oracle(theirs, world), atol=1e-9)


@pytest.mark.parametrize("k", [5, 20])
def test_average_precision_differs_by_its_documented_divisor(k, world):
    """trec_eval divides by n, we divide by min(k, n)."""
    n = np.bincount(world[1].user_pos)
    np.testing.assert_allclose(ours(MAP(k), world), oracle(AP @ k, world) * n / np.minimum(n, k), atol=1e-9)
