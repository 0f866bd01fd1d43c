"""Planted worlds in which only knowledge, only text or only a history can tell: what has to be learned is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from kgrecall.graph.knowledge import Incidence
from kgrecall.model import feature_weights
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.tower import TowerConfig
from kgrecall.model.trainer import ModelConfig, TrainedModel, _Run, train
from kgrecall.types import Interactions

torch.set_num_threads(1)
NUM_USERS, NUM_ITEMS, BLOCKS, NUM_NEW = 90, 120, 6, 24
CONFIG = ModelConfig(tower=TowerConfig(dim=16), epochs=10, learning_rate=5e-3)
NEW = np.arange(NUM_ITEMS) >= NUM_ITEMS - NUM_NEW


def world(seed: int, rate: float = 0.4) -> Interactions:
    """Users of block b meet items of block b (position modulo BLOCKS); nobody has met the newest items."""
    rng = np.random.default_rng(seed)
    same = np.arange(NUM_USERS)[:, None] % BLOCKS == np.arange(NUM_ITEMS)[None, :] % BLOCKS
    user, item = np.nonzero((rng.random(same.shape) < np.where(same, rate, 0.005)) & ~NEW[None, :])
    return Interactions(user, item, np.ones(len(user), np.float32), None, NUM_USERS, NUM_ITEMS)


def tags(seed: int, *, shuffled: bool = False, relation: str = "HAS_TAG") -> Incidence:
    """Three of the eight tags of its block for each item; shuffled: as many, of anything."""
    rng = np.random.default_rng(seed)
    tag = np.concatenate([i % BLOCKS + BLOCKS * rng.permutation(8)[:3] for i in range(NUM_ITEMS)])
    if shuffled:
        tag = rng.permutation(tag)
    matrix = sparse.coo_array(
        (np.ones(len(tag), np.float32), (np.repeat(np.arange(NUM_ITEMS), 3), tag)), (NUM_ITEMS, 8 * BLOCKS)
    )
    return Incidence(relation, "Tag", matrix.tocsr(), reverse=False)


def texts(seed: int) -> np.ndarray:
    """A direction for each block and a good deal of noise."""
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal((BLOCKS, 24))
    return (direction[np.arange(NUM_ITEMS) % BLOCKS] + 0.7 * rng.standard_normal((NUM_ITEMS, 24))).astype(np.float32)


def own_block(scores: np.ndarray, among: np.ndarray, k: int = 4) -> float:
    """Share of the top k that is of the user's own block; 1 / BLOCKS by chance."""
    top = np.flatnonzero(among)[np.argsort(-scores[:, among], axis=1)[:, :k]]
    return float((top % BLOCKS == np.arange(len(scores))[:, None] % BLOCKS).mean())


def found_new(model: TrainedModel) -> float:
    return own_block(model.embeddings.users @ model.embeddings.items.T, NEW)


@pytest.mark.parametrize("source", ["knowledge", "text", "vectors", "both"])
def test_items_that_nobody_met_are_placed_by_what_is_known_of_them(source: str) -> None:
    knowledge = [tags(1)] if source in ("knowledge", "both") else []
    text = texts(2) if source in ("text", "both") else None
    vectors = {"cover": texts(3)} if source == "vectors" else {}
    model = train(ModelInputs(world(0), knowledge, text, vectors=vectors), CONFIG, seed=0)
    assert found_new(model) > 0.8
    told = {"knowledge": {"HAS_TAG:Tag"}, "text": {"text"}, "vectors": {"cover vectors"}, "both": {"HAS_TAG:Tag", "text"}}
    assert set(model.worth) == told[source]


def test_vectors_that_tell_are_heard_beside_texts_that_do_not() -> None:
    noise = np.random.default_rng(9).standard_normal((NUM_ITEMS, 24)).astype(np.float32)
    model = train(ModelInputs(world(0), text=noise, vectors={"cover": texts(2)}), CONFIG, seed=0)
    assert found_new(model) > 0.8
    assert model.worth["cover vectors"] > model.worth["text"]


