from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.errors import ShapeError
from kgrecall.recall.base import QueryBatch, top_k, top_k_of

scores_with_ties = st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 0.5, 2.0]), max_size=40)


@given(scores_with_ties, st.integers(1, 45))
def test_top_k_sorts_by_score_then_position(scores: list[float], k: int) -> None:
    positions, values = top_k(np.array(scores, np.float32), k)
    expected = sorted((i for i, s in enumerate(scores) if s > -np.inf), key=lambda i: (-scores[i], i))[:k]
    assert positions.tolist() == expected
    assert values.tolist() == [scores[i] for i in expected]
    assert positions.dtype == np.int32


@given(st.permutations(range(12)), st.integers(1, 14))
def test_top_k_of_does_not_depend_on_the_order_of_its_input(order: list[int], k: int) -> None:
    scores = np.array([3, 1, 2, 2, 2, 0, 5, 5, 1, 2, 3, 4], np.float32)
    positions, values = top_k_of(np.array(order, np.int32), scores[order], k)
    assert positions.tolist() == [6, 7, 11, 0, 10, 2, 3, 4, 9, 1, 8, 5][:k]
    np.testing.assert_array_equal(values, scores[positions])


FIELDS = {
    "user_pos": np.array([4, 5]),
    "history_indptr": np.array([0, 2, 3]),
    "history_pos": np.array([1, 2, 3], np.int32),
    "history_weight": np.ones(3, np.float32),
    "exclude_indptr": np.array([0, 1, 1]),
    "exclude_pos": np.array([7], np.int32),
}


@pytest.mark.parametrize(
    ("name", "value", "expected", "got"),
    [
        ("history_weight", np.ones(3), "float32", "float64"),
        ("history_pos", np.array([1, 2, 3]), "int32", "int64"),
        ("user_pos", np.array([4.0, 5.0]), "int64", "float64"),
        ("exclude_indptr", np.array([0, 1, 1], np.int32), "int64", "int32"),
        ("history_indptr", np.array([0, 2]), "3 bounds", "2 bounds"),
        ("history_indptr", np.array([0, 2, 4]), "3 bounds that end at the number of positions", r"to \[4\], 3 positions"),
        ("history_weight", np.ones(2, np.float32), "as many weights", "2 weights"),
        ("exclude_pos", np.array([7, 8], np.int32), "end at the number", "2 positions"),
    ],
)
def test_a_batch_of_arrays_that_do_not_fit_is_refused(name: str, value: np.ndarray, expected: str, got: str) -> None:
    assert len(QueryBatch(9, **FIELDS)) == 2
    with pytest.raises(ShapeError, match=f"{expected}.*got.*{got}"):
        QueryBatch(9, **{**FIELDS, name: value})


def test_rows_of_a_batch_keep_their_histories() -> None:
    batch = QueryBatch(
        num_items=9,
        user_pos=np.array([4, 5, 6]),
        history_indptr=np.array([0, 2, 2, 5]),
        history_pos=np.array([1, 2, 3, 4, 5], np.int32),
        history_weight=np.ones(5, np.float32),
        exclude_indptr=np.array([0, 1, 3, 3]),
        exclude_pos=np.array([7, 8, 0], np.int32),
        text=np.arange(6, dtype=np.float32).reshape(3, 2),
    )
    part = batch.rows(1, 3)
    assert len(part) == 2
    assert part.user_pos.tolist() == [5, 6]
    assert part.history(0)[0].tolist() == []
    assert part.history(1)[0].tolist() == [3, 4, 5]
    assert part.excluded(0).tolist() == [8, 0]
    assert part.text is not None
    assert part.text.tolist() == [[2, 3], [4, 5]]
