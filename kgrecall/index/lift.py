"""From largest inner product to nearest neighbour, for indexes that group or link vectors by nearness.

Where lengths differ (popular items have long vectors), near vectors need not have near inner products, and lists or links
built on nearness lose true neighbours. One more coordinate makes the lengths equal: v becomes (v, sqrt(r^2 - |v|^2)) and q
becomes (q, 0). No inner product changes, and among vectors of one length the largest inner product is the nearest neighbour:
Bachrach et al., "Speeding Up the Xbox Recommender System Using a Euclidean Transformation for Inner-Product Spaces",
RecSys 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgrecall.types import FloatArray

_QUANTILE = 0.99
_EQUAL_WITHIN = 1e-3


@dataclass(frozen=True, slots=True)
class Lift:
    """The added coordinate; ``radius`` 0 adds none."""

    radius: float = 0.0

    @classmethod
    def fitted(cls, vectors: FloatArray) -> Lift:
        """The radius for these vectors (n, dim): the length that 99 of 100 stay below. The few that are longer get 0 as their
        coordinate; with the largest length as radius they would press all others into one corner. Vectors of one length need
        none."""
        if not len(vectors):
            return cls()
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        if lengths.max() - lengths.min() <= _EQUAL_WITHIN * lengths.max():
            return cls()
        return cls(float(np.quantile(lengths, _QUANTILE)))

    @property
    def num_columns(self) -> int:
        return int(self.radius > 0)

    def vectors(self, vectors: FloatArray) -> FloatArray:
        """(n, dim) -> (n, dim + num_columns)."""
        if not self.num_columns:
            return vectors
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
        column = np.sqrt(np.maximum(self.radius**2 - squares, 0)).astype(np.float32)
        return np.hstack([vectors, column[:, None]])

    def queries(self, queries: FloatArray) -> FloatArray:
        """(q, dim) -> (q, dim + num_columns)."""
        return np.pad(queries, ((0, 0), (0, self.num_columns))) if self.num_columns else queries
