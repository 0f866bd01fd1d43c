"""Events to learn from beside what came next: the folds on which a build chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from kgrecall.evaluate.evaluator import evaluate
from kgrecall.graph.split import Split, new_pairs, split_by_time, split_by_user, split_random
from kgrecall.recall.base import Channel
from kgrecall.recall.histories import Histories
from kgrecall.recall.requests import batch_of_users
from kgrecall.types import IntArray, Interactions, PosArray

Cut = Literal["moment", "user"]
"""``moment``: at one time for all, as a model in production is asked; ``user``: through the middle of every history."""
_MEASURE = "ndcg@20"
_HISTORY = 500
_MOST_USERS = 2000


@dataclass(frozen=True)
class Fold:
    """Events to learn from, and what came next for users that they know.

    Shapes: ``users`` int64 (m,), sorted: those with history in ``train`` and new items in ``truth``; at most 2,000.
    """

    train: Interactions
    truth: Interactions
    users: IntArray

    def ndcg(self, channel: Channel) -> float:
        """NDCG@20 of one channel alone."""
        histories = Histories.of(self.train)

        def rank(users: IntArray, k: int) -> PosArray:
            return channel.recall(batch_of_users(users, histories, _HISTORY), k).positions

        return evaluate(rank, self.truth, [_MEASURE])[_MEASURE]


def timed(events: Interactions) -> bool:
    """Whether the events can be cut in time."""
    return events.time is not None and len(np.unique(events.time)) > 1


def cut_fold(events: Interactions, share: float, seed: int, cut: Cut = "moment") -> Fold | None:
    """The last share of the events to be told from the rest; None when that asks nobody, or leaves less than half."""
    if share > 0.5:
        return None
    split = _split(events, share, seed, cut)
    truth = new_pairs(split.valid, split.train)
    users = np.intersect1d(split.train.user_pos, truth.user_pos)
    users = a_few(users, seed=seed)
    return Fold(split.train, truth.take(np.isin(truth.user_pos, users)), users) if len(users) else None


def _split(events: Interactions, share: float, seed: int, cut: Cut) -> Split:
    if not timed(events):
        return split_random(events, valid=share, test=0, seed=seed)
    return split_by_time(events, valid=share, test=0) if cut == "moment" else split_by_user(events, valid=share, test=0)


def a_few(users: IntArray, *, seed: int) -> IntArray:
    """2,000 of the users, drawn where there are more, ascending."""
    if len(users) <= _MOST_USERS:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, _MOST_USERS, replace=False))
