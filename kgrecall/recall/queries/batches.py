"""Requests, or known users, as one batch of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from kgrecall.errors import ShapeError
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.recall.base import QueryBatch, Ragged
from kgrecall.recall.histories import Histories
from kgrecall.recall.queries.requests import Request
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

_NO_ITEMS = np.zeros(0, np.int32)


def batch_of(requests: Sequence[Request], num_items: int, mask: BoolArray | None, text: FloatArray | None) -> QueryBatch:
    """The requests as one batch; ``text`` float32 (q, dim) with zero rows, or None."""
    alike = any(r.query.item_id is not None for r in requests)
    signals = any(r.signals for r in requests)
    return QueryBatch(
        num_items=num_items,
        user_pos=np.array([r.user_pos for r in requests], np.int64),
        history_indptr=_indptr([len(r.history) for r in requests]),
        history_pos=_joined([r.history for r in requests]),
        history_weight=np.concatenate([r.weights for r in requests]) if len(requests) != 1 else requests[0].weights,
        exclude_indptr=_indptr([len(r.exclude) for r in requests]),
        exclude_pos=_joined([r.exclude for r in requests]),
        mask=mask,
        text=text,
        words=tuple(r.query.text or "" for r in requests) if any(r.query.text for r in requests) else None,
        friends=_ragged([r.friends for r in requests]) if signals else None,
        traits=_ragged([r.traits for r in requests]) if signals else None,
        moment=_ragged([r.moment for r in requests]) if signals else None,
        alike=np.array([r.query.item_id is not None for r in requests], np.bool_) if alike else None,
        history_time=_times(requests),
    )


def batch_of_users(user_pos: np.ndarray[tuple[int], np.dtype[np.int64]], histories: Histories, max_history: int) -> QueryBatch:
    """Known users with their stored histories, all of which counts as seen.

    Raises:
        ShapeError: a position is not one of a user.
    """
    outside = user_pos[(user_pos < 0) | (user_pos >= histories.num_users)]
    if len(outside):
        raise ShapeError(
            "user_pos",
            expected=f"numbers from 0 to {histories.num_users - 1}",
            got=int(outside[0]),
            remedy="Use positions of the users' vocabulary.",
        )
    indptr, entry = histories.latest(user_pos, max_history)
    seen = [np.sort(histories.row(int(user))[0]) for user in user_pos]
    return QueryBatch(
        num_items=histories.num_items,
        user_pos=user_pos,
        history_indptr=indptr,
        history_pos=histories.item_pos[entry],
        history_weight=histories.weight[entry],
        exclude_indptr=_indptr([len(items) for items in seen]),
        exclude_pos=_joined(seen),
        history_time=None if histories.time is None else histories.time[entry],
    )


def _times(requests: Sequence[Request]) -> IntArray | None:
    """When the histories were, end to end; None where no request knows."""
    if len(requests) == 1:
        return requests[0].times
    if all(r.times is None for r in requests):
        return None
    parts = [np.full(len(r.history), MISSING_TIME) if r.times is None else r.times for r in requests]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _ragged(rows: Sequence[PosArray]) -> Ragged | None:
    return Ragged.of(rows) if any(len(row) for row in rows) else None


def _indptr(lengths: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([0, *accumulate(lengths)], np.int64)


def _joined(parts: Sequence[PosArray]) -> PosArray:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else _NO_ITEMS
