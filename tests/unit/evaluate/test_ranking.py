"""Ranking by score against a naive sort; stored lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kgrecall.errors import NotBuilt, ShapeError
from kgrecall.evaluate.ranking import rank_by_score, store_lists, top_positions
from kgrecall.types import Interactions

SCORES = arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])
)


@given(SCORES, st.integers(1, 12))
def test_top_positions_is_a_stable_descending_sort_without_minus_infinity(scores, k):
    expected = np.full((len(scores), k), -1)
    for i, row in enumerate(scores):
        order = [j for j in sorted(range(len(row)), key=lambda j: (-row[j], j)) if row[j] > -np.inf][:k]
        expected[i, : len(order)] = order
    np.testing.assert_array_equal(top_positions(scores, k), expected)


def test_items_of_the_history_are_never_ranked_and_the_scores_stay_untouched():
    scores = np.array([[3, 2, 1], [3, 2, 1]], np.float32)
    one = np.ones(2, np.float32)
    history = Interactions(np.array([0, 0]), np.array([0, 1]), one, None, 2, 3)
    rank = rank_by_score(lambda users: scores, history=history)
    assert rank(np.array([0, 1]), 2).tolist() == [[2, -1], [0, 1]]
    assert scores[0].tolist() == [3, 2, 1]


LISTS = np.arange(40, dtype=np.int32).reshape(8, 5)


@pytest.fixture
def stored():
    return store_lists(lambda users, k: LISTS[users, :k], np.array([6, 1, 3, 1]), 4, block=2)


def test_stored_lists_answer_for_their_users_in_any_order(stored):
    np.testing.assert_array_equal(stored(np.array([3, 6, 3]), 2), LISTS[[3, 6, 3], :2])


@pytest.mark.parametrize(("users", "k"), [([2], 2), ([7], 2), ([1], 5)])
def test_stored_lists_refuse_other_users_and_longer_lists(stored, users, k):
    with pytest.raises(NotBuilt, match="Store"):
        stored(np.array(users), k)


def test_no_users_give_no_lists():
    assert store_lists(lambda users, k: LISTS[users, :k], np.array([], np.int64), 4).positions.shape == (0, 4)


@pytest.mark.parametrize("scores", [np.full((2, 5), np.nan, np.float32), np.zeros((1, 5), np.float32), np.zeros(5, np.float32)])
def test_scores_that_are_no_numbers_or_too_few_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="scores"):
        rank_by_score(lambda _: scores)(np.array([0, 1]), 3)
