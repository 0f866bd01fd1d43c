from __future__ import annotations

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.recall.base import QueryBatch
from kgrecall.recall.channels.popularity import (
    MS_PER_DAY,
    PopularityChannel,
    PopularOrder,
    first_without,
    item_popularity,
    item_trend,
)
from kgrecall.types import Interactions


def events(items: list[int], days: list[int] | None, num_items: int = 4) -> Interactions:
    time = None if days is None else np.array(days, np.int64) * MS_PER_DAY
    return Interactions(
        np.zeros(len(items), np.int64), np.array(items, np.int64), np.ones(len(items), np.float32), time, 1, num_items
    )


def batch(excluded: list[int], mask: list[bool] | None = None) -> QueryBatch:
    zero, empty = np.array([0, 0]), np.zeros(0, np.int32)
    return QueryBatch(
        4, np.array([-1]), zero, empty, np.zeros(0, np.float32), np.array([0, len(excluded)]), np.array(excluded, np.int32),
        mask=None if mask is None else np.array(mask),
    )  # fmt: skip


def test_plain_counts() -> None:
    assert item_popularity(events([1, 1, 3], None)).tolist() == [0, 2, 0, 1]


def test_an_event_loses_half_its_worth_per_half_life() -> None:
    popularity = item_popularity(events([0, 1, 1], [10, 5, 0]), half_life_days=5)
    np.testing.assert_allclose(popularity, [1, 0.5 + 0.25, 0, 0])


def test_trend_compares_the_present_with_the_past() -> None:
    trend = item_trend(events([0, 1, 1], [10, 5, 0]), half_life_days=5, exponent=2, smoothing=0.5)
    ratio = (1 + 0.75) / 3  # all items together
    np.testing.assert_allclose(trend[0], ((1 + 0.5 * ratio) / (1 + 0.5) / ratio) ** 2, rtol=1e-6)
    np.testing.assert_allclose(trend[1], ((0.75 + 0.5 * ratio) / (2 + 0.5) / ratio) ** 2, rtol=1e-6)
    assert trend[2:].tolist() == [1, 1]  # nothing is known of them
    assert item_trend(events([], []), half_life_days=5).tolist() == [1, 1, 1, 1]


def test_an_event_without_a_time_is_as_old_as_the_oldest() -> None:
    some = events([0, 1, 2, 2], [10, 5, 0, 0])
    assert some.time is not None
    some.time[3] = MISSING_TIME
    np.testing.assert_allclose(item_popularity(some, half_life_days=5), [1, 0.5, 0.5, 0])
    assert np.isfinite(item_trend(some, half_life_days=5)).all()
    some.time[:] = MISSING_TIME
    assert item_popularity(some, half_life_days=5).tolist() == [1, 1, 2, 0]


@pytest.mark.parametrize(("half_life", "days"), [(0, [1]), (-3, [1]), (5, None)])
def test_decay_needs_times_and_a_positive_half_life(half_life: float, days: list[int] | None) -> None:
    with pytest.raises(ConfigError, match="half_life_days"):
        item_popularity(events([0], days), half_life_days=half_life)


def test_decay_of_no_events() -> None:
    assert item_popularity(events([], []), half_life_days=5).tolist() == [0, 0, 0, 0]


def test_items_nobody_chose_are_no_candidates() -> None:
    hits = PopularityChannel(np.array([1, 0, 5, 1], np.float32)).recall(batch([]), 4)
    assert hits.positions[0].tolist() == [2, 0, 3, -1]


def test_the_order_fills_short_rows_without_repeating() -> None:
    order = PopularOrder(np.array([1, 0, 5, 1], np.float32))
    positions = np.array([[3, -1, -1, -1]], np.int32)
    assert order.fill(positions, batch([])).tolist() == [[3, 2, 0, 1]]
    assert order.fill(positions, batch([2, 1])).tolist() == [[3, 0, -1, -1]]
    assert order.fill(positions, batch([], [False, True, False, True])).tolist() == [[3, 1, -1, -1]]
    assert positions.tolist() == [[3, -1, -1, -1]]


def test_first_without() -> None:
    assert first_without(np.array([4, 2, 7, 1], np.int32), np.array([2, 4], np.int32), 1).tolist() == [7]
    assert first_without(np.array([4, 2], np.int32), np.array([2, 4], np.int32), 3).tolist() == []


def test_one_stray_event_does_not_make_all_others_infinitely_old() -> None:
    rng = np.random.default_rng(0)
    time = np.sort(rng.integers(0, 300, 2_000)) * MS_PER_DAY
    items = rng.integers(0, 50, 2_000)
    known = Interactions(np.zeros(2_000, np.int64), items, np.ones(2_000, np.float32), time, 1, 50)
    strayed = np.append(time, time.max() + 5 * 365 * MS_PER_DAY)
    more = Interactions(np.zeros(2_001, np.int64), np.append(items, 7), np.ones(2_001, np.float32), strayed, 1, 50)
    usual, now = item_popularity(known, half_life_days=7), item_popularity(more, half_life_days=7)
    np.testing.assert_allclose(np.delete(now, 7), np.delete(usual, 7), rtol=1e-6)
    assert now[7] == pytest.approx(usual[7] + 1)
    np.testing.assert_allclose(
        np.delete(item_trend(more, half_life_days=7), 7), np.delete(item_trend(known, half_life_days=7), 7), rtol=0.1
    )


def test_an_item_of_very_old_events_is_still_known() -> None:
    time = np.array([0, 10_000 * MS_PER_DAY])
    both = Interactions(np.zeros(2, np.int64), np.array([0, 1]), np.ones(2, np.float32), time, 1, 3)
    popularity = item_popularity(both, half_life_days=1)
    assert popularity[1] == 1
    assert popularity[1] > popularity[0] > 0 == popularity[2]
