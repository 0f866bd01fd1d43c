"""What can be said about an item without its interactions: a ridge regression from its neighbours and text to its vector.

    X = argmin sum_i c_i || [S T]_i X - v_i ||^2 + l ||X||^2,        (M + l I) X = [S T]^T C V

S are the normalised edges to knowledge nodes, T the text vectors, V the vectors of items with interactions and c_i their
confidence. Solved by conjugate gradients (Hestenes & Stiefel, 1952) for all columns of V at once, so that nothing is formed
that is larger than the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from kgrecall.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class ItemFeatures:
    """``graph`` csr float32 (num_items, num_entities) beside ``text`` float32 (num_items, text_dim); either may be None."""

    num_items: int
    graph: sparse.csr_array | None
    text: FloatArray | None

    @property
    def num_entities(self) -> int:
        return 0 if self.graph is None else int(self.graph.shape[1])

    def apply(self, x: FloatArray) -> FloatArray:
        """``[S T] x``: (num_entities + text_dim, d) -> (num_items, d)."""
        out = np.zeros((self.num_items, x.shape[1]), np.float32)
        if self.graph is not None:
            out += self.graph @ x[: self.num_entities]
        if self.text is not None:
            out += self.text @ x[self.num_entities :]
        return out

    def adjoint(self, y: FloatArray) -> FloatArray:
        """``[S T]^T y``: (num_items, d) -> (num_entities + text_dim, d)."""
        none = np.zeros((0, y.shape[1]), np.float32)
        graph = none if self.graph is None else self.graph.T @ y
        return np.concatenate([graph, none if self.text is None else self.text.T @ y])

    def present(self) -> BoolArray:
        """Items that have a neighbour or a text, bool (num_items,)."""
        found = np.zeros(self.num_items, np.bool_)
        if self.graph is not None:
            found |= np.diff(self.graph.indptr) > 0
        return found if self.text is None else found | self.text.any(axis=1)


def ridge(
    features: ItemFeatures, target: FloatArray, confidence: FloatArray, penalty: float, *, rounds: int = 25
) -> FloatArray:
    """The X above, float32 (num_entities + text_dim, d).

    Shapes: target (num_items, d); confidence (num_items,) >= 0, 0 for items whose vector is not known.
    """
    weight = confidence[:, None]
    residual = features.adjoint(weight * target)
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
