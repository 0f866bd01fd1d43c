from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.walk import Hop, selectivity, walk

RATED = ("User", "RATED", "Movie")
GENRE = ("Movie", "HAS_GENRE", "Genre")


def reached(snapshot: GraphSnapshot, hops: list[Hop], starts: dict[str, float]) -> dict[str, float]:
    first, last = hops[0].ends[0], hops[-1].ends[1]
    positions = snapshot.vocabularies[first].positions(list(starts))
    nodes, values = walk(hops, positions, np.array(list(starts.values())))
    assert nodes.dtype == np.int64
    assert np.all(np.diff(nodes) > 0)
    return dict(zip(snapshot.vocabularies[last].ids_at(nodes), values.tolist(), strict=True))


def hop(snapshot: GraphSnapshot, edge_type: tuple[str, str, str], **options: Any) -> Hop:
    return Hop.of(snapshot.relation(edge_type), **options)


def test_one_hop_multiplies_by_the_weight(cinema: GraphSnapshot) -> None:
    assert reached(cinema, [hop(cinema, RATED)], {"ann": 2.0}) == {"alien": 10.0, "brazil": 6.0}
    assert reached(cinema, [hop(cinema, RATED, against=True)], {"brazil": 1.0}) == {"ann": 3.0, "bob": 4.0}


def test_own_items_do_not_come_back_over_the_edge_that_led_away(cinema: GraphSnapshot) -> None:
    hops = [hop(cinema, RATED), hop(cinema, GENRE), hop(cinema, GENRE, against=True)]
    assert reached(cinema, hops, {"ann": 1.0}) == {"alien": 3.0, "brazil": 5.0, "dune": 8.0}, "not alien 8, brazil 8"
    assert reached(cinema, hops, {"cid": 1.0}) == {"alien": 1.0, "brazil": 1.0}, "dune only by going back"
    assert reached(cinema, hops, {"bob": 1.0}) == {"alien": 4.0, "dune": 4.0}


def test_a_user_is_not_his_own_neighbour(cinema: GraphSnapshot) -> None:
    hops = [hop(cinema, RATED), hop(cinema, RATED, against=True), hop(cinema, RATED)]
    assert reached(cinema, hops, {"ann": 1.0}) == {"casablanca": 3.0 * 4.0 * 2.0}
    assert reached(cinema, hops, {"cid": 1.0}) == {}


def test_parallel_edges_are_different_edges(cinema: GraphSnapshot) -> None:
    watched = ("User", "WATCHED", "Movie")
    there_and_back = [hop(cinema, watched), hop(cinema, watched, against=True)]
    assert reached(cinema, there_and_back, {"ann": 1.0}) == {"ann": 2 * 0.5 * 0.5}, "out by one viewing, back by the other"


def test_hubs_are_not_walked_through(cinema: GraphSnapshot) -> None:
    def hops(cap: int) -> list[Hop]:
        return [hop(cinema, GENRE), hop(cinema, GENRE, against=True, hub_cap=cap)]

    assert reached(cinema, hops(3), {"alien": 1.0}) == {"brazil": 1.0, "dune": 1.0}
    assert reached(cinema, hops(2), {"alien": 1.0}) == {}


def test_damping_weighs_nodes_in_between_but_not_the_start(cinema: GraphSnapshot) -> None:
    hops = [hop(cinema, GENRE, damped=True), hop(cinema, GENRE, against=True, damped=True)]
    assert reached(cinema, hops, {"alien": 1.0}) == pytest.approx({"brazil": 0.5, "dune": 0.5})  # 1 / log2(1 + 3)


def test_a_hub_among_the_starts_is_still_walked_from(cinema: GraphSnapshot) -> None:
    assert reached(cinema, [hop(cinema, RATED, hub_cap=1)], {"ann": 1.0}) == {"alien": 5.0, "brazil": 3.0}


def test_selectivity() -> None:
    degree = np.array([0, 1, 3, 4])
    assert selectivity(degree, hub_cap=3, damped=True).tolist() == [0, 1, 0.5, 0]
    assert selectivity(degree, hub_cap=None, damped=False).tolist() == [0, 1, 1, 1]
    assert selectivity(degree, hub_cap=None, damped=True)[3] == pytest.approx(1 / math.log2(5))


def test_no_start_reaches_nothing(cinema: GraphSnapshot) -> None:
    hops = [hop(cinema, RATED), hop(cinema, RATED, against=True)]
    assert reached(cinema, hops, {}) == {}


def test_names_read_in_the_direction_of_the_walk(cinema: GraphSnapshot) -> None:
    assert hop(cinema, RATED).name == "RATED"
    assert hop(cinema, RATED, against=True).name == "^RATED"
    assert hop(cinema, RATED, against=True).ends == ("Movie", "User")


def test_hops_must_follow_each_other(cinema: GraphSnapshot) -> None:
    with pytest.raises(ConfigError, match=r"expected HAS_GENRE to begin at User, where \^RATED ends, got 'Movie'"):
        walk([hop(cinema, RATED, against=True), hop(cinema, GENRE)], np.array([0]), np.array([1.0]))
    with pytest.raises(ConfigError, match="one or more"):
        walk([], np.array([0]), np.array([1.0]))
