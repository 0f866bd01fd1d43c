"""The coordinate that turns inner product into nearness."""

from __future__ import annotations

import numpy as np
import pytest

from kgrecall.index.lift import Lift


def test_lengths_become_equal_and_inner_products_stay() -> None:
    vectors = np.array([[3, 4], [0, 0], [1, 0], [6, 8]], np.float32)
    lift = Lift(radius=5.0)
    lifted = lift.vectors(vectors)
    np.testing.assert_allclose(lifted[:, 2], [0, 5, np.sqrt(24), 0], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(lifted, axis=1), [5, 5, 5, 10], rtol=1e-6)
    queries = np.array([[1, 2], [-3, 0.5]], np.float32)
    np.testing.assert_array_equal(lift.queries(queries) @ lifted.T, queries @ vectors.T)
    assert lifted.dtype == lift.queries(queries).dtype == np.float32


def test_the_largest_inner_product_becomes_the_nearest_neighbour() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((300, 5)) * rng.uniform(0.1, 3, (300, 1))).astype(np.float32)
    queries = rng.standard_normal((50, 5)).astype(np.float32)
    lift = Lift(float(np.linalg.norm(vectors, axis=1).max()))
    distances = np.linalg.norm(lift.queries(queries)[:, None] - lift.vectors(vectors)[None], axis=2)
    np.testing.assert_array_equal(distances.argmin(axis=1), (queries @ vectors.T).argmax(axis=1))


def test_the_radius_ignores_the_longest_hundredth() -> None:
    vectors = np.diag(np.arange(1, 202, dtype=np.float32))
    assert Lift.fitted(vectors).radius == pytest.approx(199)


@pytest.mark.parametrize("vectors", [np.eye(4, dtype=np.float32), np.zeros((3, 2), np.float32), np.empty((0, 2), np.float32)])
def test_vectors_of_one_length_are_left_as_they_are(vectors: np.ndarray) -> None:
    lift = Lift.fitted(vectors)
    assert lift.num_columns == 0
    assert lift.vectors(vectors) is vectors
    assert lift.queries(vectors) is vectors
