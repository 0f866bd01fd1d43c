"""What can be said about an item without its interactions: a ridge regression from its neighbours and text to its vector.

    X = argmin sum_i c_i || [S T]_i X - v_i ||^2 + l ||X||^2,        (M + l I) X = [S T]^T C V

S are the normalised edges to knowledge nodes, T the vectors of texts and own ones, V the vectors of items with interactions
and c_i their confidence. Solved by conjugate gradients (Hestenes & Stiefel, 1952) for all columns of V at once, so that nothing
is formed that is larger than the inputs.
"""

from __future__ import annotations

import numpy as np

from kgrecall.model.features import ItemFeatures
from kgrecall.types import FloatArray


def ridge(
    features: ItemFeatures, target: FloatArray, confidence: FloatArray, penalty: float, *, rounds: int = 25
) -> FloatArray:
    """The X above, float32 (num_entities + dense_dim, d).

    Shapes: target (num_items, d); confidence (num_items,) >= 0, 0 for items whose vector is not known.
    """
    return ridge_solve(features, features.adjoint(confidence[:, None] * target), confidence, penalty, rounds=rounds)


def ridge_solve(
    features: ItemFeatures, right: FloatArray, confidence: FloatArray, penalty: float, *, rounds: int = 25
) -> FloatArray:
    """``(M + l I)^-1 right`` with the M above, float32 as ``right`` (num_entities + dense_dim, d)."""
    weight = confidence[:, None]
    residual = right.copy()
    x = np.zeros_like(residual)
    direction = residual.copy()
    energy = np.einsum("ij,ij->j", residual, residual)  # (d,)
    for _ in range(rounds):
        image = features.adjoint(weight * features.apply(direction)) + penalty * direction
        curvature = np.einsum("ij,ij->j", direction, image)
        step = np.divide(energy, curvature, out=np.zeros_like(energy), where=curvature > 0)
        x += step * direction
        residual -= step * image
        previous, energy = energy, np.einsum("ij,ij->j", residual, residual)
        direction = residual + np.divide(energy, previous, out=np.zeros_like(energy), where=previous > 0) * direction
    return x
