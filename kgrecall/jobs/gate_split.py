"""What a gate asks: users who are known well, users who are hardly known, and items that nobody has met."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgrecall.errors import ConfigError, Shown
from kgrecall.evaluate.segments import truth_by_warmth
from kgrecall.graph.split import joined, new_pairs, split_by_time, split_random
from kgrecall.jobs.folds import timed
from kgrecall.types import BoolArray, IntArray, Interactions

WARM, SPARSE, NEW, NEW_IN_ALL = "warm users", "sparse users", "new items", "new items among all"
_SPARSE_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to all arms: these users' relevant items, found among these items.

    ``among``: bool (num_items,), the items that compete; None: the whole catalogue. ``users``: int64, sorted.
    """

    name: str
    truth: Interactions
    users: IntArray
    among: BoolArray | None = None


@dataclass(frozen=True, slots=True)
class GateSplit:
    """Events to learn from, and what is asked afterwards.

    ``train`` holds no event of the ``hidden`` items (bool (num_items,)): they are as new as an item that arrived today.
    """

    train: Interactions
    hidden: BoolArray
    asked: tuple[Asked, ...]

    @classmethod
    def carve(cls, events: Interactions, *, test: float, new_items: float, max_users: int, seed: int) -> GateSplit:
        """Hold the latest share ``test`` of the events out (a random share where there are no times), and hide a share of the
        items. Arguments and errors as in :meth:`of`."""
        split = (
            split_by_time(events, valid=0, test=test) if timed(events) else split_random(events, valid=0, test=test, seed=seed)
        )
        return cls.of(split.train, split.test, new_items=new_items, max_users=max_users, seed=seed)

    @classmethod
    def of(cls, train: Interactions, test: Interactions, *, new_items: float, max_users: int, seed: int) -> GateSplit:
        """A split that is there already, of whose items a share is hidden.

        Args:
            new_items: share of the items with events that loses all of them; they are asked for.
            max_users: users in each question, drawn when there are more.

        Raises:
            ConfigError: nobody in the test part has a history.
        """
        rng = np.random.default_rng(seed)
        met = np.unique(train.item_pos)
        hidden = np.zeros(train.num_items, np.bool_)
        hidden[rng.choice(met, round(new_items * len(met)), replace=False)] = True
        learned = train.take(~hidden[train.item_pos])
        wanted = truth_by_warmth(new_pairs(joined(train.take(hidden[train.item_pos]), test), learned), learned)
        known = np.unique(learned.user_pos)
        warm = _drawn(np.intersect1d(known, wanted["warm"].user_pos), max_users, rng)
        if not len(warm):
            remedy = "Hold out a larger share, or import more events."
            raise ConfigError("events", expected="users with history in the test part", got=Shown("none"), remedy=remedy)
        asked = [Asked(WARM, wanted["warm"], warm), Asked(SPARSE, wanted["warm"], _sparse(learned, warm))]
        new = wanted["cold"].take(hidden[wanted["cold"].item_pos])
        curious = _drawn(np.intersect1d(known, new.user_pos), max_users, rng)
        if len(curious):
            asked += [Asked(NEW, new, curious, hidden), Asked(NEW_IN_ALL, new, curious)]
        return cls(learned, hidden, tuple(asked))


def _drawn(users: IntArray, most: int, rng: np.random.Generator) -> IntArray:
    return users if len(users) <= most else np.sort(rng.choice(users, most, replace=False))


def _sparse(history: Interactions, users: IntArray) -> IntArray:
    """The third of these users with the fewest events."""
    events = np.bincount(history.user_pos, minlength=history.num_users)[users]
    few = np.argsort(events, kind="stable")[: max(1, round(len(users) * _SPARSE_SHARE))]
    return np.sort(users[few])
