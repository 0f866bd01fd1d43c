"""Our measures against torch_geometric.metrics.LinkPred* on random lists."""

import numpy as np
import pytest
import torch
from torch_geometric import metrics as pyg

from kgrecall.evaluate import F1, MAP, MRR, NDCG, Coverage, Diversity, HitRate, Novelty, Precision, Recall, evaluate
from kgrecall.types import Interactions

NUM_USERS, NUM_ITEMS, LENGTH = 150, 120, 20


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(5)
    lists = np.stack([rng.permutation(NUM_ITEMS)[:LENGTH] for _ in range(NUM_USERS)]).astype(np.int32)
    relevant = [rng.choice(NUM_ITEMS, rng.integers(1, 30), replace=False) for _ in range(NUM_USERS)]
    users = np.repeat(np.arange(NUM_USERS), [len(items) for items in relevant])
    ones = np.ones(len(users), np.float32)
    return lists, Interactions(users, np.concatenate(relevant), ones, None, NUM_USERS, NUM_ITEMS)


def ours(measure, world, **given):
    lists, truth = world
    return evaluate(lambda users, k: lists[users, :k], truth, [measure], block=32, **given)[measure]


def theirs(metric, k, world):
    lists, truth = world
    metric.update(torch.from_numpy(lists[:, :k]).long(), torch.from_numpy(np.stack([truth.user_pos, truth.item_pos])))
    return float(metric.compute())


@pytest.mark.parametrize("k", [1, 10, 20])
@pytest.mark.parametrize(
    ("measure", "metric"),
    [
        (Recall, pyg.LinkPredRecall),
        (Precision, pyg.LinkPredPrecision),
        (F1, pyg.LinkPredF1),
        (HitRate, pyg.LinkPredHitRatio),
        (NDCG, pyg.LinkPredNDCG),
        (MAP, pyg.LinkPredMAP),
        (MRR, pyg.LinkPredMRR),
    ],
)
def test_means_agree(measure, metric, k, world):
    assert ours(measure(k), world) == pytest.approx(theirs(metric(k), k, world), abs=1e-5)


@pytest.mark.parametrize("k", [1, 10])
def test_coverage_agrees(k, world):
    assert ours(Coverage(k), world) == pytest.approx(theirs(pyg.LinkPredCoverage(k, num_dst_nodes=NUM_ITEMS), k, world))


def test_diversity_of_categories_agrees(world):
    """Theirs is 1 - the share of pairs with equal category: the cosine distance of one-hot attribute sets."""
    category = np.random.default_rng(2).integers(0, 6, NUM_ITEMS)
    metric = pyg.LinkPredDiversity(10, category=torch.from_numpy(category))
    one_hot = np.eye(6, dtype=np.float32)[category]
    assert ours(Diversity(10), world, features=one_hot) == pytest.approx(theirs(metric, 10, world), abs=1e-5)


def test_novelty_agrees_with_a_plain_sum(world):
    rng = np.random.default_rng(3)
    held = rng.random((NUM_USERS, NUM_ITEMS)) < rng.random(NUM_ITEMS) * 0.2
    users, items = np.nonzero(held)
    history = Interactions(users, items, np.ones(len(users), np.float32), None, NUM_USERS, NUM_ITEMS)
    active = held.any(axis=1).sum()
    expected = np.mean([[-np.log2(max(held[:, i].sum(), 1) / active) for i in row[:10]] for row in world[0]])
    assert ours(Novelty(10), world, history=history) == pytest.approx(expected)
