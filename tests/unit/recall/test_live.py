"""A channel over a search that knows nothing of masks and excluded items."""

from __future__ import annotations

import numpy as np

from kgrecall.recall.base import QueryBatch
from kgrecall.recall.channels.live import LiveChannel
from kgrecall.types import BoolArray, FloatArray, PosArray

N = 50


def batch(excluded: list[int], mask: BoolArray | None = None) -> QueryBatch:
    nothing = np.zeros(2, np.int64)
    return QueryBatch(
        num_items=N,
        user_pos=np.array([-1]),
        history_indptr=nothing,
        history_pos=np.empty(0, np.int32),
        history_weight=np.empty(0, np.float32),
        exclude_indptr=np.array([0, len(excluded)]),
        exclude_pos=np.array(excluded, np.int32),
        mask=mask,
    )


class Best:
    """The items 0, 1, 2 ... with falling scores, as many as are asked for, ``size`` in all."""

    def __init__(self, size: int = N) -> None:
        self.size, self.asked = size, []  # type: ignore[var-annotated]

    def __call__(self, queries: QueryBatch, i: int, k: int) -> tuple[PosArray, FloatArray]:
        self.asked.append(k)
        found = np.arange(min(k, self.size), dtype=np.int32)
        return found, (100.0 - found).astype(np.float32)


def test_what_a_search_finds_is_returned() -> None:
    hits = LiveChannel(Best(), name="live").recall(batch([]), 3)
    assert hits.positions.tolist() == [[0, 1, 2]]
    assert hits.scores.tolist() == [[100, 99, 98]]


def test_excluded_and_masked_items_are_replaced_by_the_next_best() -> None:
    best = Best()
    mask = np.arange(N) % 5 == 0
    assert LiveChannel(best, name="live").recall(batch([0, 1, 10], mask), 3).positions.tolist() == [[5, 15, 20]]
    assert best.asked == [3, 12, 48]


def test_a_search_that_has_no_more_is_not_asked_again() -> None:
    best = Best(size=4)
    assert LiveChannel(best, name="live").recall(batch([0]), 6).positions.tolist() == [[1, 2, 3, -1, -1, -1]]
    assert best.asked == [6]
