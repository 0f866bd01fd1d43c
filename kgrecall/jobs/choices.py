"""What is decided on validation data: settings of single channels, and the weights of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kgrecall.evaluate.evaluator import evaluate
from kgrecall.graph.split import new_pairs, split_by_time, split_random
from kgrecall.recall.base import Channel, Hits
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.fusion_weights import FittedFusion, fit_weights
from kgrecall.recall.histories import Histories
from kgrecall.recall.rank_fusion import FusionConfig
from kgrecall.recall.requests import batch_of_users
from kgrecall.types import IntArray, Interactions, PosArray

_MEASURE = "ndcg@20"
_HITS = 200
_HISTORY = 500
_ENOUGH_USERS = 500
_MOST_USERS = 2000
_MOST_FOLDS = 4
_Setting = TypeVar("_Setting")


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


@dataclass(frozen=True)
class Validation:
    """Folds with a rolling origin: the newest one first, earlier ones only while fewer than 500 users are asked.

    Few users make a noisy judge: on 70 users a lucky setting wins as often as a good one. Each fold costs a training run, and
    where data is small enough to need several, a run is short.
    """

    folds: tuple[Fold, ...]

    @classmethod
    def carve(cls, interactions: Interactions, share: float, *, seed: int) -> Validation:
        """Cut ``share`` of the events off the end for each fold (a random share where events have no times)."""
        folds: list[Fold] = []
        while len(folds) < _MOST_FOLDS and sum(len(fold.users) for fold in folds) < _ENOUGH_USERS:
            rest = folds[-1].train if folds and timed(interactions) else interactions
            fold = _fold(rest, share * len(interactions) / len(rest), seed + len(folds))
            if fold is None:
                break
            folds.append(fold)
        return cls(tuple(folds))

    @property
    def num_users(self) -> int:
        return sum(len(fold.users) for fold in self.folds)

    def choose(self, settings: Sequence[_Setting], make: Callable[[Interactions, _Setting], Channel]) -> _Setting:
        """The setting whose channel, made from the training events of each fold, has the best NDCG@20 over all users; the
        first of equals. A single setting is taken without measuring."""
        if len(settings) == 1 or not self.folds:
            return settings[0]
        values = [sum(len(f.users) * f.ndcg(make(f.train, setting)) for f in self.folds) for setting in settings]
        return settings[int(np.argmax(values))]

    def fit(self, engines: Sequence[RecallEngine], methods: Sequence[FusionConfig]) -> FittedFusion | None:
        """The fusion with the best NDCG@20 among these methods, each with its own best weights.

        Args:
            engines: one per fold, built from its training events. None is returned without folds.
        """
        if not self.folds:
            return None
        asked = [_asked(fold, engine) for fold, engine in zip(self.folds, engines, strict=True)]
        names = [name for name in asked[0][0] if all(name in hits for hits, _, _ in asked)]
        hits = {name: _stacked([found[name] for found, _, _ in asked]) for name in names}
        counts = np.concatenate([np.diff(indptr) for _, indptr, _ in asked])
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        truth = np.concatenate([items for _, _, items in asked])
        fitted = [fit_weights(hits, indptr, truth, config=method) for method in methods]
        return max(fitted, key=lambda fit: fit.value)


def timed(events: Interactions) -> bool:
    """Whether the events can be cut in time."""
    return events.time is not None and len(np.unique(events.time)) > 1


def _fold(events: Interactions, share: float, seed: int) -> Fold | None:
    """The last share of the events to be told from the rest; None when that asks nobody, or leaves less than half."""
    if share > 0.5:
        return None
    by_time = timed(events)
    split = split_by_time(events, valid=share, test=0) if by_time else split_random(events, valid=share, test=0, seed=seed)
    truth = new_pairs(split.valid, split.train)
    users = np.intersect1d(split.train.user_pos, truth.user_pos)
    if len(users) > _MOST_USERS:
        users = np.sort(np.random.default_rng(seed).choice(users, _MOST_USERS, replace=False))
    return Fold(split.train, truth.take(np.isin(truth.user_pos, users)), users) if len(users) else None


def _asked(fold: Fold, engine: RecallEngine) -> tuple[dict[str, Hits], IntArray, IntArray]:
    """Every channel's hits for the users of a fold, and their held-out items (indptr, positions)."""
    hits = engine.channel_hits(fold.users, min(_HITS, fold.train.num_items))
    order = np.argsort(fold.truth.user_pos, kind="stable")
    counts = np.bincount(np.searchsorted(fold.users, fold.truth.user_pos), minlength=len(fold.users))
    return hits, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), fold.truth.item_pos[order]


def _stacked(hits: Sequence[Hits]) -> Hits:
    return Hits(np.concatenate([h.positions for h in hits]), np.concatenate([h.scores for h in hits]))
