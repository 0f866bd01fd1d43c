"""The same graph with something taken away or shuffled: what a gate compares the real one with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from kgrecall.errors import ConfigError, nearest
from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.own_vectors import numbers_fields
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.types import EdgeType


def knowledge_relations(snapshot: GraphSnapshot) -> tuple[str, ...]:
    """The relations that hold something other than interactions, most edges first."""
    counts = knowledge_edges(snapshot)
    return tuple(sorted((name for name in counts if counts[name]), key=lambda name: (-counts[name], name)))


def knowledge_edges(snapshot: GraphSnapshot) -> dict[str, int]:
    """How many edges each relation has that is no interaction."""
    counts: dict[str, int] = {}
    for (_, relation, _), edges in _knowledge(snapshot).items():
        counts[relation] = counts.get(relation, 0) + edges.num_edges
    return counts


def without_knowledge(snapshot: GraphSnapshot, relations: Collection[str] | None = None) -> GraphSnapshot:
    """Without the edges of these relations; None: without all but the interactions. The nodes stay.

    Raises:
        ConfigError: no such relation; names the nearest.
    """
    known = knowledge_relations(snapshot)
    for name in relations or ():
        if name not in known:
            raise ConfigError("relations", expected="a knowledge relation", got=name, remedy=nearest(name, known))
    gone = {edge_type for edge_type in _knowledge(snapshot) if relations is None or edge_type[1] in relations}
    return replace(snapshot, relations={name: edges for name, edges in snapshot.relations.items() if name not in gone})


def with_shuffled_knowledge(snapshot: GraphSnapshot, seed: int) -> GraphSnapshot:
    """The targets of each relation permuted over its edges: every node keeps its numbers of edges, and nothing it meant."""
    rng = np.random.default_rng(seed)
    shuffled = {edge_type: _shuffled(edges, rng) for edge_type, edges in sorted(_knowledge(snapshot).items())}
    return replace(snapshot, relations={**snapshot.relations, **shuffled})


def with_shuffled_texts(snapshot: GraphSnapshot, seed: int) -> GraphSnapshot:
    """The text fields of the items dealt out anew among the items; all other properties stay where they are."""
    return _dealt_out(snapshot, snapshot.schema.node(snapshot.schema.item_label).text_fields, seed)


def with_shuffled_vectors(snapshot: GraphSnapshot, seed: int) -> GraphSnapshot:
    """The vectors of the items dealt out anew among the items; all other properties stay where they are."""
    return _dealt_out(snapshot, numbers_fields(snapshot), seed)


def without_vectors(snapshot: GraphSnapshot) -> GraphSnapshot:
    """No item has a vector."""
    return _with_columns(snapshot, numbers_fields(snapshot), lambda column: pa.nulls(len(column), column.type))


def _dealt_out(snapshot: GraphSnapshot, names: Iterable[str], seed: int) -> GraphSnapshot:
    order = pa.array(np.random.default_rng(seed).permutation(len(snapshot.items)))
    return _with_columns(snapshot, names, lambda column: column.take(order))


def _with_columns(
    snapshot: GraphSnapshot, names: Iterable[str], changed: Callable[[pa.ChunkedArray], pa.ChunkedArray | pa.Array]
) -> GraphSnapshot:
    """With some properties of the items changed."""
    label = snapshot.schema.item_label
    table = snapshot.properties[label]
    for name in names:
        place = table.column_names.index(name)
        table = table.set_column(place, table.schema.field(place), changed(table.column(name)))
    return replace(snapshot, properties={**snapshot.properties, label: table})


def _knowledge(snapshot: GraphSnapshot) -> dict[EdgeType, Adjacency]:
    return {name: edges for name, edges in snapshot.relations.items() if snapshot.role(name) != "interaction"}


def _shuffled(edges: Adjacency, rng: np.random.Generator) -> Adjacency:
    return Adjacency.from_edges(
        edges.edge_type,
        edges.sources(),
        rng.permutation(edges.indices),
        edges.weight,
        edges.time,
        num_sources=edges.num_sources,
        num_targets=edges.num_targets,
    )
