"""The nodes that items can share, side by side: every attribute relation as columns of one sparse matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from kgrecall.errors import ConfigError, ShapeError, Shown, nearest
from kgrecall.graph.knowledge import Incidence
from kgrecall.recall.base import Evidence, Naming, QueryBatch
from kgrecall.recall.channels.sparse_rows import Matrix, SparseRows, csr, scaled
from kgrecall.settings import Settings
from kgrecall.types import FloatArray, IntArray, PosArray


class NodeSpaceConfig(Settings):
    """Which shared nodes count, and how much."""

    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    """Weight of a relation, by its name; 1 when not named, 0 leaves it out."""
    hub_share: float = Field(default=0.1, gt=0, le=1)
    """A node with more than this share of all items is a hub: it says little and costs much, so it is left out."""
    hub_floor: int = Field(default=100, ge=2)
    """A node with at most this many items is never a hub, however small the catalogue."""
    never_hubs: tuple[str, ...] = ()
    """Relations whose nodes are never hubs, such as the interactions: people say something however active they are."""


@dataclass(frozen=True, slots=True)
class NodeSpace:
    """Columns are (relation, node) pairs that at least two items share; a direct item-item edge is a column of its own.

    Shapes: ``matrix`` float32 (num_items, c), values ``sqrt(relation weight) * edge weight``, so that ``M M^T`` weighs a shared
    node by its relation; ``column_relation`` int32 (c,) into ``relations``; ``column_node`` int32 (c,): the node's position in
    its label, or the edge's source item for a direct edge. ``relations`` are (relation, label, reverse).
    """

    matrix: Matrix
    relations: tuple[tuple[str, str, bool], ...]
    column_relation: PosArray
    column_node: PosArray
    naming: Naming

    def column_of(self, label: str, num_nodes: int) -> PosArray:
        """The column of each node of a label that occurs in one relation only, -1 where it has none: int32 (num_nodes,).

        Raises:
            ShapeError: a column belongs to a node beyond ``num_nodes``.
        """
        columns = np.full(num_nodes, -1, np.int32)
        for r, (_, known, _) in enumerate(self.relations):
            if known == label:
                here = np.flatnonzero(self.column_relation == r)
                if len(here) and int(self.column_node[here].max()) >= num_nodes:
                    raise ShapeError(
                        f"number of {label} nodes",
                        expected=f"at least {int(self.column_node[here].max()) + 1}",
                        got=num_nodes,
                        remedy="Pass how many the graph has.",
                    )
                columns[self.column_node[here]] = here
        return columns

    def walk(self, user_pos: int, start: int, column: int, end: int, share: float) -> Evidence:
        """user - item ``start`` - shared node - item ``end``, or user - start - end along a direct edge."""
        relation, label, reverse = self.relations[self.column_relation[column]]
        node = int(self.column_node[column])
        user, first, last = (self.naming.user, user_pos), (self.naming.item, start), (self.naming.item, end)
        if label == self.naming.item:
            step = relation if (node == start) != reverse else f"^{relation}"
            return Evidence((user, first, last), (self.naming.interaction, step), share)
        there, back = (f"^{relation}", relation) if reverse else (relation, f"^{relation}")
        return Evidence((user, first, (label, node), last), (self.naming.interaction, there, back), share)


def build_node_space(
    incidences: Sequence[Incidence], config: NodeSpaceConfig | None = None, naming: Naming | None = None
) -> NodeSpace:
    """Put the columns of all relations side by side, without hubs and without nodes that only one item has.

    Raises:
        ConfigError: a weight for a relation that is not there.
        ShapeError: incidences over different numbers of items.
    """
    config, naming = config or NodeSpaceConfig(), naming or Naming()
    _check(incidences, config)
    num_items = incidences[0].matrix.shape[0] if incidences else 0
    limit = max(config.hub_floor, config.hub_share * num_items)
    parts = []
    for r, incidence in enumerate(incidences):
        largest = np.inf if incidence.relation in config.never_hubs else limit
        parts.append(_columns(incidence, r, config.weights.get(incidence.relation, 1.0), largest, naming))
    parts = [part for part in parts if part[0].shape[1]]
    return NodeSpace(
        matrix=sp.csr_array(sp.hstack([p[0] for p in parts], format="csr")) if parts else _no_columns(num_items),
        relations=tuple((i.relation, i.label, i.reverse) for i in incidences),
        column_relation=np.concatenate([p[1] for p in parts]) if parts else np.zeros(0, np.int32),
        column_node=np.concatenate([p[2] for p in parts]) if parts else np.zeros(0, np.int32),
        naming=naming,
    )


def _no_columns(num_items: int) -> Matrix:
    return csr(np.zeros(0), np.zeros(0, np.int32), np.zeros(num_items + 1, np.int64), 0)


def _check(incidences: Sequence[Incidence], config: NodeSpaceConfig) -> None:
    known = {incidence.relation for incidence in incidences}
    for relation in config.weights:
        if relation not in known:
            raise ConfigError("weights", expected="names of relations", got=relation, remedy=nearest(relation, known))
    sizes = {incidence.matrix.shape[0] for incidence in incidences}
    if len(sizes) > 1:
        raise ShapeError(
            "incidences",
            expected="matrices with one row per item",
            got=Shown(f"{sorted(sizes)} rows"),
            remedy="Take them all from one snapshot.",
        )


_Columns = tuple[Matrix, PosArray, PosArray]


def _columns(incidence: Incidence, r: int, weight: float, limit: float, naming: Naming) -> _Columns:
    """The kept columns of one relation, with their relation and node."""
    matrix = incidence.matrix
    if weight == 0 or matrix.nnz == 0:
        return _no_columns(matrix.shape[0]), np.zeros(0, np.int32), np.zeros(0, np.int32)
    if incidence.label == naming.item:
        matrix, nodes = _edges_as_columns(matrix)
    else:
        degree = np.bincount(matrix.indices, minlength=matrix.shape[1])
        nodes = np.flatnonzero((degree >= 2) & (degree <= limit)).astype(np.int32)
        matrix = matrix[:, nodes]
    return scaled(matrix, np.full(matrix.shape[0], np.sqrt(weight), np.float32)), np.full(len(nodes), r, np.int32), nodes


def _edges_as_columns(matrix: Matrix) -> tuple[Matrix, PosArray]:
    """An item-item relation as one column of two items per edge, and the source item of each; loops are left out."""
    edges = matrix.tocoo()
    source, target = edges.coords
    kept = np.flatnonzero(source != target)
    source, target = source[kept].astype(np.int32), target[kept].astype(np.int32)
    column = np.arange(len(kept), dtype=np.int32)
    value = np.sqrt(np.abs(edges.data[kept])).astype(np.float32)
    rows, columns = np.concatenate([source, target]), np.concatenate([column, column])
    shape = (matrix.shape[0], len(kept))
    return sp.csr_array((np.concatenate([value, value]), (rows, columns)), shape=shape), source


def shared_columns(rows: SparseRows, items: PosArray, item_pos: int) -> Iterator[tuple[int, PosArray, FloatArray]]:
    """For each history item that shares columns with an item: its place in ``items``, the columns, the products of values."""
    wanted, wanted_values = rows.row(item_pos)
    for place, item in enumerate(items):
        columns, values = rows.row(int(item))
        both, here, there = np.intersect1d(columns, wanted, assume_unique=True, return_indices=True)
        if len(both) and int(item) != item_pos:
            yield place, both, values[here] * wanted_values[there]


def strongest_walks(
    space: NodeSpace,
    query: QueryBatch,
    items: PosArray,
    item_pos: int,
    votes: Sequence[tuple[int, PosArray, NDArray[np.floating[Any]]]],
    limit: int,
    *,
    total: float = 0.0,
) -> list[Evidence]:
    """Walks by their vote, largest first.

    Args:
        votes: (place in ``items``, columns, vote of each column).
        total: what shares are taken of, when more than the votes together: walks that have no vote count as well.
    """
    if not votes:
        return []
    places: IntArray = np.concatenate([np.full(len(columns), place) for place, columns, _ in votes])
    columns = np.concatenate([columns for _, columns, _ in votes])
    weight = np.concatenate([vote for _, _, vote in votes])
    total = max(total, float(weight.sum()))
    best = np.argsort(-weight, kind="stable")[:limit]
    user = int(query.user_pos[0])
    return [
        space.walk(user, int(items[places[b]]), int(columns[b]), item_pos, float(weight[b]) / total)
        for b in best
        if weight[b] > 0
    ]
