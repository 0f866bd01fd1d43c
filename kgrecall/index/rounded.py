"""Vectors in 16 bits: what a scan looks at first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrecall.types import FloatArray

TILE = 32
_LONGEST = 32766.0
_BLOCK = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """Vectors times ``scale``, as whole numbers; each differs from what it stands for by at most the length ``lost``.

    Vector ``lane * num_tiles + t`` is number ``lane`` of tile t: a tile holds vectors from all over, and a few of them are a
    fair sample. ``tiles`` int16 (num_tiles, pairs of columns, TILE, 2), flat, zeros where there is no vector.
    """

    tiles: NDArray[np.int16]
    scale: float
    lost: float

    @classmethod
    def of(cls, vectors: FloatArray, length: float) -> Rounded:
        """Of float32 (n, dim), the longest of which has this length."""
        num_vectors, dim = vectors.shape
        num_tiles, pairs = -(-num_vectors // TILE), (dim + 1) // 2
        scale, lost = _LONGEST / length if length > 0 else 0.0, 0.0
        rows = np.zeros((num_tiles * TILE, pairs * 2), np.int16)
        for start in range(0, num_vectors, _BLOCK):
            exact = vectors[start : start + _BLOCK].astype(np.float64) * scale
            nearest = np.rint(exact)
            rows[start : start + len(exact), :dim] = nearest
            exact -= nearest
            lost = max(lost, float(np.sqrt(np.einsum("ij,ij->i", exact, exact).max())))
        tiles = rows.view(np.int32).reshape(TILE, num_tiles, pairs).transpose(1, 2, 0)
        return cls(np.ascontiguousarray(tiles).view(np.int16).reshape(-1), scale, lost)
