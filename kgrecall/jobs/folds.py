"""Events to learn from beside what came next: the folds on which a build chooses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from kgrecall.errors import ShapeError, Shown
from kgrecall.evaluate.evaluator import evaluate
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.split import Split, joined, new_pairs, split_by_time, split_by_user, split_random
from kgrecall.kernels import tier
from kgrecall.recall.base import Channel
from kgrecall.recall.histories import Histories
from kgrecall.recall.queries.batches import batch_of_users
from kgrecall.threads import in_order, ranges
from kgrecall.types import BoolArray, IntArray, Interactions, PosArray

Cut = Literal["moment", "user"]
"""``moment``: at one time for all, as a model in production is asked; ``user``: through the middle of every history."""
_MEASURE = "ndcg@20"
_HISTORY = 500
_AT_ONCE = 256
"""Users that a thread asks for."""
MOST_JUDGES = 2000
"""Users of a fold by whom the settings of a channel are told apart."""
_MOST_USERS, _MOST_CROWD, _MOST_CURIOUS = 4000, 12_000, 1000
"""Users of one more fold cost a training run, more users of a fold nearly nothing; but the whole lists of 4,000 take some GB,
so that the crowd teaches by the heads of its lists alone. NDCG@20 of 3,000 others on validation by users of one fold:
amazon-book .1561 from 4,000, .1576 from 8,000, .1585 from 16,000; gowalla .1470, .1468, .1475."""
_MOST_VISITORS, _MOST_TOLD = 600, 8
"""NDCG@20 of unseen visitors by what 50, 100 and 200 others taught, ml1m-kg: .301, .329, .345 (popularity alone: .329)."""


@dataclass(frozen=True)
class Fold:
    """Events to learn from, and what came next for users that they know.

    ``truth``: with items that ``train`` knows; ``fresh``: with those of ``new``, in the same stretch of time, so that a new
    item counts as one that arrived at the cut; ``earlier``: what people had with new items before it. ``told``: what visitors
    bring; ``train`` has no event of theirs, and the rest of their lives is held out. ``crowd``: what came next, of items that
    ``train`` knows, for at most 12,000 further users: enough to teach a network, where all else is learned from fewer.

    Shapes: ``users`` int64 (m,), sorted: those with history in ``train`` and items new to them in ``truth``; at most 4,000.
    ``curious`` int64 (n,), sorted: at most 1,000 who have a history and ``fresh`` events, to be asked for new items alone.
    ``visitors`` int64 (v,), sorted: at most 600. ``new`` bool (num_items,): items without an event in ``train`` that somebody
    chose in what was held out, as new as what arrived today. Of an item that nobody ever chose there is no telling whether it
    is right.
    """

    train: Interactions
    truth: Interactions
    users: IntArray
    fresh: Interactions
    curious: IntArray
    new: BoolArray
    told: Interactions
    earlier: Interactions
    crowd: Interactions

    @classmethod
    def of(
        cls,
        train: Interactions,
        held_out: Interactions,
        users: IntArray,
        curious: IntArray | None = None,
        told: Interactions | None = None,
        earlier: Interactions | None = None,
        crowd: IntArray | None = None,
    ) -> Fold:
        """Held-out events of these users and of visitors, those with items that are new to ``train`` told from the rest."""
        nobody = np.zeros(0, np.int64)
        nothing = train.take(nobody)
        told, earlier = told or nothing, earlier or nothing
        curious, crowd = nobody if curious is None else curious, nobody if crowd is None else crowd
        counts = [np.bincount(events.item_pos, minlength=train.num_items) for events in (train, held_out, earlier)]
        new: BoolArray = (counts[0] == 0) & (counts[1] + counts[2] > 0)
        asked = np.isin(held_out.user_pos, np.concatenate([users, told.user_pos]))
        fresh = new[held_out.item_pos]
        wanted = fresh & (asked | np.isin(held_out.user_pos, curious))
        earlier = earlier.take(np.isin(earlier.user_pos, curious))
        of_crowd = held_out.take(~fresh & np.isin(held_out.user_pos, crowd))
        return cls(train, held_out.take(~fresh & asked), users, held_out.take(wanted), curious, new, told, earlier, of_crowd)

    @property
    def visitors(self) -> IntArray:
        return np.unique(self.told.user_pos)

    @property
    def num_queries(self) -> int:
        """Users, curious and visitors: without the crowd."""
        return len(self.users) + len(self.curious) + len(self.visitors)

    @cached_property
    def _histories(self) -> Histories:
        return Histories.of(self.train)

    def sample(self, most: int) -> Fold:
        """The same judges, beside the events of as many other users as make ``most`` events."""
        if len(self.train) <= most:
            return self
        judges = a_few(self.users, seed=0)
        counts = np.bincount(self.train.user_pos, minlength=self.train.num_users)
        others = np.random.default_rng(0).permutation(np.setdiff1d(np.flatnonzero(counts), judges))
        some = others[counts[judges].sum() + np.cumsum(counts[others]) <= most]
        told = np.isin(self.train.user_pos, np.concatenate([judges, some]))
        return replace(self, train=self.train.take(told), users=judges)

    def ndcg(self, channel: Channel) -> float:
        """NDCG@20 of one channel alone, among the items that are not new, over at most 2,000 of the users."""
        users = a_few(self.users, seed=0)
        tier.answering(len(users))
        known, histories = None if not self.new.any() else ~self.new, self._histories

        def rank(users: IntArray, k: int) -> PosArray:
            def some(part: slice) -> PosArray:
                return channel.recall(replace(batch_of_users(users[part], histories, _HISTORY), mask=known), k).positions

            return np.concatenate(list(in_order(some, ranges(len(users), _AT_ONCE))))

        return evaluate(rank, self.truth, [_MEASURE], users=users)[_MEASURE]


def timed(events: Interactions) -> bool:
    """Whether the events can be cut in time."""
    if events.time is None:
        return False
    known = events.time[events.time != MISSING_TIME]
    return len(known) > 0 and bool(known.min() != known.max())


def cut_fold(
    events: Interactions, share: float, seed: int, cut: Cut = "moment", *, new_items: float = 0.0, visitors: float = 0.0
) -> tuple[Fold, Interactions] | None:
    """The last share of the events to be told from the rest, and all events before them; None when that asks nobody, or leaves
    less than half.

    Args:
        new_items: share of the items that lose all of their events to what is held out.
        visitors: share of the users who bring one to eight events of their own to an engine that knows none.
    """
    if share > 0.5:
        return None
    split = _split(events, share, seed, cut)
    hidden = _drawn_items(events, new_items, seed)
    past = split.train.take(~hidden[split.train.item_pos])
    told = _told(past, visitors, seed)
    strangers = np.isin(events.user_pos, told.user_pos)
    train = past.take(~np.isin(past.user_pos, told.user_pos))
    met = split.train.take(hidden[split.train.item_pos] & ~np.isin(split.train.user_pos, told.user_pos))
    later = split.valid.take(~np.isin(split.valid.user_pos, told.user_pos))
    if not timed(events):
        met, later = met.take(np.zeros(0, np.int64)), joined(met, later)
    held_out = joined(new_pairs(later, train), new_pairs(events.take(strangers), told))
    known = np.bincount(train.item_pos, minlength=train.num_items) > 0
    ours = ~np.isin(held_out.user_pos, told.user_pos)
    asked = np.intersect1d(train.user_pos, held_out.user_pos[known[held_out.item_pos] & ours])
    users, crowd = _users_and_crowd(asked, seed)
    if not len(users):
        return None
    had_new = np.concatenate([held_out.user_pos[~known[held_out.item_pos]], met.user_pos])
    curious = a_few(np.intersect1d(train.user_pos, had_new), seed=seed, most=_MOST_CURIOUS)
    return Fold.of(train, held_out, users, curious, told, new_pairs(met, held_out), crowd), split.train


def kept_fold(events: Interactions, kept: Interactions, seed: int) -> Fold | None:
    """Everything to be told from events that were kept apart from it; None when that asks nobody.

    Raises:
        ShapeError: ``kept`` is of other users or items.
    """
    if (kept.num_users, kept.num_items) != (events.num_users, events.num_items):
        raise ShapeError(
            "valid",
            expected=f"events of {events.num_users} users and {events.num_items} items",
            got=Shown(f"{kept.num_users} and {kept.num_items}"),
            remedy="Take both from one snapshot.",
        )
    held_out = new_pairs(kept, events)
    known = (np.bincount(events.item_pos, minlength=events.num_items) > 0)[held_out.item_pos]
    users, crowd = _users_and_crowd(np.intersect1d(events.user_pos, held_out.user_pos[known]), seed)
    if not len(users):
        return None
    curious = a_few(np.intersect1d(events.user_pos, held_out.user_pos[~known]), seed=seed, most=_MOST_CURIOUS)
    return Fold.of(events, held_out, users, curious, crowd=crowd)


def _users_and_crowd(asked: IntArray, seed: int) -> tuple[IntArray, IntArray]:
    """At most 4,000 of the users, and at most 12,000 of the others; both ascending."""
    users = a_few(asked, seed=seed, most=_MOST_USERS)
    return users, a_few(np.setdiff1d(asked, users), seed=seed, most=_MOST_CROWD)


def _told(events: Interactions, share: float, seed: int) -> Interactions:
    """The first events, one to eight, of a share of the users, at most 600, who have more than that (any ones where events have
    no times)."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(events.user_pos, minlength=events.num_users)
    able = np.flatnonzero(counts > _MOST_TOLD)
    drawn = rng.choice(able, min(int(share * len(able)), _MOST_VISITORS), replace=False)
    most = np.zeros(events.num_users, np.int64)
    most[drawn] = rng.integers(1, _MOST_TOLD + 1, len(drawn))
    key = events.time if events.time is not None and timed(events) else rng.random(len(events))
    theirs = np.flatnonzero(most[events.user_pos])
    order = theirs[np.lexsort((key[theirs], events.user_pos[theirs]))]
    user = events.user_pos[order]
    first = np.searchsorted(user, user)  # where the events of the same user begin
    return events.take(np.sort(order[np.arange(len(order)) - first < most[user]]))


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


def a_few(users: IntArray, *, seed: int, most: int = MOST_JUDGES) -> IntArray:
    """2,000 of the users, or ``most``, drawn where there are more, ascending."""
    if len(users) <= most:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, most, replace=False))
