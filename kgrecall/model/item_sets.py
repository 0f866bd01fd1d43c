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
from kgrecall.types import FloatArray

HUB_SHARE, HUB_FLOOR = 0.1, 100
"""An entity of more than this share of all items, and of more than so many, is a hub: it says little and costs much."""


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
        parts += [(inputs.alike.sets(name, part, neighbours), text) for name, part in inputs.dense.items()]
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
