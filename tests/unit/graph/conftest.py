"""A hand-drawn cinema: three users, four movies, a genre, and an encyclopaedia that knows the movies by its own ids.

ann  rates alien 5 (day 1), brazil 3 (day 3), watches alien twice (days 1 and 2)
bob  rates brazil 4 (day 2), casablanca 2 (day 5)
cid  rates dune 1 (day 4)
ann follows bob (day 1), bob follows cid (day 6)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest

from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.schema import GraphSchema
from kgrecall.sources.tables import ARROW_TYPES
from kgrecall.store.sqlite import SqliteStore
from kgrecall.types import Progress, no_progress

DAY = 86_400_000
Nodes = Mapping[str, Mapping[str, Mapping[str, Any]]]
Edges = Mapping[str, Sequence[tuple[str, str, Mapping[str, Any]]]]

CINEMA: dict[str, Any] = {
    "nodes": {
        "User": {"role": "user"},
        "Movie": {"role": "item", "title": "title", "properties": {"title": "text", "plot": "text", "year": "integer"}},
        "Genre": {},
        "Topic": {"properties": {"name": "string"}},
    },
    "edges": {
        "RATED": {
            "role": "interaction",
            "source": "User",
            "target": "Movie",
            "properties": {"stars": "number", "at": "time"},
            "weight": "stars",
            "time": "at",
        },
        "WATCHED": {
            "role": "interaction",
            "source": "User",
            "target": "Movie",
            "properties": {"at": "time"},
            "time": "at",
            "key": ["at"],
            "strength": 0.5,
        },
        "FOLLOWS": {"role": "social", "source": "User", "target": "User", "properties": {"at": "time"}, "time": "at"},
        "HAS_GENRE": {"source": "Movie", "target": "Genre"},
        "SAME_AS": {"role": "identity", "source": "Movie", "target": "Topic"},
        "RELATED": {
            "source": "Topic",
            "target": "Topic",
            "properties": {"relation": "string"},
            "relation": "relation",
            "inverse_of": {"directed": "directed_by"},
        },
    },
}
CINEMA_NODES: Nodes = {
    "User": {"ann": {}, "bob": {}, "cid": {}},
    "Movie": {
        "alien": {"title": "Alien", "plot": "In space no one can hear you.", "year": 1979},
        "brazil": {"title": "Brazil", "year": 1985},
        "casablanca": {"plot": "A café owner meets his past."},
        "dune": {},
    },
    "Genre": {"scifi": {}, "drama": {}},
    "Topic": {"t.alien": {}, "t.brazil": {}, "t.gilliam": {"name": "Terry Gilliam"}, "t.scott": {}, "t.uk": {}},
}
CINEMA_EDGES: Edges = {
    "RATED": [
        ("ann", "alien", {"stars": 5.0, "at": 1 * DAY}),
        ("ann", "brazil", {"stars": 3.0, "at": 3 * DAY}),
        ("bob", "brazil", {"stars": 4.0, "at": 2 * DAY}),
        ("bob", "casablanca", {"stars": 2.0, "at": 5 * DAY}),
        ("cid", "dune", {"stars": 1.0, "at": 4 * DAY}),
    ],
    "WATCHED": [("ann", "alien", {"at": 1 * DAY}), ("ann", "alien", {"at": 2 * DAY})],
    "FOLLOWS": [("ann", "bob", {"at": 1 * DAY}), ("bob", "cid", {"at": 6 * DAY})],
    "HAS_GENRE": [("alien", "scifi", {}), ("brazil", "scifi", {}), ("casablanca", "drama", {}), ("dune", "scifi", {})],
    "SAME_AS": [("alien", "t.alien", {}), ("brazil", "t.brazil", {})],
    "RELATED": [
        ("t.alien", "t.scott", {"relation": "directed_by"}),
        ("t.scott", "t.alien", {"relation": "directed"}),  # the same fact, told backwards
        ("t.gilliam", "t.brazil", {"relation": "directed"}),
        ("t.gilliam", "t.uk", {"relation": "lives_in"}),
        ("t.alien", "t.brazil", {"relation": "influenced"}),
        ("t.brazil", "t.uk", {"relation": "made_in"}),
    ],
}

Take = Callable[..., GraphSnapshot]


def fill(store: SqliteStore, schema: GraphSchema, nodes: Nodes, edges: Edges) -> None:
    store.apply_schema(schema)
    for label, found in nodes.items():
        store.upsert_nodes(label, pa.array(list(found), pa.string()), _columns(schema.nodes[label].properties, found.values()))
    for name, found in edges.items():
        ends = [pa.array([edge[side] for edge in found], pa.string()) for side in (0, 1)]
        store.upsert_edges(name, *ends, _columns(schema.edges[name].properties, [edge[2] for edge in found]))


def _columns(kinds: Mapping[str, Any], rows: Any) -> dict[str, pa.Array]:
    return {name: pa.array([row.get(name) for row in rows], ARROW_TYPES[kind]) for name, kind in kinds.items()}


@pytest.fixture
def take() -> Take:
    """``take(schema, nodes, edges)``: the snapshot of an embedded store that holds them."""

    def build(schema: Mapping[str, Any], nodes: Nodes, edges: Edges, progress: Progress = no_progress) -> GraphSnapshot:
        parsed = GraphSchema.parse(dict(schema))
        store = SqliteStore(":memory:")
        try:
            fill(store, parsed, nodes, edges)
            return take_snapshot(store, parsed, progress=progress)
        finally:
            store.close()

    return build


@pytest.fixture
def cinema(take: Take) -> GraphSnapshot:
    return take(CINEMA, CINEMA_NODES, CINEMA_EDGES)


@pytest.fixture
def cinema_parts() -> tuple[dict[str, Any], Nodes, Edges]:
    """Schema, nodes and edges of the cinema, to be changed by a test."""
    return CINEMA, CINEMA_NODES, CINEMA_EDGES
