"""Baselines that solve: EASE in closed form, and iALS by the ``implicit`` package in an environment of its own."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import linalg, sparse

from kgrecall.errors import BudgetExceeded, Shown
from kgrecall.types import FloatArray, IntArray
from tests.benchmarks.quality.neighbourhood import matrix_of
from tests.benchmarks.quality.peers import run_peer
from tests.benchmarks.quality.systems import Fitted, Params, Problem, System, fitted_by_score

EASE_MEMORY = 8e9
"""Bytes that EASE may take at its peak: about three dense float32 item x item matrices."""


def fit_ease(problem: Problem, params: Params, seed: int) -> Fitted:
    """``B = I - P / diag(P)``, ``P = (X^T X + l I)^-1``, zero diagonal. Steck, WWW 2019.

    Raises:
        BudgetExceeded: the catalogue is too large for a dense item x item matrix.
    """
    num_items = problem.train.num_items
    needed = 3 * 4 * num_items**2
    if needed > EASE_MEMORY:
        got = Shown(f"{needed / 1e9:.1f} GB for {num_items:,} items")
        raise BudgetExceeded("EASE", expected=f"at most {EASE_MEMORY / 1e9:.0f} GB", got=got, remedy="Leave EASE out here.")
    matrix = matrix_of(problem.train)
    gram = (matrix.T @ matrix).toarray().astype(np.float32 if num_items > 6000 else np.float64)
    gram[np.diag_indices(num_items)] += params["l2"]
    factor, _ = linalg.lapack.get_lapack_funcs(("potrf",), (gram,))[0](gram, lower=1, overwrite_a=1)
    inverse, _ = linalg.lapack.get_lapack_funcs(("potri",), (factor,))[0](factor, lower=1, overwrite_c=1)
    weights = _from_lower(inverse)
    return fitted_by_score(problem, lambda users: np.asarray(matrix[users] @ weights), weights.nbytes)


def _from_lower(inverse: Any) -> FloatArray:
    """-P / diag(P) by columns, zero diagonal, from the lower triangle of P."""
    diagonal = np.diag(inverse).copy()
    full = np.tril(inverse, -1).astype(np.float32)
    full += full.T
    full /= -diagonal[None, :].astype(np.float32)
    return full


def fit_ials(problem: Problem, params: Params, seed: int) -> Fitted:
    """Weighted matrix factorisation, confidence alpha where there is an event, else 1. Hu, Koren & Volinsky, ICDM 2008."""
    with tempfile.TemporaryDirectory() as folder:
        sparse.save_npz(Path(folder, "matrix.npz"), sparse.csr_matrix(matrix_of(problem.train)), compressed=False)
        Path(folder, "params.json").write_text(json.dumps({**params, "seed": seed}))
        run_peer("ials", Path(folder))
        users, items = np.load(Path(folder, "users.npy")), np.load(Path(folder, "items.npy"))

    def score(user_pos: IntArray) -> FloatArray:
        return users[user_pos] @ items.T

    return fitted_by_score(problem, score, users.nbytes + items.nbytes)


EASE = System("EASE", fit_ease, lambda trial: {"l2": trial.suggest_float("l2", 1.0, 10_000.0, log=True)}, {"l2": 200.0})
IALS = System(
    "iALS (implicit)",
    fit_ials,
    lambda trial: {
        "factors": trial.suggest_int("factors", 16, 256, log=True),
        "regularization": trial.suggest_float("regularization", 1e-3, 100.0, log=True),
        "alpha": trial.suggest_float("alpha", 1.0, 100.0, log=True),
        "iterations": trial.suggest_int("iterations", 5, 30),
    },
    {"factors": 64, "regularization": 1.0, "alpha": 10.0, "iterations": 15},
    random=True,
)
