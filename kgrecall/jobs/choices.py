"""The folds of a build, and what single settings are worth on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from kgrecall.jobs.folds import Cut, Fold, cut_fold, kept_fold, timed
from kgrecall.recall.base import Channel
from kgrecall.types import Interactions

_ENOUGH_JUDGES = 500
"""Users who tell two settings of a channel apart."""
_ENOUGH_USERS = 2000
"""Users that a fusion of a dozen channels is learned from: most of them have one held-out item. NDCG@20 of the learned fusion
on validation by folds of 940 users, lightkg-lastfm: one .2124, two .2152, three .2163; none is gained on hetrec-lastfm."""
_MOST_FOLDS = 4
MOST_EVENTS = 1_000_000
_Setting = TypeVar("_Setting")
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Validation:
    """Folds with a rolling origin: the newest one first, earlier ones only while fewer than 2,000 users are asked.

    Events that are kept for validation from the start make a fold before all others: what came next there, beside everything.

    Few users make a noisy judge: on 70 users a lucky setting wins as often as a good one. Each fold costs a training run, and
    where data is small enough to need several, a run is short. Settings are chosen on the newest folds alone, until 500 users
    are asked, since each setting is tried on each of them; the fusion, of more numbers, learns from all.
    """

    folds: tuple[Fold, ...]

    @classmethod
    def carve(
        cls,
        interactions: Interactions,
        share: float,
        *,
        seed: int,
        cut: Cut = "moment",
        new_items: float = 0.0,
        visitors: float = 0.0,
        kept: Interactions | None = None,
    ) -> Validation:
        """Cut ``share`` of the events off the end for each fold (a random share where events have no times), and take a share
        of the items for new ones and a share of the users for visitors, others in each fold.

        Args:
            kept: events beside ``interactions``. Their fold has neither practised new items nor visitors, so that one is cut
                in any case.
        """
        first = None if kept is None else kept_fold(interactions, kept, seed)
        folds: list[Fold] = []
        rest = interactions
        while not folds or ((first is not None) + len(folds) < _MOST_FOLDS and _asked([first, *folds]) < _ENOUGH_USERS):
            found = cut_fold(
                rest,
                share * len(interactions) / len(rest),
                seed + len(folds),
                cut,
                new_items=new_items,
                visitors=visitors,
            )
            if found is None:
                break
            folds.append(found[0])
            rest = found[1] if timed(interactions) else interactions
        return cls(tuple(folds) if first is None else (first, *folds))

    @property
    def judges(self) -> tuple[Fold, ...]:
        """The folds on which settings are chosen."""
        asked = np.cumsum([0, *(len(fold.users) for fold in self.folds)])
        return self.folds[: int(np.searchsorted(asked, _ENOUGH_JUDGES))]

    @cached_property
    def sample(self) -> Validation:
        """The judges alone, each with 1,000,000 training events at most, of some users: on so many, settings are told apart as
        well, in bounded time."""
        return Validation(tuple(fold.sample(MOST_EVENTS) for fold in self.judges))

    @property
    def num_items(self) -> int:
        return max((fold.train.num_items for fold in self.folds), default=0)

    @property
    def num_users(self) -> int:
        return _asked(self.folds)

    def choose(self, settings: Sequence[_Setting], make: Callable[[Interactions, _Setting], Channel]) -> _Setting:
        """The setting whose channel, made from the training events of each judging fold, has the best NDCG@20 over all users;
        the first of equals. A single setting is taken without measuring."""
        if len(settings) == 1 or not self.folds:
            return settings[0]
        return settings[int(np.argmax([self.value(setting, make) for setting in settings]))]

    def choose_built(
        self,
        settings: Sequence[_Setting],
        build: Callable[[Interactions, _Setting], _Part],
        make: Callable[[Interactions, _Part], Channel],
    ) -> tuple[_Setting, Callable[[Interactions], _Part]]:
        """As :meth:`choose`, for channels whose dear part is built from the events and served by ``make``; beside the setting,
        what gives that part of a fold's training events at this setting. It is built once, and held at no other setting than
        the best so far and the one that is tried."""
        best, held, top = settings[0], dict[int, _Part](), -np.inf
        for setting in settings if len(settings) > 1 else ():
            built = {id(fold.train): build(fold.train, setting) for fold in self.judges}
            value = self.value(built, lambda events, parts: make(events, parts[id(events)]))
            if value > top:
                best, held, top = setting, built, value

        def part(events: Interactions) -> _Part:
            if id(events) not in held:
                held[id(events)] = build(events, best)
            return held[id(events)]

        return best, part

    def value(self, setting: _Setting, make: Callable[[Interactions, _Setting], Channel]) -> float:
        """The sum over all users of the NDCG@20 of a channel, made from the training events of each judging fold."""
        return sum(len(fold.users) * fold.ndcg(make(fold.train, setting)) for fold in self.judges)


def _asked(folds: Sequence[Fold | None]) -> int:
    """Users of some folds."""
    return sum(len(fold.users) for fold in folds if fold is not None)
