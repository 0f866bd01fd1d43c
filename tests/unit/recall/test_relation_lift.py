from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from kgrecall.graph.knowledge import Incidence
from kgrecall.recall.channels.item_knn import build_item_knn
from kgrecall.recall.channels.relation_lift import relation_lifts
from kgrecall.types import Interactions

NUM_ITEMS, TASTES = 60, 6


def tastes() -> Interactions:
    """Users choose within one of six tastes; item i belongs to taste i % 6."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(
        (np.arange(300)[:, None] % TASTES == np.arange(NUM_ITEMS)[None, :] % TASTES) & (rng.random((300, NUM_ITEMS)) < 0.5)
    )
    return Interactions(users, items, np.ones(len(users), np.float32), None, 300, NUM_ITEMS)


def nodes(relation: str, node: np.ndarray) -> Incidence:
    matrix = csr_array((np.ones(NUM_ITEMS, np.float32), (np.arange(NUM_ITEMS), node)), shape=(NUM_ITEMS, int(node.max()) + 1))
    return Incidence(relation, relation, matrix, reverse=False)


def test_a_relation_that_follows_taste_is_lifted_and_one_of_noise_is_not() -> None:
    rng = np.random.default_rng(1)
    taste = nodes("taste", np.arange(NUM_ITEMS) % TASTES)
    noise = nodes("noise", rng.integers(0, 6, NUM_ITEMS))
    lonely = nodes("lonely", np.arange(NUM_ITEMS))
    lifts = relation_lifts([taste, noise, lonely], build_item_knn(tastes()))
    assert set(lifts) == {"taste", "noise"}
    assert lifts["taste"] == pytest.approx(TASTES * (NUM_ITEMS - 1) / (NUM_ITEMS - TASTES), rel=0.05)
    assert lifts["noise"] == pytest.approx(1, abs=0.35)


def test_without_choices_nothing_is_said() -> None:
    nobody = Interactions(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), None, 1, NUM_ITEMS)
    assert relation_lifts([nodes("taste", np.arange(NUM_ITEMS) % TASTES)], build_item_knn(nobody)) == {}
