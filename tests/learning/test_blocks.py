"""A planted world: users of a block meet items of that block. What is learned must find the held-out ones."""

from __future__ import annotations

import numpy as np
import torch

from kgrecall.model.inputs import ModelInputs
from kgrecall.model.tower import TowerConfig
from kgrecall.model.trainer import ModelConfig, train
from kgrecall.types import Interactions

torch.set_num_threads(1)
NUM_USERS, NUM_ITEMS, BLOCKS = 80, 60, 4
SMALL = ModelConfig(tower=TowerConfig(dim=16), temperature=0.5, epochs=12, batch_size=32, patience=12)


def blocks(seed: int) -> tuple[Interactions, Interactions]:
    rng = np.random.default_rng(seed)
    same = np.arange(NUM_USERS)[:, None] % BLOCKS == np.arange(NUM_ITEMS)[None, :] % BLOCKS
    user, item = np.nonzero(rng.random(same.shape) < np.where(same, 0.6, 0.01))
    held_out = rng.random(len(user)) < 0.25
    events = Interactions(user, item, np.ones(len(user), np.float32), None, NUM_USERS, NUM_ITEMS)
    return events.take(~held_out), events.take(held_out)


def test_held_out_items_are_found() -> None:
    seen, hidden = blocks(0)
    model = train(ModelInputs(seen), SMALL, valid=hidden, seed=0)
    assert model.curve[-1].loss < model.curve[0].loss
    assert max(point.valid_recall or 0.0 for point in model.curve) > 0.85  # about 9 of 51 unseen items are right


def test_same_seed_same_bits() -> None:
    seen, hidden = blocks(1)
    first, second = (train(ModelInputs(seen), SMALL, valid=hidden, seed=3) for _ in range(2))
    assert np.array_equal(first.embeddings.items, second.embeddings.items)
    assert first.curve == second.curve
