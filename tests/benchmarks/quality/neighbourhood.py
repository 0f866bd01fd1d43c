"""Baselines that count: popularity, item-kNN, RP3beta, user-kNN. Plain scipy, but for the product's own item-kNN."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from kgrecall.errors import NotBuilt, Shown
from kgrecall.recall.channels.item_knn import ItemKnnConfig, build_item_knn
from kgrecall.recall.channels.popularity import item_popularity
from kgrecall.types import FloatArray, IntArray, Interactions
from tests.benchmarks.quality.systems import Fitted, Params, Problem, System, fitted_by_score, popularity

Matrix = sparse.csr_array
BLOCK = 512
NEIGHBOURS = (10, 1000)


def matrix_of(interactions: Interactions) -> Matrix:
    """Users x items, 1 where the user has the item, float32."""
    shape = (interactions.num_users, interactions.num_items)
    ones = np.ones(len(interactions), np.float32)
    matrix = sparse.csr_array((ones, (interactions.user_pos, interactions.item_pos)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def scaled(matrix: Matrix, row_power: float, column_power: float) -> Matrix:
    """``D_row^-row_power M D_column^-column_power`` with the numbers of entries as degrees; powers of 0 stay 0."""
    rows = _inverse_power(matrix.count_nonzero(axis=1), row_power)
    columns = _inverse_power(matrix.count_nonzero(axis=0), column_power)
    return sparse.csr_array(sparse.diags_array(rows) @ matrix @ sparse.diags_array(columns)).astype(np.float32)


def _inverse_power(degrees: IntArray, power: float) -> FloatArray:
    return np.where(degrees > 0, np.maximum(degrees, 1.0) ** -power, 0.0).astype(np.float32)


def largest_of_rows(dense: FloatArray, k: int) -> Matrix:
    """Keep the k largest positive entries of each row."""
    if k < dense.shape[1]:
        chosen = np.argpartition(-dense, k - 1, axis=1)[:, :k]
    else:
        chosen = np.tile(np.arange(dense.shape[1]), (len(dense), 1))
    values = np.take_along_axis(dense, chosen, axis=1)
    rows, columns = np.nonzero(values > 0)
    return sparse.csr_array((values[rows, columns], (rows, chosen[rows, columns])), shape=dense.shape)


def product_of_top_rows(left: Matrix, right: Matrix, k: int, adjust: Any = None) -> Matrix:
    """The k largest entries of each row of ``left @ right`` without its diagonal, block by block; left (n, m), right (m, n)."""
    blocks = []
    for start in range(0, left.shape[0], BLOCK):
        dense = (left[start : start + BLOCK] @ right).toarray()
        if adjust is not None:
            dense = adjust(dense, start)
        dense[np.arange(len(dense)), np.arange(start, start + len(dense))] = 0
        blocks.append(largest_of_rows(dense, k))
    return sparse.csr_array(sparse.vstack(blocks, format="csr"))


def fit_popularity(problem: Problem, params: Params, seed: int) -> Fitted:
    counts = popularity(problem.train)
    return fitted_by_score(problem, lambda users: np.tile(counts, (len(users), 1)), counts.nbytes)


def fit_recent_popularity(problem: Problem, params: Params, seed: int) -> Fitted:
    """Events count by age: half as much after every ``half_life_days``.

    Raises:
        NotBuilt: the events have no times.
    """
    if problem.train.time is None:
        remedy = "Leave recent popularity out here."
        raise NotBuilt("recent popularity", expected="events with times", got=Shown("events without"), remedy=remedy)
    counts = item_popularity(problem.train, half_life_days=params["half_life_days"])
    return fitted_by_score(problem, lambda users: np.tile(counts, (len(users), 1)), counts.nbytes)


def _by_item_similarity(problem: Problem, matrix: Matrix, similarity: Matrix) -> Fitted:
    num_bytes = similarity.data.nbytes + similarity.indices.nbytes + similarity.indptr.nbytes
    return fitted_by_score(problem, lambda users: (matrix[users] @ similarity).toarray(), num_bytes)


def fit_cosine_item_knn(problem: Problem, params: Params, seed: int) -> Fitted:
    """``s(i, j) = |U_i & U_j| / (sqrt(|U_i| |U_j|) + shrink)``. Sarwar et al., WWW 2001."""
    matrix = matrix_of(problem.train)
    norm = np.sqrt(popularity(problem.train))

    def cosine(dense: FloatArray, start: int) -> FloatArray:
        product = norm[start : start + len(dense), None] * norm[None, :] + np.float32(params["shrink"])
        return np.divide(dense, product, out=np.zeros_like(dense), where=product > 0)

    by_item = sparse.csr_array(matrix.T)
    return _by_item_similarity(problem, matrix, product_of_top_rows(by_item, matrix, params["k"], cosine))


def fit_degree_item_knn(problem: Problem, params: Params, seed: int) -> Fitted:
    """The product's own item-kNN: ``W = D_i^-b (X^T D_u^-a X) D_i^-c``."""
    similarity = build_item_knn(problem.train, ItemKnnConfig(**params))
    return _by_item_similarity(problem, matrix_of(problem.train), similarity)


