"""The same question with less in it: what a channel would say to a part of the history, or without the text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kgrecall.recall.base import Channel, QueryBatch, Ragged
from kgrecall.types import BoolArray, FloatArray, PosArray


def repeated(query: QueryBatch, times: int) -> QueryBatch:
    """A batch of one as a batch of ``times`` equal queries."""
    n, m = len(query.history_pos), len(query.exclude_pos)
    return replace(
        query,
        user_pos=np.repeat(query.user_pos, times),
        history_indptr=np.arange(times + 1, dtype=np.int64) * n,
        history_pos=np.tile(query.history_pos, times),
        history_weight=np.tile(query.history_weight, times),
        history_time=None if query.history_time is None else np.tile(query.history_time, times),
        exclude_indptr=np.arange(times + 1, dtype=np.int64) * m,
        exclude_pos=np.tile(query.exclude_pos, times),
        text=None if query.text is None else np.repeat(query.text, times, axis=0),
        words=None if query.words is None else query.words * times,
        alike=None if query.alike is None else np.repeat(query.alike, times),
        friends=_repeated(query.friends, times),
        traits=_repeated(query.traits, times),
        moment=_repeated(query.moment, times),
    )


def _repeated(ragged: Ragged | None, times: int) -> Ragged | None:
    return None if ragged is None else Ragged.of([ragged.row(0)] * times)


def without_items(query: QueryBatch, left_out: list[PosArray]) -> QueryBatch:
    """A batch of one asked again without some history items, once per entry. What was seen stays seen.

    A stored user becomes a visitor with the history that is left: a vector trained on the whole history still holds what is
    to be left out.
    """
    kept = [~np.isin(query.history_pos, items) for items in left_out]
    every = repeated(query, len(left_out))
    keep = np.concatenate(kept) if kept else np.zeros(0, np.bool_)
    return replace(
        every,
        user_pos=np.full(len(left_out), -1, np.int64),
        history_indptr=np.cumsum([0, *(int(k.sum()) for k in kept)], dtype=np.int64),
        history_pos=every.history_pos[keep],
        history_weight=every.history_weight[keep],
        history_time=None if every.history_time is None else every.history_time[keep],
    )


def scores_of_parts(
    channel: Channel, query: QueryBatch, item_pos: int, parts: BoolArray, *, with_text: BoolArray, as_visitor: bool
) -> FloatArray:
    """What a channel scores one item when only parts of the history count: float32 (s,), 0 where it does not recall the item.

    What does not count keeps its place with weight 0, so that the age of the others stays what it was.

    Args:
        query: a batch of one.
        parts: bool (s, n), the history items that count.
        with_text: bool (s,), whether the text counts.
        as_visitor: leave out what is known of a stored user but for the history.
    """
    asked = repeated(query, len(parts))
    only = np.zeros(query.num_items, np.bool_)
    only[item_pos] = True
    seen = np.setdiff1d(query.history_pos, [item_pos]).astype(np.int32)
    asked = replace(
        asked,
        user_pos=np.full(len(parts), -1, np.int64) if as_visitor else asked.user_pos,
        history_weight=asked.history_weight * parts.ravel(),
        exclude_indptr=np.arange(len(parts) + 1, dtype=np.int64) * len(seen),
        exclude_pos=np.tile(seen, len(parts)),
        mask=only,
        text=None if asked.text is None else asked.text * with_text[:, None],
        words=None if asked.words is None else tuple(t * bool(w) for t, w in zip(asked.words, with_text, strict=True)),
    )
    hits = channel.recall(asked, 1)
    return np.where(hits.positions[:, 0] == item_pos, hits.scores[:, 0], 0).astype(np.float32)
