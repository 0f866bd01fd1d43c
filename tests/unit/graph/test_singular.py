"""Leading singular vectors against a dense decomposition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from kgrecall.graph.singular import item_factors, normalised


@pytest.fixture(params=[(60, 25), (25, 60), (20, 20)], ids=["more users", "more items", "as many"])
def history(request: pytest.FixtureRequest) -> sparse.csr_array:
    drawn = np.random.default_rng(1).random(request.param) < 0.3
    return sparse.csr_array(drawn.astype(np.float32))


def test_they_are_the_leading_ones(history: sparse.csr_array) -> None:
    _, values, vectors = np.linalg.svd(normalised(history).toarray())
    found = item_factors(history, 8, seed=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), values[:8], rtol=1e-4)
    np.testing.assert_allclose(np.abs((found * vectors[:8].T).sum(axis=0)), values[:8], rtol=1e-4)


def test_columns_beyond_the_rank_are_zero(history: sparse.csr_array) -> None:
    found, matrix = item_factors(history, 70, seed=0), normalised(history).toarray()
    assert not found[:, min(history.shape) :].any()
    np.testing.assert_allclose(found @ found.T, matrix.T @ matrix, atol=1e-5)


def test_signs_are_fixed(history: sparse.csr_array) -> None:
    found = item_factors(history, 6, seed=0)
    assert (found[np.abs(found).argmax(axis=0), np.arange(6)] > 0).all()
    np.testing.assert_array_equal(found, item_factors(history, 6, seed=0))


def test_what_nobody_chose_lies_at_zero() -> None:
    history = sparse.csr_array(np.array([[1, 1, 0], [1, 0, 0]], np.float32))
    assert not item_factors(history, 2, seed=0)[2].any()
