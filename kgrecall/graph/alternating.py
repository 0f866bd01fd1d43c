"""Rows and items as vectors whose product is 1 where a row has an item and 0 elsewhere: least squares, solved in turn.

    min sum_r w_r [sum_i x_ri (1 - p_r q_i)^2 + u sum_i (p_r q_i)^2] + sum_r l_r |p_r|^2 + sum_i l_i |q_i|^2

``l_r = l (n_r + u num_items)`` and ``l_i = l (n_i + u W)``, n_r being the items of a row, n_i the weight of the rows that
have the item and W the weight of all rows. Hu, Koren & Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM
2008), with the scaling of Rendle et al., "Revisiting the Performance of iALS on Item Recommendation Benchmarks" (RecSys 2022).
Rows that are no users, such as entities, make it a collective factorisation: Singh & Gordon (KDD 2008).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from kgrecall.graph.singular import item_factors
from kgrecall.kernels.tier import compiled, load
from kgrecall.threads import in_order, ranges
from kgrecall.types import FloatArray

_CHUNK = 1 << 11
"""Events at a time: the vectors that they gather stay in the cache. 650,000 events, 128 dimensions: .20 CPU s by 131,072 at a
time, .08 by 2,048, bit for bit the same."""
_SOLVE_STEPS = 3
_ROWS = 1 << 12
"""Rows that a thread solves at a time."""


def alternating_factors(
    chosen: sparse.csr_array,
    *,
    dim: int,
    unobserved: float,
    regularization: float,
    rounds: int,
    seed: int,
    weight: FloatArray | None = None,
) -> FloatArray:
    """Item vectors, float32 (num_items, dim), zero where no row has the item.

    Args:
        chosen: csr (num_rows, num_items), 1 where a row has an item.
        unobserved: u, what a pair that did not happen counts against one that did.
        regularization: l.
        rounds: times that rows and items are solved for in turn, each by a few steps of conjugate gradients from where they
            were before; few suffice, for the start is the singular vectors.
        weight: float32 (num_rows,), w; None: 1.
    """
    load()
    root = np.sqrt(np.ones(chosen.shape[0], np.float32) if weight is None else weight)
    by_item, every = sparse.csr_array(chosen.T), np.ones(chosen.shape[1], np.float32)
    items = _start(sparse.csr_array(sparse.diags_array(root) @ chosen), dim, seed)
    met, total = np.asarray(by_item @ np.square(root)), float(np.square(root).sum())
    row_shrink = _shrink(np.asarray(chosen.sum(axis=1), np.float32).ravel(), regularization, unobserved * chosen.shape[1])
    item_shrink = _shrink(met, regularization, unobserved * total)
    rows = np.zeros((chosen.shape[0], dim), np.float32)
    for _ in range(rounds):
        rows = _solve(chosen, items, every, rows, unobserved, row_shrink)
        items = _solve(by_item, rows * root[:, None], root, items, unobserved, item_shrink)
    items[met == 0] = 0
    return items


def in_own_basis(items: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same vectors turned so that ``items^T items`` is diagonal, and that diagonal: (num_items, dim), float32 (dim,)."""
    spectrum, basis = np.linalg.eigh(items.T @ items)
    return np.ascontiguousarray(items @ basis), np.maximum(spectrum, 0)


def _shrink(degree: FloatArray, regularization: float, others: float) -> FloatArray:
    return (regularization * (degree.astype(np.float64) + others)).astype(np.float32)


def _start(chosen: sparse.csr_array, dim: int, seed: int) -> FloatArray:
    """The leading singular vectors of the normalised matrix, of mean square length 1."""
    start = item_factors(chosen, dim, seed, rounds=3)
    length = np.sqrt(np.square(start).sum(axis=1).mean())
    scaled: FloatArray = start / max(float(length), 1e-12)
    return scaled


def _solve(
    chosen: sparse.csr_array, fixed: FloatArray, target: FloatArray, start: FloatArray, unobserved: float, shrink: FloatArray
) -> FloatArray:
    """A few steps of conjugate gradients for all rows, each with its own normal equations.

    Shapes: chosen (n, m), fixed float32 (m, d), target float32 (m,), what its products are to be where a row has it; start
    float32 (n, d), shrink float32 (n,) -> float32 (n, d).
    """
    gram = (unobserved * (fixed.T @ fixed)).astype(np.float32)
    indptr, indices = chosen.indptr.astype(np.int64), chosen.indices.astype(np.int32)
    loops = compiled()

    def solved(rows: slice) -> FloatArray:
        if loops is not None:
            part = indptr[rows.start : rows.stop + 1]
            return loops.solve_rows((part, indices), fixed, target, gram, shrink[rows], start[rows], _SOLVE_STEPS)
        return _by_numpy(chosen[rows], fixed, target, gram, shrink[rows], start[rows])

    return np.concatenate(list(in_order(solved, ranges(len(start), _ROWS))))


def _by_numpy(
    chosen: sparse.csr_array, fixed: FloatArray, target: FloatArray, gram: FloatArray, shrink: FloatArray, start: FloatArray
) -> FloatArray:
    """The twin of :func:`kgrecall.kernels.squares.solve_rows`."""

    def normal(x: FloatArray) -> FloatArray:
        image: FloatArray = _at_events(chosen, x, fixed) @ fixed + x @ gram + shrink[:, None] * x
        return image

    x = start
    residual = chosen @ (target[:, None] * fixed) - normal(x)
    direction = residual
    energy = _squares(residual)
    for _ in range(_SOLVE_STEPS):
        image = normal(direction)
        curvature = np.einsum("ij,ij->i", direction, image)
        step = np.divide(energy, curvature, out=np.zeros_like(energy), where=curvature > 0)[:, None]
        x = x + step * direction
        residual = residual - step * image
        previous, energy = energy, _squares(residual)
        direction = residual + np.divide(energy, previous, out=np.zeros_like(energy), where=previous > 0)[:, None] * direction
    return x


def _squares(x: FloatArray) -> FloatArray:
    sums: FloatArray = np.einsum("ij,ij->i", x, x)
    return sums


def _at_events(chosen: sparse.csr_array, rows: FloatArray, columns: FloatArray) -> sparse.csr_array:
    """``rows columns^T`` where there is an event, times the event: csr (n, m)."""
    row = np.repeat(np.arange(chosen.shape[0]), np.diff(chosen.indptr))
    values = np.empty(len(row), np.float32)
    for start in range(0, len(row), _CHUNK):
        part = slice(start, start + _CHUNK)
        values[part] = np.einsum("ij,ij->i", rows[row[part]], columns[chosen.indices[part]])
    return sparse.csr_array((values * chosen.data, chosen.indices, chosen.indptr), shape=chosen.shape)
