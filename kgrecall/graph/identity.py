"""Nodes that are one thing under two labels: the one is absorbed by the other, and its edges move there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from kgrecall.errors import SchemaError, Shown
from kgrecall.graph.adjacency import gather
from kgrecall.graph.scan import ScannedEdges
from kgrecall.schema import EdgeTypeSpec, GraphSchema
from kgrecall.types import BoolArray, IntArray, PosArray


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each node of the store goes in the snapshot.

    All nodes are numbered through, label after label; node n of the store becomes the nodes
    ``becomes[indptr[n]:indptr[n + 1]]``: itself, or those that absorb it (several when it is identical with several items).
    ``label`` int32 and ``position`` int32 say, for a node that stays, which label (an index into ``labels``) and which
    position it has; ``stays`` bool says whether it does.
    """

    labels: tuple[str, ...]
    offset: Mapping[str, int]
    size: Mapping[str, int]
    indptr: IntArray
    becomes: PosArray
    stays: BoolArray
    label: PosArray
    position: PosArray

    def staying(self, label: str) -> BoolArray:
        """bool (number of the label's nodes in the store,)."""
        return self.stays[self.offset[label] : self.offset[label] + self.size[label]]

    def num_nodes(self, label: str) -> int:
        return int(self.staying(label).sum())

    def move(self, label: str, positions: PosArray) -> tuple[IntArray | None, PosArray]:
        """The new ends of edges (m,): the edge of each (None: one for one), and the number of the node that it has become."""
        numbers = positions + np.int32(self.offset[label])
        if self.staying(label).all():
            return None, numbers
        edge, entry = gather(self.indptr, numbers)
        return edge, self.becomes[entry]


def place(schema: GraphSchema, sizes: Mapping[str, int], identities: Mapping[str, ScannedEdges]) -> Placement:
    """Decide which nodes are absorbed.

    An identity relation joins two labels. Users and items always stay; between two other labels the source stays. Chains
    (Movie - Entity - Topic) are followed to their end. The properties of an absorbed node are not taken over.

    Args:
        sizes: number of nodes per label in the store.
        identities: the edges of each relation with role "identity".

    Raises:
        SchemaError: an identity relation joins a label with itself, users with items, or the relations form a ring.
    """
    offset = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))
    total = sum(sizes.values())
    links = [_link(schema.edge(name), name, schema, edges, offset) for name, edges in identities.items()]
    absorbed = np.concatenate([np.empty(0, np.int64), *(pair[0] for pair in links)])
    absorbing = np.concatenate([np.empty(0, np.int64), *(pair[1] for pair in links)])
    stays = np.ones(total, np.bool_)
    stays[absorbed] = False
    becomes = _follow(absorbed, absorbing, stays, rounds=len(sizes))
    label = np.repeat(np.arange(len(sizes), dtype=np.int32), list(sizes.values()))
    position = np.zeros(total, np.int32)
    for name, start in offset.items():
        part = slice(start, start + sizes[name])
        position[part] = np.cumsum(stays[part]) - 1
    return Placement(
        tuple(sizes), offset, sizes, becomes.indptr.astype(np.int64), becomes.indices.astype(np.int32), stays, label, position
    )


def _link(
    spec: EdgeTypeSpec, name: str, schema: GraphSchema, edges: ScannedEdges, offset: Mapping[str, int]
) -> tuple[IntArray, IntArray]:
    """(absorbed, absorbing) node numbers of one identity relation."""
    fixed = {schema.user_label, schema.item_label}
    if spec.source == spec.target or {spec.source, spec.target} == fixed:
        raise SchemaError(
            f"edges.{name}",
            expected="an identity between two labels of which at most one holds users or items",
            got=(spec.source, spec.target),
            remedy='Use role = "knowledge", or join these records before the import.',
        )
    source = edges.sources.astype(np.int64) + offset[spec.source]
    target = edges.targets.astype(np.int64) + offset[spec.target]
    return (source, target) if spec.target in fixed else (target, source)


def _follow(absorbed: IntArray, absorbing: IntArray, stays: BoolArray, *, rounds: int) -> csr_array[Any]:
    """bool (num_nodes, num_nodes): row n holds the nodes that n becomes in the end."""
    fixed = np.flatnonzero(stays)
    rows, columns = np.concatenate([absorbed, fixed]), np.concatenate([absorbing, fixed])
    step = csr_array((np.ones(len(rows), np.bool_), (rows, columns)), shape=(len(stays), len(stays)))
    reached = step
    for _ in range(rounds):
        if stays[reached.indices].all():
            reached.sort_indices()
            return reached
        reached = reached @ step
    raise SchemaError(
        "identity relations",
        expected="chains that end in a label that stays",
        got=Shown("a ring"),
        remedy="Turn one of the identity relations round.",
    )
