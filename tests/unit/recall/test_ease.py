from __future__ import annotations

import numpy as np
import pytest

from kgrecall.errors import BudgetExceeded
from kgrecall.recall.channels.ease import EaseConfig, build_ease
from kgrecall.types import Interactions


def random_events(seed: int = 0) -> tuple[Interactions, np.ndarray]:
    matrix = np.random.default_rng(seed).random((40, 12)) < 0.3
    users, items = np.nonzero(matrix)
    return Interactions(users, items, np.ones(len(users), np.float32), None, 40, 12), matrix.astype(np.float64)


def test_each_column_is_a_ridge_regression_on_the_other_items() -> None:
    events, x = random_events()
    weights = build_ease(events, EaseConfig(l2=3)).toarray()
    for item in range(12):
        others = np.delete(np.arange(12), item)
        a = x[:, others]
        ridge = np.linalg.solve(a.T @ a + 3 * np.eye(11), a.T @ x[:, item])
        np.testing.assert_allclose(weights[others, item], ridge, atol=1e-5)
    assert not weights.diagonal().any()


def test_the_largest_magnitudes_of_each_row_stay() -> None:
    events, _ = random_events(1)
    whole, cut = (build_ease(events, EaseConfig(l2=3, k=k)).toarray() for k in (12, 4))
    for full, kept in zip(whole, cut, strict=True):
        order = np.argsort(-np.abs(full), kind="stable")
        np.testing.assert_array_equal(kept[order[:4]], full[order[:4]])
        assert not kept[order[4:]].any()


def test_a_catalogue_beyond_the_memory_limit_is_refused() -> None:
    nothing = np.zeros(0, np.int64)
    events = Interactions(nothing, nothing, np.zeros(0, np.float32), None, 1, 100_000)
    with pytest.raises(BudgetExceeded, match=r"100000 items, which take 60.0 GB"):
        build_ease(events)
