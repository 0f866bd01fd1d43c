"""The leading singular vectors of the degree-normalised interaction matrix: where factor models start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

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

    Randomised subspace iteration (Halko, Martinsson & Tropp, 2011) over users or items, whichever are fewer; columns beyond the
    rank are zero. Signs are fixed, so equal seeds give equal bits.
    """
    matrix = normalised(history)
    few_items = matrix.shape[1] <= matrix.shape[0]
    wide = matrix if few_items else sparse.csr_array(matrix.T)  # (many, few)
    width = min(dim + 16, wide.shape[1])
    basis = np.random.default_rng(seed).standard_normal((wide.shape[1], width)).astype(np.float32)
    for _ in range(rounds):
        basis = linalg.qr(wide.T @ (wide @ basis), mode="economic", overwrite_a=True, check_finite=False)[0]
    image = wide @ basis
    exact = image.astype(np.float64)
    squares, turn = np.linalg.eigh(exact.T @ exact)  # ascending
    kept = min(dim, width)
    largest = np.ascontiguousarray(turn[:, ::-1][:, :kept].astype(np.float32))
    values = np.sqrt(np.maximum(squares[::-1][:kept], 0)).astype(np.float32)
    found = basis @ largest * values if few_items else image @ largest
    factors = np.zeros((matrix.shape[1], dim), np.float32)
    factors[:, :kept] = found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(kept)])
    return factors
