"""Matrix factors from implicit feedback: every pair counts, those that happened count more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kgrecall.graph.singular import item_factors
from kgrecall.recall.item_knn import interaction_matrix
from kgrecall.recall.sparse_rows import Matrix, csr, row_and_column_sums, transposed
from kgrecall.settings import Settings
from kgrecall.types import FloatArray, Interactions

_CHUNK = 1 << 17
_SOLVE_STEPS = 3


class FactorsConfig(Settings):
    """``min sum_ui x_ui (1 - p_u q_i)^2 + u sum_ui (p_u q_i)^2 + sum_u l_u |p_u|^2 + sum_i l_i |q_i|^2``.

    ``l_u = l (n_u + u num_items)`` and ``l_i = l (n_i + u num_users)``, n being degrees. Hu, Koren & Volinsky, "Collaborative
    Filtering for Implicit Feedback Datasets" (ICDM 2008), with the scaling of Rendle et al., "Revisiting the Performance of
    iALS on Item Recommendation Benchmarks" (RecSys 2022).
    """

    dim: int = Field(default=128, ge=1)
    """Length of the vectors."""
    unobserved: float = Field(default=0.05, gt=0)
    """u: what a pair without an event counts against one with an event. Choose on validation data."""
    regularization: float = Field(default=0.01, gt=0)
    """l: how strongly vectors are pulled to zero. Choose on validation data, together with ``unobserved``."""
    rounds: int = Field(default=5, ge=1)
    """Times that users and items are solved for in turn; few suffice, for the start is the singular vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemFactors:
    """What serving needs: users are solved for from their histories.

    Shapes: ``items`` float32 (num_items, dim), a zero row where an item has no event, in a basis in which ``items^T items`` is
    diagonal; ``spectrum`` float32 (dim,) is that diagonal.
    """

    items: FloatArray
    spectrum: FloatArray
    unobserved: float
    regularization: float

    def penalty(self, num_events: float) -> FloatArray:
        """The diagonal that a user's normal equations add to those of the history, float32 (dim,)."""
        shrink = self.regularization * (num_events + self.unobserved * len(self.items))
        diagonal: FloatArray = (self.unobserved * self.spectrum + shrink).astype(np.float32)
        return diagonal


def build_factors(interactions: Interactions, config: FactorsConfig | None = None, *, seed: int = 0) -> ItemFactors:
    """Solve for users and items in turn, each by conjugate gradients from where they were before.

    Time: some 2 x rounds x 4 passes over the events with dim multiplications each.
    """
    config = config or FactorsConfig()
    chosen = interaction_matrix(interactions)
    by_item = transposed(chosen)
    activity, popularity = row_and_column_sums(chosen)
    user_shrink = _shrink(activity, chosen.shape[1], config)
    item_shrink = _shrink(popularity, chosen.shape[0], config)
    items = _start(chosen, config.dim, seed)
    users = np.zeros((chosen.shape[0], config.dim), np.float32)
    for _ in range(config.rounds):
        users = _solve(chosen, items, users, config.unobserved, user_shrink)
        items = _solve(by_item, users, items, config.unobserved, item_shrink)
    items[popularity == 0] = 0
    spectrum, basis = np.linalg.eigh(items.T @ items)
    return ItemFactors(np.ascontiguousarray(items @ basis), np.maximum(spectrum, 0), config.unobserved, config.regularization)


def _shrink(degree: NDArray[np.float64], others: int, config: FactorsConfig) -> FloatArray:
    return (config.regularization * (degree + config.unobserved * others)).astype(np.float32)


def _start(chosen: Matrix, dim: int, seed: int) -> FloatArray:
    """The leading singular vectors of the normalised matrix, of mean square length 1."""
    start = item_factors(chosen, dim, seed, rounds=3)
    length = np.sqrt(np.square(start).sum(axis=1).mean())
    scaled: FloatArray = start / max(float(length), 1e-12)
    return scaled


def _solve(chosen: Matrix, fixed: FloatArray, start: FloatArray, unobserved: float, shrink: FloatArray) -> FloatArray:
    """A few steps of conjugate gradients for all rows at once, each with its own normal equations.

    Shapes: chosen (n, m), fixed float32 (m, d), start float32 (n, d), shrink float32 (n,) -> float32 (n, d).
    """
    gram = unobserved * (fixed.T @ fixed)

    def normal(x: FloatArray) -> FloatArray:
        image: FloatArray = _at_events(chosen, x, fixed) @ fixed + x @ gram + shrink[:, None] * x
        return image

    x = start
    residual = chosen @ fixed - normal(x)
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


def _at_events(chosen: Matrix, rows: FloatArray, columns: FloatArray) -> Matrix:
    """``rows columns^T`` where there is an event, times the event: csr (n, m)."""
    row = np.repeat(np.arange(chosen.shape[0]), np.diff(chosen.indptr))
    values = np.empty(len(row), np.float32)
    for start in range(0, len(row), _CHUNK):
        part = slice(start, start + _CHUNK)
        values[part] = np.einsum("ij,ij->i", rows[row[part]], columns[chosen.indices[part]])
    return csr(values * chosen.data, chosen.indices, chosen.indptr, chosen.shape[1])
