"""What is decided on validation data: settings of single channels, and the weights of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kgrecall.evaluate.evaluator import evaluate
from kgrecall.graph.split import new_pairs, split_by_time, split_random
from kgrecall.recall.base import Channel
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.fusion_weights import FittedFusion, fit_weights
from kgrecall.recall.histories import Histories
from kgrecall.recall.rank_fusion import FusionConfig
from kgrecall.recall.requests import batch_of_users
from kgrecall.types import IntArray, Interactions, PosArray

_K = 20
_HITS = 200
_HISTORY = 500
_MAX_USERS = 5000
_Setting = TypeVar("_Setting")


@dataclass(frozen=True)
class Validation:
    """Events to learn from, and what came after them for users that the first part knows.

    Shapes: ``users`` int64 (m,), sorted, at most 5,000 of them: those with history in ``train`` and new items in ``truth``.
    """

    train: Interactions
    truth: Interactions
    users: IntArray

    @classmethod
    def carve(cls, interactions: Interactions, share: float, *, seed: int) -> Validation:
        """Cut the latest part off where events have times, a random part otherwise."""
        timed = interactions.time is not None and len(np.unique(interactions.time)) > 1
        if timed:
            split = split_by_time(interactions, valid=share, test=0.0)
        else:
            split = split_random(interactions, valid=share, test=0.0, seed=seed)
        truth = new_pairs(split.valid, split.train)
        users = np.intersect1d(split.train.user_pos, truth.user_pos)
        if len(users) > _MAX_USERS:
            users = np.sort(np.random.default_rng(seed).choice(users, _MAX_USERS, replace=False))
        return cls(split.train, truth.take(np.isin(truth.user_pos, users)), users)

    @property
    def usable(self) -> bool:
        return len(self.users) > 0

    def choose(self, settings: Sequence[_Setting], make: Callable[[_Setting], Channel]) -> _Setting:
        """The setting whose channel has the best NDCG@20; the first of equals. One setting is taken without measuring."""
        if len(settings) == 1 or not self.usable:
            return settings[0]
        histories = Histories.of(self.train)
        values = [self._ndcg(make(setting), histories) for setting in settings]
        return settings[int(np.argmax(values))]

    def _ndcg(self, channel: Channel, histories: Histories) -> float:
        def rank(users: IntArray, k: int) -> PosArray:
            return channel.recall(batch_of_users(users, histories, _HISTORY), k).positions

        return evaluate(rank, self.truth, [f"ndcg@{_K}"])[f"ndcg@{_K}"]

    def fit(self, engine: RecallEngine, methods: Sequence[FusionConfig]) -> FittedFusion | None:
        """The fusion with the best NDCG@20 among these methods, each with its own best weights; None without validation."""
        if not self.usable:
            return None
        hits = engine.channel_hits(self.users, min(_HITS, self.train.num_items))
        order = np.argsort(self.truth.user_pos, kind="stable")
        counts = np.bincount(np.searchsorted(self.users, self.truth.user_pos), minlength=len(self.users))
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        fitted = [fit_weights(hits, indptr, self.truth.item_pos[order], config=method, k=_K) for method in methods]
        return max(fitted, key=lambda fit: fit.value)
