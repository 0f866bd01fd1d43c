"""Orders by several keys, against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from kgrecall.graph.orders import ends_of_runs, order_by

FAR = np.iinfo(np.int64)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("highest", [(3, 4, 5), (2**20, 2**41, 2**18), (2**30, 2**40, 2**30), (2**62, 5, 2**62)])
def test_the_order_is_that_of_lexsort(seed: int, highest: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    keys = [rng.integers(-limit, limit, 200) // max(1, limit // 7) * max(1, limit // 7) for limit in highest]  # with ties
    for number in (1, 2, 3):
        np.testing.assert_array_equal(order_by(*keys[:number]), np.lexsort(keys[:number][::-1]))


def test_a_key_from_end_to_end_of_its_type_is_no_trouble() -> None:
    times = np.array([FAR.max, FAR.min, 0, FAR.min, FAR.max])
    users = np.array([1, 1, 0, 0, 0], np.int32)
    np.testing.assert_array_equal(order_by(users, times), np.lexsort((times, users)))
    np.testing.assert_array_equal(order_by(times, users), np.lexsort((users, times)))


def test_equal_rows_stay_as_they_stand() -> None:
    np.testing.assert_array_equal(order_by(np.zeros(9, np.int64), np.zeros(9, np.int64)), np.arange(9))


def test_nothing_has_an_order_too() -> None:
    none = np.zeros(0, np.int64)
    assert order_by(none, none).shape == (0,)
    assert ends_of_runs(none).shape == (0,)


def test_runs_end_before_another_value() -> None:
    np.testing.assert_array_equal(ends_of_runs(np.array([4, 4, 2, 4, 4, 4])), [1, 2, 5])
    np.testing.assert_array_equal(ends_of_runs(np.array([7])), [0])
