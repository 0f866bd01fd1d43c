"""The start of training against dense linear algebra: singular vectors, ridge regression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from kgrecall.graph.singular import item_factors, normalised
from kgrecall.model.features import FeatureBlocks, FeatureWeights, ItemFeatures
from kgrecall.model.ridge import ridge


def events(seed: int, shape: tuple[int, int] = (40, 25)) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    return sparse.csr_array((rng.random(shape) < 0.3).astype(np.float32))


def features(seed: int, *, graph: bool = True, text: bool = True) -> ItemFeatures:
    rng = np.random.default_rng(seed)
    edges = sparse.csr_array((rng.random((25, 9)) < 0.3) * rng.random((25, 9)).astype(np.float32))
    return ItemFeatures(25, edges if graph else None, rng.standard_normal((25, 4)).astype(np.float32) if text else None)


def dense(f: ItemFeatures) -> np.ndarray:
    parts = [f.graph.toarray() if f.graph is not None else None, f.dense]
    return np.concatenate([p for p in parts if p is not None], axis=1)


def test_factors_span_the_leading_singular_vectors() -> None:
    matrix = events(0)
    found = item_factors(matrix, 6, seed=0, rounds=12)
    _, values, vectors = np.linalg.svd(normalised(matrix).toarray())
    best = vectors[:6].T * values[:6]
    assert found @ found.T == pytest.approx(best @ best.T, abs=1e-4)


def test_equal_seeds_give_equal_bits() -> None:
    assert np.array_equal(item_factors(events(1), 5, seed=3), item_factors(events(1), 5, seed=3))


def test_columns_beyond_the_rank_are_zero() -> None:
    found = item_factors(events(2, (3, 25)), 8, seed=0)
    assert found.shape == (25, 8)
    assert not found[:, 3:].any()
    assert found[:, :3].any(axis=0).all()


def test_rows_and_columns_without_events_stay_zero() -> None:
    matrix = sparse.csr_array(np.array([[4.0, 0, 0], [0, 0, 0], [4.0, 9.0, 0]], np.float32))
    assert normalised(matrix).toarray() == pytest.approx(
        np.array([[4 / np.sqrt(4 * 8), 0, 0], [0, 0, 0], [4 / np.sqrt(13 * 8), 9 / np.sqrt(13 * 9), 0]])
    )


@pytest.mark.parametrize(("graph", "text"), [(True, True), (True, False), (False, True)])
def test_ridge_solves_the_normal_equations(graph: bool, text: bool) -> None:
    f, rng = features(4, graph=graph, text=text), np.random.default_rng(5)
    target = rng.standard_normal((25, 3)).astype(np.float32)
    confidence = rng.random(25).astype(np.float32) * (np.arange(25) > 4)
    a = dense(f)
    expected = np.linalg.solve(a.T @ (confidence[:, None] * a) + 0.2 * np.eye(a.shape[1]), a.T @ (confidence[:, None] * target))
    assert ridge(f, target, confidence, 0.2, rounds=60) == pytest.approx(expected, abs=1e-4)


def test_ridge_without_features_is_empty() -> None:
    assert ridge(features(0, graph=False, text=False), np.ones((25, 3), np.float32), np.ones(25, np.float32), 1.0).shape == (
        0,
        3,
    )


@given(st.integers(0, 2**32 - 1))
def test_adjoint_belongs_to_apply(seed: int) -> None:
    f, rng = features(seed), np.random.default_rng(seed)
    x, y = rng.standard_normal((13, 2)).astype(np.float32), rng.standard_normal((25, 2)).astype(np.float32)
    assert (f.apply(x) * y).sum() == pytest.approx((x * f.adjoint(y)).sum(), abs=1e-3)
    assert f.apply(x) == pytest.approx(dense(f) @ x, abs=1e-4)


def test_present_items_have_a_neighbour_or_a_text() -> None:
    graph = sparse.csr_array(np.array([[1.0, 0], [0, 0], [0, 0]], np.float32))
    text = np.array([[0.0], [2.0], [0.0]], np.float32)
    assert ItemFeatures(3, graph, text).present().tolist() == [True, True, False]
    assert ItemFeatures(3, None, None).present().tolist() == [False] * 3


def test_blocks_are_weighed_and_seen_one_by_one() -> None:
    edges = {name: features(seed).graph for name, seed in (("A", 1), ("B", 2))}
    told = features(1).dense
    assert told is not None
    dense = {"text": told[:, :3], "cover vectors": told[:, 3:]}
    parts = FeatureBlocks.of(25, {name: matrix for name, matrix in edges.items() if matrix is not None}, dense)
    weights = FeatureWeights({"A": 2.0, "B": 0.5}, {"A": 0.5, "B": 0.2}, {"text": 3.0, "cover vectors": 0.7}, penalty=1.0)
    whole = parts.weighed(weights)
    a, b = (matrix.toarray() for matrix in edges.values() if matrix is not None)
    by_hand = [
        weight * m / np.sqrt(np.maximum(m.sum(axis=1, keepdims=True), 1e-9)) / np.maximum(m.sum(axis=0), 1) ** power
        for m, weight, power in ((a, 2.0, 0.5), (b, 0.5, 0.2))
    ]
    assert whole.graph is not None
    assert whole.graph.toarray() == pytest.approx(sum(by_hand), abs=1e-5)
    x = np.random.default_rng(3).standard_normal((13, 2)).astype(np.float32)
    of_a, _, of_b, _, of_text, of_cover = parts.images(x, weights)
    assert whole.apply(x) == pytest.approx(of_a + of_b + of_text + of_cover, abs=1e-4)
    shares, image = parts.shares(x, weights), whole.apply(x)
    by_part = [float((part * image).sum()) / float((image**2).sum()) for part in (of_a, of_b, of_text, of_cover)]
    assert [shares[name] for name in ("A", "B", *dense)] == pytest.approx(by_part, abs=1e-4)
    assert list(shares) == sorted(shares, key=lambda name: -shares[name])
    some = np.array([4, 0])
    assert parts.take(some).weighed(weights).apply(x) == pytest.approx(whole.apply(x)[some], abs=1e-5)
