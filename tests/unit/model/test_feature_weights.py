"""What relations and texts are worth: the gradient against differences, and worlds in which it is known who tells the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from kgrecall.model import feature_weights
from kgrecall.model.feature_weights import learned_weights
from kgrecall.model.features import FeatureBlocks, FeatureWeights

NUM_USERS, NUM_ITEMS, BLOCKS = 120, 180, 6
EVEN = FeatureWeights({"TELLS": 1.0, "NOISE": 1.0}, {"TELLS": 0.5, "NOISE": 0.5}, {"text": 0.3, "cover": 0.3}, penalty=0.3)


def history(seed: int, num_items: int = NUM_ITEMS) -> sparse.csr_array:
    """Users of a block meet items of that block."""
    rng = np.random.default_rng(seed)
    same = np.arange(NUM_USERS)[:, None] % BLOCKS == np.arange(num_items)[None, :] % BLOCKS
    return sparse.csr_array((rng.random(same.shape) < np.where(same, 0.3, 0.01)).astype(np.float32))


def edges(entity: np.ndarray) -> sparse.csr_array:
    """Two edges of each item to entities (num_items, 2)."""
    num_items = len(entity)
    matrix = sparse.coo_array(
        (np.ones(2 * num_items, np.float32), (np.repeat(np.arange(num_items), 2), entity.ravel())), (num_items, 8 * BLOCKS)
    ).tocsr()
    return sparse.csr_array(matrix)


def blocks(seed: int, num_items: int = NUM_ITEMS, *, told: bool = True) -> FeatureBlocks:
    """TELLS leads to entities of the block of an item, NOISE, texts and covers to anything."""
    rng = np.random.default_rng(seed)
    own = np.arange(num_items)[:, None] % BLOCKS + BLOCKS * rng.integers(8, size=(num_items, 2))
    dense = {name: rng.standard_normal((num_items, dim)).astype(np.float32) for name, dim in (("text", 5), ("cover", 3))}
    return FeatureBlocks.of(num_items, {"TELLS": edges(own), "NOISE": edges(rng.permutation(own))}, dense if told else {})


@pytest.mark.parametrize("told", [True, False])
def test_the_gradient_is_that_of_differences(told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_weights, "_ROUNDS", 60)
    search = feature_weights._Search(blocks(1, told=told), history(0), EVEN, seed=0)
    weights = FeatureWeights(
        {"TELLS": 0.8, "NOISE": 1.3}, {"TELLS": 0.4, "NOISE": 0.6}, {"text": 0.4, "cover": 0.7}, penalty=0.5
    )
    point = search.point(weights)
    assert search.point(search.weights(point)) == pytest.approx(point)
    gradient, step = search.loss(point)[1], 0.02
    for place in range(len(point)):
        moved = step * np.eye(len(point))[place]
        difference = (search.loss(point + moved)[0] - search.loss(point - moved)[0]) / (2 * step)
        assert gradient[place] == pytest.approx(difference, rel=0.02, abs=2e-4)


def test_a_relation_that_tells_is_worth_more_than_noise() -> None:
    found = learned_weights(blocks(1), history(0), EVEN, seed=0)
    assert found.relations["TELLS"] > 4 * found.relations["NOISE"]
    assert found.relations["TELLS"] > 4 * max(found.dense["text"], found.dense["cover"])
    assert list(found.relations) == ["TELLS", "NOISE"]


def test_held_out_items_are_ranked_better() -> None:
    search = feature_weights._Search(blocks(2), history(1), EVEN, seed=5)
    found = learned_weights(blocks(2), history(1), EVEN, seed=0)
    before, after = (search.loss(search.point(weights))[0] for weights in (EVEN, found))
    assert after < before - 0.05


def test_the_same_seed_finds_the_same() -> None:
    assert learned_weights(blocks(1), history(0), EVEN, seed=3) == learned_weights(blocks(1), history(0), EVEN, seed=3)


def test_few_items_teach_nothing() -> None:
    assert learned_weights(blocks(1, 99), history(0, 99), EVEN, seed=0) is EVEN


def test_items_of_which_nothing_is_known_teach_nothing() -> None:
    silent = FeatureBlocks.of(NUM_ITEMS, {}, {"text": np.zeros((NUM_ITEMS, 3), np.float32)})
    assert learned_weights(silent, history(0), EVEN, seed=0) is EVEN


def test_users_of_one_item_each_teach_nothing() -> None:
    one_each = sparse.csr_array(np.eye(NUM_ITEMS, dtype=np.float32))
    assert learned_weights(blocks(1), one_each, EVEN, seed=0) is EVEN


def test_vectors_that_tell_are_worth_more_than_texts_that_do_not() -> None:
    both = blocks(1)
    own = np.eye(BLOCKS, dtype=np.float32)[np.arange(NUM_ITEMS) % BLOCKS]
    told = FeatureBlocks(NUM_ITEMS, {}, {}, {**both.dense, "cover": own})
    found = learned_weights(told, history(0), replace(EVEN, relations={}, hub_powers={}), seed=0)
    assert found.dense["cover"] > 1.5 * found.dense["text"]
