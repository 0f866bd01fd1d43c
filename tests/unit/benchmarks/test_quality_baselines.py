"""Each baseline against its dense formula, and on taste that is plain to see."""

import numpy as np
import pytest

from kgrecall.errors import BudgetExceeded, NotBuilt
from kgrecall.types import Interactions
from tests.benchmarks.quality import factors, neighbourhood, peers
from tests.benchmarks.quality.neighbourhood import largest_of_rows
from tests.benchmarks.quality.systems import Problem, fitted_by_score

NUM_USERS, NUM_ITEMS = 30, 20


def problem_of(dense, time=None):
    users, items = np.nonzero(dense)
    events = Interactions(users, items, np.ones(len(users), np.float32), time, *dense.shape)
    return Problem(events, events, None)


@pytest.fixture(scope="module")
def dense():
    rng = np.random.default_rng(4)
    return (rng.random((NUM_USERS, NUM_ITEMS)) < rng.uniform(0.1, 0.6, NUM_ITEMS)).astype(np.float64)


def inverse_power(degrees, power):
    return np.where(degrees > 0, np.maximum(degrees, 1.0) ** -power, 0.0)


def without_diagonal(matrix):
    return matrix * (1 - np.eye(len(matrix)))


def cosine(x, params):
    norm = np.sqrt(x.sum(0))
    return x @ without_diagonal(x.T @ x / (np.outer(norm, norm) + params["shrink"]))


def rp3beta(x, params):
    to_items = (x * inverse_power(x.sum(1), 1.0)[:, None]) ** params["alpha"]
    to_users = (x.T * inverse_power(x.sum(0), 1.0)[:, None]) ** params["alpha"]
    return x @ without_diagonal((to_users @ to_items) * inverse_power(x.sum(0), params["beta"]))


def user_knn(x, params):
    degrees = x.sum(0)
    alike = without_diagonal((x * inverse_power(degrees, params["a"])) @ (x * inverse_power(x.sum(1), params["b"])[:, None]).T)
    return alike @ (x * inverse_power(degrees, params["c"]))


def ease(x, params):
    inverse = np.linalg.inv(x.T @ x + params["l2"] * np.eye(NUM_ITEMS))
    return x @ without_diagonal(-inverse / np.diag(inverse))


@pytest.mark.parametrize(
    ("system", "formula", "params"),
    [
        (neighbourhood.COSINE_ITEM_KNN, cosine, {"k": NUM_ITEMS, "shrink": 3.0}),
        (neighbourhood.RP3BETA, rp3beta, {"k": NUM_ITEMS, "alpha": 0.7, "beta": 0.4}),
        (neighbourhood.USER_KNN, user_knn, {"k": NUM_USERS, "a": 0.6, "b": 0.5, "c": 0.2}),
        (factors.EASE, ease, {"l2": 5.0}),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_lists_follow_the_dense_formula(system, formula, params, dense):
    scores = np.where(dense > 0, -np.inf, formula(dense, params))
    ranked = system.fit(problem_of(dense), params, 0).rank(np.arange(NUM_USERS), 5)
    shown = np.where(ranked >= 0, np.take_along_axis(scores, np.maximum(ranked, 0).astype(int), 1), -np.inf)
    np.testing.assert_allclose(shown, -np.sort(-scores, axis=1)[:, :5], rtol=1e-4, atol=1e-5)


def test_the_degree_normalised_item_knn_contains_the_cosine(dense):
    cosine_lists = neighbourhood.COSINE_ITEM_KNN.fit(problem_of(dense), {"k": 20, "shrink": 0.0}, 0).rank(np.arange(30), 5)
    degree = neighbourhood.DEGREE_ITEM_KNN.fit(problem_of(dense), {"k": 20, "a": 0.0, "b": 0.5, "c": 0.5}, 0)
    assert (degree.rank(np.arange(30), 5) == cosine_lists).mean() > 0.95  # sums in another order may swap equal scores


def test_only_the_nearest_neighbours_vote():
    rows = largest_of_rows(np.array([[3, 0, 1, 2], [-1, 0, 0, 5]], np.float32), 2)
    assert rows.toarray().tolist() == [[3, 0, 0, 2], [0, 0, 0, 5]]


def test_equal_scores_and_empty_histories_are_ordered_by_popularity():
    dense = np.array([[0, 0, 0, 0], [1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]])
    fitted = fitted_by_score(problem_of(dense), lambda users: np.zeros((len(users), 4), np.float32), 0)
    assert fitted.rank(np.array([0, 3]), 4).tolist() == [[3, 2, 0, 1], [2, 0, 1, -1]]


def test_popularity_may_forget():
    dense = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]])
    day = 86_400_000
    problem = problem_of(dense, time=np.array([0, 0, 100 * day]))
    assert neighbourhood.POPULARITY.fit(problem, {}, 0).rank(np.array([3]), 2).tolist() == [[0, 1]]
    recent = neighbourhood.RECENT_POPULARITY.fit(problem, {"half_life_days": 10}, 0)
    assert recent.rank(np.array([3]), 2).tolist() == [[1, 0]]
    with pytest.raises(NotBuilt, match="times"):
        neighbourhood.RECENT_POPULARITY.fit(problem_of(dense), {"half_life_days": 10}, 0)


def test_ease_refuses_a_catalogue_that_memory_cannot_hold():
    events = Interactions(np.array([0]), np.array([0]), np.ones(1, np.float32), None, 1, 200_000)
    with pytest.raises(BudgetExceeded, match=r"160\.0 GB for 200,000 items"):
        factors.EASE.fit(Problem(events, events, None), {"l2": 1.0}, 0)


def test_ease_is_the_same_in_blocks(dense, monkeypatch):
    whole = factors.EASE.fit(problem_of(dense), {"l2": 5.0}, 0).rank(np.arange(NUM_USERS), 10)
    monkeypatch.setattr(factors, "BLOCK", 7)
    assert factors.EASE.fit(problem_of(dense), {"l2": 5.0}, 0).rank(np.arange(NUM_USERS), 10).tolist() == whole.tolist()


@pytest.fixture
def peer(tmp_path, monkeypatch):
    import sys
    from pathlib import Path

    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    monkeypatch.setattr(peers, "environment", lambda name: Path(sys.executable))

    def write(text):
        (tmp_path / "toy.py").write_text(text)

    return write


def test_a_peer_answers_through_its_folder(peer, tmp_path):
    peer("import sys, pathlib; pathlib.Path(sys.argv[1], 'answer').write_text('42')")
    peers.run_peer("toy", tmp_path)
    assert (tmp_path / "answer").read_text() == "42"


def test_a_peer_that_fails_is_named_with_what_it_said(peer, tmp_path):
    peer("raise ValueError('no such matrix')")
    with pytest.raises(NotBuilt, match=r"peer toy.*no such matrix"):
        peers.run_peer("toy", tmp_path)
