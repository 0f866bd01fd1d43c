"""The queries that fusion is fitted on: those of the users of a fold, and those of its crowd."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kgrecall.jobs import asked as asked_module
from kgrecall.jobs.asked import Asked
from kgrecall.jobs.folds import Fold
from kgrecall.recall.base import Hits
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.histories import Histories
from kgrecall.types import BoolArray, IntArray, Interactions

NUM_USERS, NUM_ITEMS = 900, 40
LEARNED = FusionConfig(method="learned")


def events(user: IntArray, item: IntArray) -> Interactions:
    return Interactions(user, item, np.ones(len(user), np.float32), None, NUM_USERS, NUM_ITEMS)


def split() -> tuple[Interactions, Interactions]:
    """Everyone has had item ``u % 19`` and next chooses ``20 + u % 18``; item 39 is new, and user 899 chooses it beside."""
    users = np.arange(NUM_USERS)
    return events(np.tile(users, 2), np.concatenate([users % 19, 20 + (users + 9) % 18])), events(
        np.append(users, 899), np.append(20 + users % 18, 39)
    )


class Engine:
    """Channel a has the right item among its best for even users, b for odd ones; the rest is by chance."""

    def __init__(self, train: Interactions) -> None:
        self.histories, self.config = Histories.of(train), SimpleNamespace(max_history=50)
        self.popularity = np.bincount(train.item_pos, minlength=NUM_ITEMS).astype(np.float32)
        self.channel_names = ("a", "b")
        self.asked: list[list[int]] = []

    def channel_hits(
        self, user_pos: IntArray, k: int, *, told: Histories | None = None, among: BoolArray | None = None
    ) -> dict[str, Hits]:
        self.asked.append(user_pos.tolist())
        found = {name: Hits.empty(len(user_pos), k) for name in self.channel_names}
        for row, user in enumerate(user_pos.tolist()):
            for own, name in enumerate(self.channel_names):
                by = np.random.default_rng([user, own]).random(NUM_ITEMS).astype(np.float32)
                by[20 + user % 18] += 0.7 * (user % 2 == own)
                found[name].positions[row] = np.argsort(-by)[:k]
                found[name].scores[row] = np.sort(by)[::-1][:k]
        return found


def asked_of(fold: Fold) -> tuple[Asked, Engine]:
    engine: Any = Engine(fold.train)
    return Asked.of([fold], lambda _: engine), engine


def fold_of(crowd: IntArray | None) -> Fold:
    train, held_out = split()
    return Fold.of(train, held_out, np.arange(0, 400), crowd=crowd)


def test_the_crowd_is_asked_in_blocks_and_what_it_chose_of_known_items_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_module, "_BLOCK", 150)
    asked, engine = asked_of(fold_of(np.arange(600, 900)))
    assert [len(users) for users in engine.asked if users] == [400, 150, 150]
    assert [len(block.kind) for block in asked.crowd] == [150, 150]
    last = asked.crowd[1]
    assert last.truth_pos.tolist() == (20 + np.arange(750, 900) % 18).tolist(), "item 39 is new, and no part of it"
    assert last.hits["b"].positions.tolist() == engine.channel_hits(np.arange(750, 900), NUM_ITEMS)["b"].positions.tolist()


def test_a_crowd_that_nothing_learns_from_is_not_asked() -> None:
    fold = fold_of(np.arange(600, 900))
    engine: Any = Engine(fold.train)
    assert Asked.of([fold], lambda _: engine, crowd=False).crowd == ()
    assert [len(users) for users in engine.asked if users] == [400]


def test_without_a_crowd_nobody_else_is_asked() -> None:
    asked, engine = asked_of(fold_of(None))
    assert asked.crowd == ()
    assert [users for users in engine.asked if users] == [list(range(400))]


def test_the_crowd_teaches_the_network_of_known_items_and_nothing_else() -> None:
    alone, taught = (asked_of(fold_of(crowd))[0].fit(LEARNED) for crowd in (None, np.arange(600, 900)))
    assert alone is not None
    assert taught is not None
    assert alone.config.combiner is not None
    assert taught.config.combiner is not None
    assert taught.config.combiner.known != alone.config.combiner.known
    assert taught.config.weights == alone.config.weights
    assert taught.values.tolist() == alone.values.tolist()


def test_items_that_nobody_had_chosen_do_not_reach_the_lesson() -> None:
    asked, _ = asked_of(fold_of(np.arange(600, 900)))
    blocks = list(asked.of_crowd(LEARNED, ("a", "b")))
    assert len(blocks) == 1
    for lists, around in blocks:
        assert (lists.positions >= 0).any()
        assert not np.isnan(around.of(lists.queries[:, None], lists.positions)[lists.positions >= 0]).any()
        assert not np.isin(lists.positions, [19, 38, 39]).any()