def fit_rp3beta(problem: Problem, params: Params, seed: int) -> Fitted:
    """Three-step random walks, transition probabilities to the power alpha, divided by popularity^beta.

    Paudel et al., TiiS 2017.
    """
    matrix = matrix_of(problem.train)
    to_items, to_users = scaled(matrix, 1.0, 0.0), scaled(sparse.csr_array(matrix.T), 1.0, 0.0)
    to_items.data **= params["alpha"]
    to_users.data **= params["alpha"]
    damp = _inverse_power(popularity(problem.train), params["beta"])
    similarity = product_of_top_rows(to_users, to_items, params["k"], lambda dense, start: dense * damp)
    return _by_item_similarity(problem, matrix, similarity)


def fit_user_knn(problem: Problem, params: Params, seed: int) -> Fitted:
    """``score = top_k(X D_i^-a X^T D_u^-b) X D_i^-c``; a = 0, b = .5, c = 0 is cosine user-kNN (Herlocker et al., 1999)."""
    matrix = matrix_of(problem.train)
    queries = scaled(matrix, 0.0, params["a"])
    keys = sparse.csr_array(scaled(matrix, params["b"], 0.0).T)
    values = scaled(matrix, 0.0, params["c"])

    def score(users: IntArray) -> FloatArray:
        parts = []
        for start in range(0, len(users), BLOCK):
            part = users[start : start + BLOCK]
            alike = (queries[part] @ keys).toarray()
            alike[np.arange(len(part)), part] = 0
            parts.append((largest_of_rows(alike, params["k"]) @ values).toarray())
        return np.concatenate(parts)

    return fitted_by_score(problem, score, matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)


def _k(trial: Any) -> int:
    return int(trial.suggest_int("k", *NEIGHBOURS, log=True))


def _power(trial: Any, name: str, high: float = 1.0) -> float:
    return float(trial.suggest_float(name, 0.0, high))


POPULARITY = System("popularity", fit_popularity)
RECENT_POPULARITY = System(
    "recent popularity",
    fit_recent_popularity,
    lambda trial: {"half_life_days": trial.suggest_float("half_life_days", 0.5, 1000.0, log=True)},
    {"half_life_days": 30.0},
)
COSINE_ITEM_KNN = System(
    "cosine item-kNN",
    fit_cosine_item_knn,
    lambda trial: {"k": _k(trial), "shrink": trial.suggest_float("shrink", 0.0, 100.0)},
    {"k": 200, "shrink": 0.0},
)
DEGREE_ITEM_KNN = System(
    "degree-normalised item-kNN",
    fit_degree_item_knn,
    lambda trial: {"k": _k(trial), "a": _power(trial, "a"), "b": _power(trial, "b"), "c": _power(trial, "c")},
    {"k": 500, "a": 0.5, "b": 0.5, "c": 0.3},
)
RP3BETA = System(
    "RP3beta",
    fit_rp3beta,
    lambda trial: {"k": _k(trial), "alpha": _power(trial, "alpha", 2.0), "beta": _power(trial, "beta", 2.0)},
    {"k": 200, "alpha": 1.0, "beta": 0.5},
)
USER_KNN = System(
    "user-kNN",
    fit_user_knn,
    lambda trial: {"k": _k(trial), "a": _power(trial, "a"), "b": _power(trial, "b"), "c": _power(trial, "c")},
    {"k": 200, "a": 0.5, "b": 0.5, "c": 0.0},
)
