"""The node space of the model: items, and everything that says something about them.

Nodes are numbered [items | entities by label | items as neighbours | users]. An item that other items point at (a sequel, also
bought) appears a second time "as a neighbour": what it says about others is another thing than what it is, and so every
relation of the knowledge graph joins items on one side with non-items on the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from kgrecall.model.inputs import ModelInputs
from kgrecall.types import IntArray

INTERACTION = "interaction"
"""The name of the edges between users and items."""


@dataclass(frozen=True, slots=True)
class NodeSpace:
    """How many nodes of each kind there are. ``num_entities`` counts all that stand between items and users."""

    num_items: int
    num_entities: int
    num_users: int
    """0 when the interactions are not part of the graph."""

    @property
    def num_nodes(self) -> int:
        return self.num_items + self.num_entities + self.num_users


def relation_matrices(inputs: ModelInputs, *, with_interactions: bool) -> tuple[NodeSpace, dict[str, sparse.csr_array]]:
    """A symmetric matrix (num_nodes, num_nodes) over the node space for each relation, named as read from the item.

    Relations of one name that lead to nodes of several labels stay apart: ``STARRING:Actor``, ``STARRING:Item``.
    """
    shared = _shared_nodes(inputs)
    offsets, size = {}, inputs.num_items
    for label, columns in shared.items():
        offsets[label] = size
        size += len(columns)
    space = NodeSpace(inputs.num_items, size - inputs.num_items, inputs.num_users if with_interactions else 0)
    matrices = {}
    for part in inputs.knowledge:
        block = sparse.csr_array(part.matrix[:, shared[part.label]])
        if block.nnz:
            matrices[f"{part.name}:{part.label}"] = _symmetric(block, offsets[part.label], space)
    if with_interactions:
        matrices[INTERACTION] = _symmetric(inputs.history().T.tocsr(), size, space)
    return space, matrices


def _shared_nodes(inputs: ModelInputs) -> dict[str, IntArray]:
    """For each label the nodes that two items or more share; what only one item has says nothing about another."""
    counts: dict[str, IntArray] = {}
    for part in inputs.knowledge:
        found = np.bincount(part.matrix.indices, minlength=part.matrix.shape[1])
        counts[part.label] = counts.get(part.label, np.zeros_like(found)) + found
    return {label: np.flatnonzero(count >= 2) for label, count in counts.items()}


def _symmetric(block: sparse.csr_array, offset: int, space: NodeSpace) -> sparse.csr_array:
    """[[0, B], [B^T, 0]] with B's columns moved to their place."""
    coo = block.tocoo()
    row, column = coo.row.astype(np.int64), coo.col.astype(np.int64) + offset
    both = np.concatenate([row, column]), np.concatenate([column, row])
    data = np.concatenate([coo.data, coo.data]).astype(np.float32)
    return sparse.csr_array(sparse.coo_array((data, both), (space.num_nodes, space.num_nodes)))
