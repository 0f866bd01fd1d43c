"""What is decided on validation data: settings of single channels, and the weights of all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kgrecall.jobs.asked import Asked
from kgrecall.jobs.folds import Cut, Fold, cut_fold, timed
from kgrecall.recall.base import Channel
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.fusion.fusion_weights import FittedFusion
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.types import Interactions

_ENOUGH_USERS = 500
_MOST_FOLDS = 4
_Setting = TypeVar("_Setting")


@dataclass(frozen=True)
class Validation:
    """Folds with a rolling origin: the newest one first, earlier ones only while fewer than 500 users are asked.

    Few users make a noisy judge: on 70 users a lucky setting wins as often as a good one. Each fold costs a training run, and
    where data is small enough to need several, a run is short.
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
    ) -> Validation:
        """Cut ``share`` of the events off the end for each fold (a random share where events have no times), and take a share
        of the items for new ones and a share of the users for visitors, others in each fold."""
        folds: list[Fold] = []
        rest = interactions
        while len(folds) < _MOST_FOLDS and sum(len(fold.users) for fold in folds) < _ENOUGH_USERS:
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
        return cls(tuple(folds))

    @property
    def num_items(self) -> int:
        return max((fold.train.num_items for fold in self.folds), default=0)

    @property
    def num_users(self) -> int:
        return sum(len(fold.users) for fold in self.folds)

    def choose(self, settings: Sequence[_Setting], make: Callable[[Interactions, _Setting], Channel]) -> _Setting:
        """The setting whose channel, made from the training events of each fold, has the best NDCG@20 over all users; the
        first of equals. A single setting is taken without measuring."""
        if len(settings) == 1 or not self.folds:
            return settings[0]
        return settings[int(np.argmax([self.value(setting, make) for setting in settings]))]

    def value(self, setting: _Setting, make: Callable[[Interactions, _Setting], Channel]) -> float:
        """The sum over all users of the NDCG@20 of a channel, made from the training events of each fold."""
        return sum(len(fold.users) * fold.ndcg(make(fold.train, setting)) for fold in self.folds)

    def fit(
        self, engines: Sequence[RecallEngine], methods: Sequence[FusionConfig], *, keep: Collection[str] | None = None
    ) -> tuple[FittedFusion | None, tuple[str, ...]]:
        """The fusion with the best NDCG@20 among these methods, each with its own best weights, and what was left out.

        Args:
            engines: one per fold, built from its training events. Without folds there is no fusion.
            keep: drop channels that are not missed, but none of these; None: drop none. The fusion has weights for the
                channels that stay.
        """
        if not self.folds:
            return None, ()
        asked = Asked.of(self.folds, engines)
        names, notes = asked.needed(methods[0], keep) if keep is not None else (tuple(asked.hits), ())
        fitted = [found for method in methods if (found := asked.fit(method, names)) is not None]
        return max(fitted, key=lambda fit: fit.value, default=None), notes
