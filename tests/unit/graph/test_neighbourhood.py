from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kgrecall.errors import ConfigError, SchemaError, UnknownId
from kgrecall.graph.neighbourhood import layout, to_networkx
from kgrecall.graph.snapshot import GraphSnapshot

DAY = 86_400_000
Take = Callable[..., GraphSnapshot]
Parts = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def edges(graph: Any) -> set[tuple[str, str, str]]:
    return {(source[1], relation, target[1]) for source, target, relation in graph.edges(keys=True)}


def test_one_hop_shows_edges_of_both_directions_as_stored(cinema: GraphSnapshot) -> None:
    graph = to_networkx(cinema, "Movie", "brazil")
    assert edges(graph) == {
        ("brazil", "HAS_GENRE", "scifi"),
        ("brazil", "directed_by", "t.gilliam"),
        ("brazil", "made_in", "t.uk"),
        ("alien", "influenced", "brazil"),
        ("ann", "RATED", "brazil"),
        ("bob", "RATED", "brazil"),
    }
    assert graph.nodes["Movie", "brazil"] == {"label": "Movie", "id": "brazil", "name": "Brazil", "distance": 0}
    assert graph.nodes["User", "ann"] == {"label": "User", "id": "ann", "name": None, "distance": 1}
    facts = graph.edges[("User", "bob"), ("Movie", "brazil"), "RATED"]
    assert facts == {"relation": "RATED", "weight": 4.0, "time": 2 * DAY}
    assert graph.edges[("Movie", "brazil"), ("Genre", "scifi"), "HAS_GENRE"]["time"] is None


def test_hops_reach_further_and_know_the_distance(cinema: GraphSnapshot) -> None:
    assert edges(to_networkx(cinema, "User", "cid", hops=0)) == set()
    far = to_networkx(cinema, "User", "cid", hops=3)
    distance = {node_id: facts["distance"] for (_, node_id), facts in far.nodes(data=True)}
    assert distance["cid"] == 0
    assert (distance["dune"], distance["bob"]) == (1, 1)
    assert (distance["scifi"], distance["casablanca"], distance["ann"]) == (2, 2, 2)
    assert (distance["alien"], distance["drama"]) == (3, 3)


def test_the_limit_keeps_the_heaviest_then_the_latest(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, _ = cinema_parts
    stars = {"alien": (2.0, 5), "brazil": (4.0, None), "casablanca": (4.0, 9), "dune": (1.0, 9)}
    rated = [("ann", movie, {"stars": weight, "at": at}) for movie, (weight, at) in stars.items()]
    snapshot = take(schema, nodes, {"RATED": rated})
    for limit, expected in ((1, {"casablanca"}), (2, {"casablanca", "brazil"}), (3, {"casablanca", "brazil", "alien"})):
        graph = to_networkx(snapshot, "User", "ann", limit=limit)
        assert {target for _, _, target in edges(graph)} == expected
    assert graph.edges[("User", "ann"), ("Movie", "brazil"), "RATED"]["time"] is None, "a missing time is shown as none"


def test_of_parallel_edges_the_heaviest_is_kept(cinema: GraphSnapshot) -> None:
    watched = to_networkx(cinema, "User", "ann").edges[("User", "ann"), ("Movie", "alien"), "WATCHED"]
    assert watched == {"relation": "WATCHED", "weight": 0.5, "time": 2 * DAY}


def test_layout_has_a_place_and_a_name_for_everything(cinema: GraphSnapshot) -> None:
    graph = to_networkx(cinema, "User", "ann", hops=3)
    drawn = layout(graph, seed=1)
    assert set(drawn.positions) == set(drawn.names) == set(graph.nodes)
    assert all(abs(value) <= 1.0001 for point in drawn.positions.values() for value in point)
    assert len(set(drawn.positions.values())) == len(graph)
    assert drawn.names["Movie", "alien"] == "Alien"
    assert drawn.names["Movie", "dune"] == "dune"
    assert drawn.relations[("User", "ann"), ("Movie", "alien")] == "RATED, WATCHED"
    assert layout(graph, seed=1) == drawn


def test_one_lonely_node_can_be_drawn(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, _ = cinema_parts
    graph = to_networkx(take(schema, nodes, {}), "Movie", "dune", hops=2)
    assert list(layout(graph).names.values()) == ["dune"]


def test_unknown_names_and_impossible_sizes_are_refused(cinema: GraphSnapshot) -> None:
    with pytest.raises(SchemaError, match="Did you mean 'Movie'"):
        to_networkx(cinema, "Movi", "dune")
    with pytest.raises(UnknownId, match="Did you mean 'dune'"):
        to_networkx(cinema, "Movie", "dunes")
    with pytest.raises(ConfigError, match="hops: expected 0 or more, got -1"):
        to_networkx(cinema, "Movie", "dune", hops=-1)
    with pytest.raises(ConfigError, match="limit: expected 1 or more, got 0"):
        to_networkx(cinema, "Movie", "dune", limit=0)
