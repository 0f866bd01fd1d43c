"""Events to learn from beside what came next: the folds on which a build chooses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kgrecall.evaluate.evaluator import evaluate
from kgrecall.graph.split import Split, joined, new_pairs, split_by_time, split_by_user, split_random
from kgrecall.recall.base import Channel
from kgrecall.recall.histories import Histories
from kgrecall.recall.requests import batch_of_users
from kgrecall.types import BoolArray, IntArray, Interactions, PosArray

Cut = Literal["moment", "user"]
"""``moment``: at one time for all, as a model in production is asked; ``user``: through the middle of every history."""
_MEASURE = "ndcg@20"
_HISTORY = 500
_MOST_USERS = 2000


@dataclass(frozen=True)
class Fold:
    """Events to learn from, and what came next for users that they know.

    ``truth``: with items that ``train`` knows; ``fresh``: with those of ``new``, whoever had them.

    Shapes: ``users`` int64 (m,), sorted: those with history in ``train`` and items new to them in ``truth``; at most 2,000.
    ``curious`` int64 (n,), sorted: others who have a history and ``fresh`` events; at most 2,000 with ``users``. ``new`` bool
    (num_items,): items without an event in ``train`` that somebody chose in what was held out, as new as what arrived today. Of
    an item that nobody ever chose there is no telling whether it is right.
    """

    train: Interactions
    truth: Interactions
    users: IntArray
    fresh: Interactions
    curious: IntArray
    new: BoolArray

    @classmethod
    def of(cls, train: Interactions, held_out: Interactions, users: IntArray, curious: IntArray | None = None) -> Fold:
        """Held-out events of these users, those with items that are new to ``train`` told from the rest."""
        unmet = np.bincount(train.item_pos, minlength=train.num_items) == 0
        new: BoolArray = unmet & (np.bincount(held_out.item_pos, minlength=train.num_items) > 0)
        curious = np.zeros(0, np.int64) if curious is None else curious
        asked = np.isin(held_out.user_pos, np.concatenate([users, curious]))
        known = ~new[held_out.item_pos] & np.isin(held_out.user_pos, users)
        return cls(train, held_out.take(known), users, held_out.take(~known & new[held_out.item_pos] & asked), curious, new)

    def ndcg(self, channel: Channel) -> float:
        """NDCG@20 of one channel alone, among the items that are not new."""
        histories, known = Histories.of(self.train), None if not self.new.any() else ~self.new

        def rank(users: IntArray, k: int) -> PosArray:
            return channel.recall(replace(batch_of_users(users, histories, _HISTORY), mask=known), k).positions

        return evaluate(rank, self.truth, [_MEASURE])[_MEASURE]


def timed(events: Interactions) -> bool:
    """Whether the events can be cut in time."""
    return events.time is not None and len(np.unique(events.time)) > 1


def cut_fold(
    events: Interactions, share: float, seed: int, cut: Cut = "moment", *, hide: float = 0.0
) -> tuple[Fold, Interactions] | None:
    """The last share of the events to be told from the rest, and all events before them; None when that asks nobody, or leaves
    less than half.

    Args:
        hide: share of the items that lose all of their events to what is held out.
    """
    if share > 0.5:
        return None
    split = _split(events, share, seed, cut)
    hidden = _drawn_items(events, hide, seed)
    train = split.train.take(~hidden[split.train.item_pos])
    held_out = new_pairs(joined(split.train.take(hidden[split.train.item_pos]), split.valid), train)
    known = np.bincount(train.item_pos, minlength=train.num_items) > 0
    users = a_few(np.intersect1d(train.user_pos, held_out.user_pos[known[held_out.item_pos]]), seed=seed)
    if not len(users):
        return None
    others = np.setdiff1d(np.intersect1d(train.user_pos, held_out.user_pos[~known[held_out.item_pos]]), users)
    return Fold.of(train, held_out, users, a_few(others, seed=seed, most=_MOST_USERS - len(users))), split.train


def _drawn_items(events: Interactions, share: float, seed: int) -> BoolArray:
    """A share of the items that somebody chose: bool (num_items,)."""
    drawn = np.zeros(events.num_items, np.bool_)
    met = np.unique(events.item_pos)
    drawn[np.random.default_rng(seed).choice(met, int(share * len(met)), replace=False)] = True
    return drawn


def _split(events: Interactions, share: float, seed: int, cut: Cut) -> Split:
    if not timed(events):
        return split_random(events, valid=share, test=0, seed=seed)
    return split_by_time(events, valid=share, test=0) if cut == "moment" else split_by_user(events, valid=share, test=0)


def a_few(users: IntArray, *, seed: int, most: int = _MOST_USERS) -> IntArray:
    """2,000 of the users, or ``most``, drawn where there are more, ascending."""
    if len(users) <= most:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