def test_shuffled_knowledge_places_nothing() -> None:
    assert found_new(train(ModelInputs(world(0), [tags(1, shuffled=True)]), CONFIG, seed=0)) < 0.4


def test_new_items_do_not_crowd_out_those_that_are_known() -> None:
    model = train(ModelInputs(world(0), [tags(1, shuffled=True)]), CONFIG, seed=0)
    top = np.argsort(-(model.embeddings.users @ model.embeddings.items.T), axis=1)[:, :10]
    assert NEW[top].mean() < 0.1


def test_knowledge_helps_where_events_are_few_and_shuffled_it_does_not() -> None:
    seen, everything = world(3, rate=0.12), ~NEW

    def quality(*knowledge: Incidence) -> float:
        scores = [train(ModelInputs(seen, knowledge), CONFIG, seed=s).embeddings for s in range(2)]
        return float(np.mean([own_block(e.users @ e.items.T, everything, k=8) for e in scores]))

    alone = quality()
    assert quality(tags(1)) > alone + 0.03
    assert quality(tags(1, shuffled=True)) < alone + 0.02


def test_a_user_who_was_never_seen_is_placed_by_a_history() -> None:
    embeddings = train(ModelInputs(world(0), [tags(1)]), CONFIG, seed=0).embeddings
    rng = np.random.default_rng(8)
    history = np.stack([b + BLOCKS * rng.choice(16, 3, replace=False) for b in range(BLOCKS)])  # three known items of block b
    users = embeddings.item_inputs[history].sum(axis=1)
    others = ~np.isin(np.arange(NUM_ITEMS), history)
    assert own_block(users @ embeddings.items.T, others, k=8) > 0.9


def test_known_users_are_placed_by_the_same_sum() -> None:
    seen = world(0)
    embeddings = train(ModelInputs(seen), CONFIG, seed=0).embeddings
    sums = ModelInputs(seen).history() @ embeddings.item_inputs
    assert embeddings.users == pytest.approx(sums / np.linalg.norm(sums, axis=1, keepdims=True), abs=1e-5)


def test_a_relation_of_noise_weighs_less_than_one_that_tells() -> None:
    config = CONFIG.model_copy(update={"epochs": 30, "tower": TowerConfig(dim=16, num_layers=1)})
    model = train(ModelInputs(world(0), [tags(1), tags(5, shuffled=True, relation="NOISE")]), config, seed=0)
    assert model.relation_weights["HAS_TAG:Tag"][0] > model.relation_weights["NOISE:Tag"][0]


@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_the_loss_falls(loss: str) -> None:
    config = CONFIG.model_copy(update={"loss": loss, "epochs": 20, "temperature": 0.5})
    model = train(ModelInputs(world(0), [tags(1)]), config, seed=0)
    assert np.mean([p.loss for p in model.curve[-3:]]) < 0.97 * model.curve[0].loss


def test_gradients_do_not_pile_up() -> None:
    run = _Run(
        ModelInputs(world(0), [tags(1)]), CONFIG.model_copy(update={"learning_rate": 1e-20}), valid=None, seed=0, device="cpu"
    )
    batch = next(iter(run.sampler.epoch(0, 1)))
    found = []
    for _ in range(2):
        run._step(batch, None, torch.Generator().manual_seed(1))
        found.append({name: p.grad.clone() for name, p in run.tower.named_parameters() if p.grad is not None})
    assert found[0].keys() == {name for name, p in run.tower.named_parameters() if p.numel()}
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name])


def test_what_is_noise_is_learned_to_say_little_of_new_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_weights, "_LEAST_ITEMS", 50)
    noise = [tags(seed, shuffled=True, relation=f"NOISE_{seed}") for seed in range(5, 9)]
    inputs = ModelInputs(world(0), [tags(1), *noise])
    told, even = (
        train(inputs, CONFIG.model_copy(update={"tower": TowerConfig(dim=16, learn_worth=learned)}), seed=0)
        for learned in (True, False)
    )
    assert found_new(told) > found_new(even) + 0.05
    assert told.worth["HAS_TAG:Tag"] > 0.5 > 0.25 > even.worth["HAS_TAG:Tag"]
