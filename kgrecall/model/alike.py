"""Items whose texts, or whose own vectors, are alike."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from kgrecall.types import FloatArray, IntArray

PAIRS = 400_000_000
"""Texts (or vectors) are compared with all others for so many pairs at most: in a catalogue of over 20,000 items not each has a
set of its own, and the time stays within seconds."""
_BLOCK = 512


class AlikeItems:
    """Sets of alike items, each found once: a build trains several times, on other events but on the same texts."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], tuple[FloatArray, sparse.csr_array]] = {}

    def sets(self, name: str, part: FloatArray, neighbours: int) -> sparse.csr_array:
        """:func:`most_alike` of the texts, or vectors, of this name."""
        known = self._found.get((name, neighbours))
        if known is None or known[0] is not part:
            known = self._found[name, neighbours] = part, most_alike(part, neighbours)
        return known[1]


def most_alike(part: FloatArray, neighbours: int, *, pairs: int = PAIRS) -> sparse.csr_array:
    """Items with a row that is not zero, evenly spread, and those at the smallest angles: csr (num_sets, num_items)."""
    length = np.linalg.norm(part, axis=1, keepdims=True)
    unit = np.divide(part, length, out=np.zeros_like(part), where=length > 0)
    told = np.flatnonzero(length[:, 0] > 0)
    asked = told[np.linspace(0, len(told), min(len(told), max(1, pairs // len(part))), endpoint=False, dtype=np.int64)]
    parts = [_nearest(unit, asked[start : start + _BLOCK], neighbours) for start in range(0, len(asked), _BLOCK)]
    return sparse.csr_array(sparse.vstack([sparse.csr_array((0, len(part)), dtype=np.float32), *parts], format="csr"))


def _nearest(unit: FloatArray, asked: IntArray, neighbours: int) -> sparse.csr_array:
    """Each of these items and its nearest at an angle below 90 degrees: csr (q, num_items)."""
    likeness = unit[asked] @ unit.T
    likeness[np.arange(len(asked)), asked] = 2.0
    k = min(neighbours + 1, len(unit))
    nearest = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
    row, place = np.nonzero(np.take_along_axis(likeness, nearest, axis=1) > 0)
    return sparse.csr_array((np.ones(len(row), np.float32), (row, nearest[row, place])), shape=likeness.shape)
