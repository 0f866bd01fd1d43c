from __future__ import annotations

import numpy as np
import pytest

from kgrecall.errors import ShapeError
from kgrecall.recall.histories import Histories
from kgrecall.types import Interactions


def events() -> Interactions:
    user = np.array([1, 0, 1, 1, 0])
    item = np.array([2, 1, 0, 2, 3])
    time = np.array([10, 50, 20, 30, 40])
    return Interactions(user, item, np.array([1, 2, 3, 4, 5], np.float32), time, 3, 5)


def test_items_stand_once_in_the_order_of_their_latest_event() -> None:
    histories = Histories.of(events())
    assert histories.row(0)[0].tolist() == [3, 1]
    assert histories.row(1)[0].tolist() == [0, 2]
    assert histories.row(2)[0].tolist() == []
    assert histories.num_users == 3
    assert [times.tolist() for user in range(3) if (times := histories.times(user)) is not None] == [[40, 50], [20, 30], []]


@pytest.mark.parametrize(("values", "expected"), [("binary", [1, 1]), ("raw", [3, 5]), ("log", [np.log1p(3), np.log1p(5)])])
def test_weights_of_repeated_events_add_up(values: str, expected: list[float]) -> None:
    weights = Histories.of(events(), values).row(1)[1]  # type: ignore[arg-type]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_without_times_the_order_of_the_events_counts() -> None:
    plain = events()
    untimed = Interactions(plain.user_pos, plain.item_pos, plain.weight, None, 3, 5)
    assert Histories.of(untimed).row(1)[0].tolist() == [0, 2]
    assert Histories.of(untimed).row(0)[0].tolist() == [1, 3]
    assert Histories.of(untimed).times(0) is None


def test_popularity_counts_users() -> None:
    assert Histories.of(events()).popularity().tolist() == [1, 1, 1, 1, 0]


def test_no_events() -> None:
    empty = Interactions(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), None, 2, 3)
    assert Histories.of(empty).row(1)[0].tolist() == []


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="Histories"):
        Histories(np.array([0, 3]), np.zeros(2, np.int32), np.ones(2, np.float32), 4)
