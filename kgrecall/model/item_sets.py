"""Items that belong together by what is known of them: the items of an entity, an item and those it points to, alike texts or
vectors.

Each set is read like the history of one more user. What the graph and the texts say of items then reaches their vectors by
the same way as what people do, and an item that nobody has chosen is learned from the sets that it is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from kgrecall.model.inputs import ModelInputs
from kgrecall.types import FloatArray, IntArray

HUB_SHARE, HUB_FLOOR = 0.1, 100
"""An entity of more than this share of all items, and of more than so many, is a hub: it says little and costs much."""
PAIRS = 400_000_000
"""Texts (or vectors) are compared with all others for so many pairs at most: in a catalogue of over 20,000 items not each has a
set of its own, and the time stays within seconds."""
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class ItemSets:
    """Shapes: ``matrix`` csr float32 (num_sets, num_items) of ones, two or more in a row; ``weight`` float32 (num_sets,)."""

    matrix: sparse.csr_array
    weight: FloatArray

    def __len__(self) -> int:
        return len(self.weight)


def item_sets(inputs: ModelInputs, *, knowledge: float, text: float, neighbours: int) -> ItemSets:
    """The sets of a catalogue.

    Args:
        knowledge: weight of a set of the graph; 0 leaves them out.
        text: weight of a set of alike texts, or of alike vectors; 0 leaves them out.
        neighbours: items with the closest ones in each such set.
    """
    parts = [(part, knowledge) for part in _of_knowledge(inputs)] if knowledge else []
    if text:
        parts += [(most_alike(part, neighbours), text) for part in inputs.dense.values()]
    parts = [(part[np.flatnonzero(np.diff(part.indptr) >= 2)], weight) for part, weight in parts]
    weight = np.concatenate([np.zeros(0, np.float32), *(np.full(part.shape[0], w, np.float32) for part, w in parts)])
    if not len(weight):
        return ItemSets(sparse.csr_array(np.zeros((0, inputs.num_items), np.float32)), weight)
    matrix = sparse.csr_array(sparse.vstack([part for part, _ in parts], format="csr"), dtype=np.float32)
    matrix.data = np.ones_like(matrix.data)
    return ItemSets(matrix, weight)


def _of_knowledge(inputs: ModelInputs) -> Iterator[sparse.csr_array]:
    most = max(HUB_FLOOR, HUB_SHARE * inputs.num_items)
    for part in inputs.knowledge:
        if part.label == inputs.item_label:
            yield sparse.csr_array(part.matrix + sparse.eye_array(inputs.num_items, dtype=np.float32))
        else:
            by_entity = sparse.csr_array(part.matrix.T)
            yield by_entity[np.flatnonzero(np.diff(by_entity.indptr) <= most)]


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
