"""From the relations of the store to those of the snapshot: moved, split by name, turned round, and without repeats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from kgrecall.graph.adjacency import Adjacency, group
from kgrecall.graph.identity import Placement
from kgrecall.graph.scan import EdgeCounts, ScannedEdges
from kgrecall.schema import EdgeTypeSpec
from kgrecall.types import EdgeType, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class _Moved:
    """Edges with their ends as node numbers of the placement, and an index into ``names``."""

    sources: IntArray
    targets: IntArray
    weight: FloatArray
    time: IntArray | None
    name: IntArray
    names: tuple[str, ...]


def settle(
    relation: str, spec: EdgeTypeSpec, scanned: ScannedEdges, placement: Placement, taken: Iterable[str]
) -> tuple[dict[EdgeType, Adjacency], EdgeCounts]:
    """The adjacencies that one relation of the store becomes.

    With a ``relation`` property there is one per value and pair of labels; a value that is already the name of another
    relation (``taken``) is written ``relation.value``. A relation without edges keeps its declared triple.
    """
    edges, self_loops = _without_self_loops(_move(spec, scanned, placement))
    edges = _turn(edges, spec, relation, frozenset(taken))
    copied = len(edges.sources) + self_loops - scanned.counts.kept
    parts = _split(edges, placement)
    if not parts and not spec.relation:
        declared = (spec.source, relation, spec.target)
        parts = {declared: _adjacency(declared, edges, np.empty(0, np.int64), placement)}
    unique = {edge_type: _without_repeats(adjacency, spec) for edge_type, adjacency in parts.items()}
    kept = sum(adjacency.num_edges for adjacency in unique.values())
    counts = replace(scanned.counts, copied=copied, self_loop=self_loops, kept=kept, duplicate=len(edges.sources) - kept)
    return unique, counts


def _move(spec: EdgeTypeSpec, scanned: ScannedEdges, placement: Placement) -> _Moved:
    first, sources = placement.move(spec.source, scanned.sources)
    second, targets = placement.move(spec.target, scanned.targets[first])
    row = first[second]
    time = None if scanned.time is None else scanned.time[row]
    return _Moved(sources[second], targets, scanned.weight[row], time, scanned.name[row].astype(np.int64), scanned.names)


def _without_self_loops(edges: _Moved) -> tuple[_Moved, int]:
    chosen = edges.sources != edges.targets
    time = None if edges.time is None else edges.time[chosen]
    kept = _Moved(edges.sources[chosen], edges.targets[chosen], edges.weight[chosen], time, edges.name[chosen], edges.names)
    return kept, int((~chosen).sum())


def _turn(edges: _Moved, spec: EdgeTypeSpec, relation: str, taken: frozenset[str]) -> _Moved:
    """Turn the relations of ``inverse_of`` round and number the names that are left in alphabetical order."""
    said = [spec.inverse_of.get(name, name) for name in edges.names]
    final = [f"{relation}.{name}" if name in taken else name for name in said]
    names = sorted(set(final))
    place = {name: i for i, name in enumerate(names)}
    number = np.array([place[name] for name in final], np.int64)
    turned = np.array([name in spec.inverse_of for name in edges.names])[edges.name]
    return replace(
        edges,
        sources=np.where(turned, edges.targets, edges.sources),
        targets=np.where(turned, edges.sources, edges.targets),
        name=number[edges.name],
        names=tuple(names),
    )


def _split(edges: _Moved, placement: Placement) -> dict[EdgeType, Adjacency]:
    labels = placement.labels
    source_label = placement.label[edges.sources].astype(np.int64)
    key = (edges.name * len(labels) + source_label) * len(labels) + placement.label[edges.targets]
    indptr, order = group(key, len(edges.names) * len(labels) ** 2)
    parts = {}
    for k in np.flatnonzero(np.diff(indptr)).tolist():
        name, pair = divmod(k, len(labels) ** 2)
        edge_type = (labels[pair // len(labels)], edges.names[name], labels[pair % len(labels)])
        parts[edge_type] = _adjacency(edge_type, edges, order[indptr[k] : indptr[k + 1]], placement)
    return parts


def _adjacency(edge_type: EdgeType, edges: _Moved, rows: IntArray, placement: Placement) -> Adjacency:
    return Adjacency.from_edges(
        edge_type,
        placement.position[edges.sources[rows]],
        placement.position[edges.targets[rows]],
        edges.weight[rows],
        None if edges.time is None else edges.time[rows],
        num_sources=placement.num_nodes(edge_type[0]),
        num_targets=placement.num_nodes(edge_type[2]),
    )


def _without_repeats(adjacency: Adjacency, spec: EdgeTypeSpec) -> Adjacency:
    """One edge per key of the relation: of edges that became equal the latest (then heaviest) stays.

    Where the key holds properties that the snapshot does not carry, edges cannot be told to be equal, and all stay.
    """
    if not set(spec.edge_key) <= {spec.relation, spec.time}:
        return adjacency
    sources = adjacency.sources()
    repeats = (sources[1:] == sources[:-1]) & (adjacency.indices[1:] == adjacency.indices[:-1])
    if adjacency.time is not None and spec.time in spec.key:
        repeats &= adjacency.time[1:] == adjacency.time[:-1]
    if not repeats.any():
        return adjacency
    return adjacency.keep(np.append(~repeats, True))
