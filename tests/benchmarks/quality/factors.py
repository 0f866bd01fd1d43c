"""EASE in closed form."""

from __future__ import annotations

import numpy as np
from scipy import linalg, sparse

from kgrecall.errors import BudgetExceeded, Shown
from kgrecall.types import FloatArray
from tests.benchmarks.quality.neighbourhood import BLOCK, Matrix, matrix_of
from tests.benchmarks.quality.systems import Fitted, Params, Problem, System, fitted_by_score

EASE_MEMORY = 3e9
"""Bytes that the dense item x item matrix of EASE may take; it is inverted in place, in float32."""


def fit_ease(problem: Problem, params: Params, seed: int) -> Fitted:
    """``B = I - P / diag(P)``, ``P = (X^T X + l I)^-1``, zero diagonal. Steck, WWW 2019.

    Raises:
        BudgetExceeded: the catalogue is too large for a dense item x item matrix.
    """
    num_items = problem.train.num_items
    needed = 4 * num_items**2
    if needed > EASE_MEMORY:
        got = Shown(f"{needed / 1e9:.1f} GB for {num_items:,} items")
        raise BudgetExceeded("EASE", expected=f"at most {EASE_MEMORY / 1e9:.0f} GB", got=got, remedy="Leave EASE out here.")
    matrix = matrix_of(problem.train)
    gram = _dense_gram(matrix)
    gram[np.diag_indices(num_items)] += params["l2"]
    factor, _ = linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, _ = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    weights = _from_lower(inverse)
    return fitted_by_score(problem, lambda users: np.asarray(matrix[users] @ weights), weights.nbytes)


def _dense_gram(matrix: Matrix) -> FloatArray:
    """``X^T X``, float32 in column order, block by block: a sparse product of the whole would be larger than the result."""
    num_items = matrix.shape[1]
    by_item = sparse.csr_array(matrix.T)
    gram = np.empty((num_items, num_items), np.float32, order="F")
    for start in range(0, num_items, BLOCK):
        gram[:, start : start + BLOCK] = (by_item[start : start + BLOCK] @ matrix).toarray().T
    return gram


def _from_lower(inverse: FloatArray) -> FloatArray:
    """-P / diag(P) by columns, zero diagonal, from the lower triangle of P and over it."""
    diagonal = inverse.diagonal().copy()
    for start in range(0, len(inverse), BLOCK):
        stop = start + BLOCK
        inverse[start:stop, stop:] = inverse[stop:, start:stop].T
        corner = np.tril(inverse[start:stop, start:stop])
        inverse[start:stop, start:stop] = corner + np.tril(corner, -1).T
    inverse[np.diag_indices(len(inverse))] = 0
    inverse /= -diagonal[None, :]
    return inverse


EASE = System("EASE", fit_ease, lambda trial: {"l2": trial.suggest_float("l2", 1.0, 10_000.0, log=True)}, {"l2": 200.0})
