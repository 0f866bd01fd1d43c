"""The leading singular vectors of the degree-normalised interaction matrix: where factor models start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kgrecall.types import FloatArray


def normalised(history: sparse.csr_array, user_power: float = 0.5, item_power: float = 0.5) -> sparse.csr_array:
    """``D_u^-a X D_i^-b`` for a (num_users, num_items) matrix; empty rows and columns stay zero."""
    coo = history.tocoo()
    users, items = _powers(history, 1, user_power), _powers(history, 0, item_power)
    data = (coo.data * users[coo.row] * items[coo.col]).astype(np.float32)
    return sparse.coo_array((data, (coo.row, coo.col)), coo.shape).tocsr()


def _powers(matrix: sparse.csr_array, axis: int, power: float) -> NDArray[np.float64]:
    degree = np.asarray(matrix.sum(axis=axis), dtype=np.float64).ravel()
    return np.power(degree, -power, out=np.zeros_like(degree), where=degree > 0)


def item_factors(history: sparse.csr_array, dim: int, seed: int, *, rounds: int = 4) -> FloatArray:
    """Right singular vectors times singular values of the normalised matrix: (num_items, dim).

    Randomised subspace iteration (Halko, Martinsson & Tropp, 2011); columns beyond the rank are zero. Signs are fixed, so equal
    seeds give equal bits.
    """
    matrix = normalised(history)
    width = min(dim + 16, *matrix.shape)
    basis = np.random.default_rng(seed).standard_normal((matrix.shape[0], width)).astype(np.float32)
    basis = np.linalg.qr(matrix @ (matrix.T @ basis))[0]
    for _ in range(rounds - 1):
        basis = np.linalg.qr(matrix @ (matrix.T @ basis))[0]
    _, values, vectors = np.linalg.svd((matrix.T @ basis).T, full_matrices=False)  # (width,), (width, num_items)
    kept = min(dim, width)
    vectors = vectors[:kept] * np.sign(vectors[np.arange(kept), np.abs(vectors[:kept]).argmax(1)])[:, None]
    factors = np.zeros((matrix.shape[1], dim), np.float32)
    factors[:, :kept] = (vectors * values[:kept, None]).T
    return factors
