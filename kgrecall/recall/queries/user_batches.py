"""Known users asked about in blocks, as a query with nothing but a user id asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kgrecall.recall.base import QueryBatch, Ragged, Signal
from kgrecall.recall.histories import Histories
from kgrecall.recall.queries.audience import Audience
from kgrecall.recall.queries.batches import batch_of_users
from kgrecall.types import BoolArray, IntArray

_BLOCK = 256


class UserBatches:
    """Makes batches of known users: those without a history have the attributes of the graph, in batches of their own.

    Args:
        max_history: only the newest items of a longer history are used; all of it counts as seen.
    """

    def __init__(self, histories: Histories, audience: Audience, max_history: int) -> None:
        self._histories, self._audience, self._max_history = histories, audience, max_history

    def of(
        self, user_pos: IntArray, mask: BoolArray | None, *, told: Histories | None = None
    ) -> Iterator[tuple[IntArray, QueryBatch, tuple[Signal, ...]]]:
        """Blocks of users: int64 (n,) their places in ``user_pos``, their batch, and the signals that it holds.

        Args:
            told: they are visitors, of whom only this is known.

        Raises:
            ShapeError: a position is not one of a user.
        """
        for start in range(0, len(user_pos), _BLOCK):
            places = np.arange(start, min(start + _BLOCK, len(user_pos)), dtype=np.int64)
            batch = self._batch(user_pos[places], mask, told)
            traits = self._traits(batch)
            with_traits = np.zeros(len(places), np.bool_) if traits is None else np.diff(traits.indptr) > 0
            signals: tuple[Signal, ...]
            for chosen, signals in ((~with_traits, ()), (with_traits, ("traits",))):
                if chosen.any():
                    part = batch if chosen.all() else self._batch(user_pos[places[chosen]], mask, told)
                    yield places[chosen], replace(part, traits=self._traits(part)), signals

    def _batch(self, users: IntArray, mask: BoolArray | None, told: Histories | None) -> QueryBatch:
        if told is None:
            return replace(batch_of_users(users, self._histories, self._max_history), mask=mask)
        return replace(batch_of_users(users, told, self._max_history), user_pos=np.full(len(users), -1, np.int64), mask=mask)

    def _traits(self, batch: QueryBatch) -> Ragged | None:
        cold = np.diff(batch.history_indptr) == 0
        if not cold.any():
            return None
        rows = [self._audience.stored_traits(int(u) if c else -1) for u, c in zip(batch.user_pos, cold, strict=True)]
        return Ragged.of(rows) if any(len(row) for row in rows) else None
