from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from kgrecall.graph.knowledge import Incidence
from kgrecall.kernels import tier
from kgrecall.recall.channels import slim
from kgrecall.recall.channels.slim import SlimConfig, SlimGram, build_slim
from kgrecall.threads import SWITCH
from kgrecall.types import Interactions

USERS, ITEMS = 60, 15


def random_events(seed: int = 0, share: float = 0.3) -> tuple[Interactions, np.ndarray]:
    matrix = np.random.default_rng(seed).random((USERS, ITEMS)) < share
    matrix[:, -1] = False  # an item that nobody chose
    users, items = np.nonzero(matrix)
    return Interactions(users, items, np.ones(len(users), np.float32), None, USERS, ITEMS), matrix.astype(np.float64)


def in_dense(gram: np.ndarray, config: SlimConfig, damped: np.ndarray) -> np.ndarray:
    """The formula of the configuration, item by item; ``damped`` are the row sums that hold back popular neighbours."""
    expected, degree = np.zeros_like(gram), gram.diagonal()
    penalty = config.l2 * degree[degree > 0].mean() + config.denoise * degree
    for item in range(len(gram)):
        rank = np.where(damped > 0, gram[item] / np.maximum(damped, 1e-9) ** 0.3, 0)
        rank[item] = 0
        near = np.argsort(-rank, kind="stable")[: config.k]
        near = near[rank[near] > 0]
        if len(near):
            expected[near, item] = np.linalg.solve(gram[np.ix_(near, near)] + np.diag(penalty[near]), gram[near, item])
    return expected


@pytest.mark.parametrize("config", [SlimConfig(k=4, l2=0.5, denoise=0.5), SlimConfig(k=50, l2=2, denoise=0), SlimConfig(k=1)])
def test_each_item_is_a_ridge_regression_on_its_neighbours(config: SlimConfig) -> None:
    events, x = random_events()
    weights = build_slim(events, config).toarray()
    np.testing.assert_allclose(weights, in_dense(x.T @ x, config, x.sum(axis=0)), atol=2e-6)
    assert not weights.diagonal().any()
    assert np.count_nonzero(weights, axis=0).max() == min(config.k, ITEMS - 2)


def test_entities_vote_like_further_users_and_give_new_items_neighbours() -> None:
    events, x = random_events(1)
    genres = (np.random.default_rng(2).random((ITEMS, 5)) < 0.5).astype(np.float64)
    genres[-1] = [1, 0, 1, 0, 0]
    assert genres.sum(axis=0).min() >= 2
    incidence = Incidence("HAS_GENRE", "Genre", sp.csr_array(genres.astype(np.float32)), reverse=False)
    config = SlimConfig(k=6, knowledge=3.0, weights={"HAS_GENRE": 0.5})
    weights = build_slim(events, config, [incidence]).toarray()
    voters = np.concatenate([x.T, genres * np.sqrt(3.0 * 0.5) * genres.sum(axis=0) ** -0.25], axis=1)
    np.testing.assert_allclose(weights, in_dense(voters @ voters.T, config, voters.sum(axis=1)), atol=2e-6)
    assert weights[:, -1].any()
    assert not build_slim(events, SlimConfig(k=6), [incidence]).toarray()[:, -1].any()


def test_compiled_loops_and_numpy_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="the extra 'fast' is not installed")
    monkeypatch.setattr(slim, "_SMALL", 0)
    events, _ = random_events(3)
    tier.use(False)
    slow = build_slim(events, SlimConfig(k=5))
    assert tier.use(True)
    fast = build_slim(events, SlimConfig(k=5))
    assert (slow != fast).nnz == 0


def test_the_bits_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slim, "_AT_ONCE", 2)
    events, _ = random_events(4)
    found = []
    for number in ("1", "3"):
        monkeypatch.setenv(SWITCH, number)
        found.append(build_slim(events, SlimConfig(k=5)).toarray())
    np.testing.assert_array_equal(*found)
    assert found[0].any()


@pytest.mark.parametrize("row", [1000, 5])
def test_large_catalogues_are_read_from_a_sparse_matrix_with_the_same_result(monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    monkeypatch.setattr(slim, "_ROW", row)
    events, _ = random_events(6)
    small = build_slim(events, SlimConfig(k=5))
    monkeypatch.setattr(slim, "_SMALL", 0)
    np.testing.assert_array_equal(build_slim(events, SlimConfig(k=5)).toarray(), small.toarray())


def test_rows_that_are_cut_short_leave_a_matrix_that_can_be_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slim, "_ROW", 3)
    events, _ = random_events(4, share=0.8)
    weights = build_slim(events, SlimConfig(k=12, l2=0.01, denoise=0))
    assert np.isfinite(weights.data).all()
    assert weights.nnz


def test_an_indefinite_matrix_is_solved_with_more_penalty() -> None:
    normal = np.array([[0, 5], [5, 0]], np.float32)
    weights = slim._ridge(normal, np.array([1, 1], np.float32), np.ones(2, np.float32), np.ones(2, np.float32))
    np.testing.assert_allclose(weights, np.full(2, 1 / (1 + 8 + 5)), rtol=1e-5)


def test_a_gram_matrix_serves_every_penalty() -> None:
    events, _ = random_events(5)
    gram = SlimGram.of(events, (), SlimConfig(k=5))
    for l2 in (0.5, 4.0):
        config = SlimConfig(k=5, l2=l2)
        assert (gram.solve(config) != build_slim(events, config)).nnz == 0


def test_nothing_to_learn_from_gives_no_weights() -> None:
    nothing = np.zeros(0, np.int64)
    events = Interactions(nothing, nothing, np.zeros(0, np.float32), None, 2, 3)
    weights = build_slim(events)
    assert (weights.shape, weights.nnz) == ((3, 3), 0)
