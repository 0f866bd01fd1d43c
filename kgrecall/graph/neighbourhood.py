"""A piece of the graph that fits on a page: the surroundings of one node for networkx."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError
from kgrecall.graph.adjacency import MISSING_TIME, Adjacency
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.types import IntArray

NodeKey = tuple[str, str]
"""(label, id): what a node is called in the networkx graph."""


def to_networkx(snapshot: GraphSnapshot, label: str, node_id: str, *, hops: int = 1, limit: int = 25) -> nx.MultiDiGraph:
    """The nodes within ``hops`` steps of one node, over relations in both directions.

    Nodes are (label, id) and carry ``label``, ``id``, ``name`` (the title, else None) and ``distance`` (steps from the start).
    Edges have the relation as their key, point as they are stored, and carry ``relation``, ``weight`` and ``time`` (ms, or
    None); of parallel edges the heaviest is kept.

    Args:
        hops: how far to go, 0 or more.
        limit: neighbours followed per node, relation and direction: the heaviest, among equals the latest.

    Raises:
        SchemaError: no such label.
        UnknownId: no such node; names a near one.
        ConfigError: ``hops`` or ``limit`` is out of range.
    """
    for name, value, least in (("hops", hops, 0), ("limit", limit, 1)):
        if value < least:
            raise ConfigError(name, expected=f"{least} or more", got=value, remedy="For instance hops=1, limit=25.")
    snapshot.schema.node(label)
    start = (label, snapshot.vocabularies[label].position(node_id))
    drawing = _Surroundings(snapshot, limit)
    drawing.add_node(*start, distance=0)
    front = [start]
    for distance in range(1, hops + 1):
        front = [found for node in front for found in drawing.follow(*node, distance)]
    return drawing.graph


class _Surroundings:
    """A networkx graph that grows from nodes given as (label, position)."""

    def __init__(self, snapshot: GraphSnapshot, limit: int) -> None:
        self.snapshot, self.limit = snapshot, limit
        self.graph = nx.MultiDiGraph()

    def key(self, label: str, position: int) -> NodeKey:
        return label, self.snapshot.vocabularies[label].ids[position].as_py()

    def add_node(self, label: str, position: int, distance: int) -> bool:
        """Whether the node is new."""
        key = self.key(label, position)
        if key in self.graph:
            return False
        title = self.snapshot.schema.node(label).title
        name = None if title is None else self.snapshot.properties[label].column(title)[position].as_py()
        self.graph.add_node(key, label=label, id=key[1], name=name, distance=distance)
        return True

    def follow(self, label: str, position: int, distance: int) -> list[tuple[str, int]]:
        """Add the neighbours of a node; returns the new ones."""
        new = []
        for (source, _, target), edges in self.snapshot.relations.items():
            if source == label:
                places = np.arange(edges.indptr[position], edges.indptr[position + 1])
                new += self._add_edges(edges, places, np.full(len(places), position), edges.indices[places], distance)
            if target == label:
                row = slice(edges.rev_indptr[position], edges.rev_indptr[position + 1])
                places = edges.rev_edge[row]
                new += self._add_edges(edges, places, edges.rev_indices[row], np.full(len(places), position), distance)
        return new

    def _add_edges(
        self, edges: Adjacency, places: IntArray, sources: NDArray[Any], targets: NDArray[Any], distance: int
    ) -> list[tuple[str, int]]:
        source_label, relation, target_label = edges.edge_type
        new = []
        for i in _strongest(edges, places, self.limit):
            ends = ((source_label, int(sources[i])), (target_label, int(targets[i])))
            new += [end for end in ends if self.add_node(*end, distance)]
            if self.graph.has_edge(self.key(*ends[0]), self.key(*ends[1]), key=relation):
                continue
            time = None if edges.time is None else int(edges.time[places[i]])
            self.graph.add_edge(
                self.key(*ends[0]),
                self.key(*ends[1]),
                key=relation,
                relation=relation,
                weight=float(edges.weight[places[i]]),
                time=None if time == MISSING_TIME else time,
            )
        return new


def _strongest(edges: Adjacency, places: IntArray, limit: int) -> list[int]:
    """Which of ``places`` to follow: the heaviest, then the latest, then the first."""
    time = np.zeros(len(places)) if edges.time is None else edges.time[places]
    order: list[int] = np.lexsort((-np.arange(len(places)), time, edges.weight[places]))[::-1][:limit].tolist()
    return order


@dataclass(frozen=True, slots=True)
class Layout:
    """What a plotting library needs to draw a graph: a point per node, and texts."""

    positions: Mapping[NodeKey, tuple[float, float]]
    names: Mapping[NodeKey, str]
    relations: Mapping[tuple[NodeKey, NodeKey], str]
    """Per drawn line (source, target), its relations."""


def layout(graph: nx.MultiDiGraph, *, seed: int = 0) -> Layout:
    """Points of a force-directed drawing (Fruchterman and Reingold, 1991), within -1 .. 1; equal seeds give equal drawings."""
    points = nx.spring_layout(nx.Graph(graph), seed=seed)
    lines: dict[tuple[NodeKey, NodeKey], list[str]] = {}
    for source, target, relation in graph.edges(keys=True):
        lines.setdefault((source, target), []).append(relation)
    return Layout(
        {node: (float(x), float(y)) for node, (x, y) in points.items()},
        {node: facts["name"] or facts["id"] for node, facts in graph.nodes(data=True)},
        {ends: ", ".join(sorted(relations)) for ends, relations in lines.items()},
    )
