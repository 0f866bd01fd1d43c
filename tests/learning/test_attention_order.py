"""A planted world in which two events together say what comes next, and neither alone: people walk around a ring of groups of
items in strides of their own. Only what reads the order of a history can find the next group."""

from __future__ import annotations

import numpy as np
import torch

from kgrecall.index.base import ExactIndex
from kgrecall.jobs.folds import Fold
from kgrecall.model.attention import AttentionConfig
from kgrecall.model.attention_trainer import TrainedEncoder, train_attention
from kgrecall.model.sequences import Sequences
from kgrecall.recall.channels.attention import AttentionChannel
from kgrecall.recall.channels.history_encoder import HistoryEncoder
from kgrecall.recall.channels.item_knn import ItemKnnChannel, build_item_knn
from kgrecall.recall.channels.sequence import SequenceConfig, build_sequence
from kgrecall.recall.channels.vector import normalised
from kgrecall.recall.histories import Histories
from kgrecall.types import FloatArray, Interactions

torch.set_num_threads(1)
GROUPS, EACH, STRIDES, DIM = 24, 12, (1, 5, 7, 11), 32
NUM_USERS, EVENTS = 400, 25
NUM_ITEMS = GROUPS * EACH


def walks(seed: int) -> Interactions:
    """Each person walks ``group + stride``; now and then the stride changes."""
    rng = np.random.default_rng(seed)
    items = np.zeros((NUM_USERS, EVENTS), np.int64)
    for user in range(NUM_USERS):
        left = [list(rng.permutation(EACH)) for _ in range(GROUPS)]
        group, stride = rng.integers(GROUPS), rng.choice(STRIDES)
        for place in range(EVENTS):
            items[user, place] = group * EACH + left[group].pop()
            stride = rng.choice(STRIDES) if rng.random() < 0.1 else stride
            group = (group + stride) % GROUPS
    users = np.repeat(np.arange(NUM_USERS), EVENTS)
    time = np.tile(np.arange(EVENTS), NUM_USERS)
    return Interactions(users, items.ravel(), np.ones(len(users), np.float32), time, NUM_USERS, NUM_ITEMS)


def vectors(seed: int) -> FloatArray:
    """Items of a group are alike, as fused vectors would be."""
    rng = np.random.default_rng(seed)
    group = np.repeat(rng.standard_normal((GROUPS, DIM)), EACH, axis=0)
    return normalised((group + 0.3 * rng.standard_normal((NUM_ITEMS, DIM))).astype(np.float32))


def learned(train: Interactions, items: FloatArray, seed: int) -> TrainedEncoder:
    rows = Histories.of(train)
    assert rows.time is not None
    config = AttentionConfig(horizon=1, epochs=25, batch_events=1000, learning_rate=0.01)
    return train_attention(Sequences(rows.indptr, rows.item_pos, rows.time), items, items, config, seed=seed)


def test_two_events_together_say_what_comes_next() -> None:
    events = walks(0)
    assert events.time is not None
    last = events.time == EVENTS - 1
    fold = Fold.of(events.take(~last), events.take(last), np.arange(NUM_USERS))
    items = vectors(0)
    trained = learned(fold.train, items, seed=0)
    encoder = HistoryEncoder.of(trained.arrays)
    assert trained.losses[-1] < trained.losses[0]
    attention = fold.ndcg(AttentionChannel(ExactIndex(items), items, encoder))
    item_knn = fold.ndcg(ItemKnnChannel(build_item_knn(fold.train)))
    first_order = fold.ndcg(ItemKnnChannel(build_sequence(fold.train, SequenceConfig(window=1)), half_life=0.1))
    assert attention > 2 * first_order
    assert attention > 2 * item_knn


def test_same_seed_same_bits() -> None:
    events, items = walks(1), vectors(1)
    some = events.take(events.user_pos < 40)
    first, again, other = (learned(some, items, seed).arrays for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["0.value"], other["0.value"])
