"""Typed walks against a second implementation that writes down every path, edge by edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.walk import Hop, walk

USERS, ITEMS, TAGS = 4, 5, 4
SIZE = {"User": USERS, "Item": ITEMS, "Tag": TAGS}
HAS, TAGGED = ("User", "HAS", "Item"), ("Item", "TAGGED", "Tag")
weight = st.sampled_from([0.5, 1.0, 3.0])
has = st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), weight), max_size=12)
tagged = st.lists(st.tuples(st.integers(0, ITEMS - 1), st.integers(0, TAGS - 1), weight), max_size=12)
starts = st.dictionaries(st.integers(0, USERS - 1), weight, min_size=1)
Edge = tuple[int, int, float]
Route = tuple[tuple[tuple[str, str, str], bool], ...]
ROUTES: dict[str, Route] = {
    "attribute": ((HAS, False), (TAGGED, False), (TAGGED, True)),
    "neighbour": ((HAS, False), (HAS, True), (HAS, False)),
    "five steps": ((HAS, False), (TAGGED, False), (TAGGED, True), (HAS, True), (HAS, False)),
}


def enumerated(
    edges: dict[Any, list[Edge]], route: Route, start: dict[int, float], damped: bool, cap: int | None
) -> dict[int, float]:
    """Sum over all paths in which no edge is walked back on the very next step."""
    paths = [(node, value, None) for node, value in start.items()]
    for number, (edge_type, against) in enumerate(route):
        longer: list[tuple[int, float, Any]] = []
        for node, value, last in paths:
            around = [edge for edge in edges[edge_type] if edge[1 if against else 0] == node]
            factor = 1.0
            if number > 0:
                factor = 0.0 if cap is not None and len(around) > cap else 1.0
                factor = factor / np.log2(1 + len(around)) if damped and around else factor
            for place, edge in enumerate(edges[edge_type]):
                if edge in around and edge[1 if against else 0] == node and (edge_type, place) != last:
                    longer.append((edge[0 if against else 1], value * factor * edge[2], (edge_type, place)))
        paths = longer
    total: dict[int, float] = {}
    for node, value, _ in paths:
        if value > 0:
            total[node] = total.get(node, 0.0) + value
    return total


def adjacency(edge_type: tuple[str, str, str], edges: list[Edge]) -> Adjacency:
    source, target, value = (np.array([edge[c] for edge in edges]) for c in range(3))
    return Adjacency.from_edges(
        edge_type,
        source.astype(np.int64),
        target.astype(np.int64),
        value.astype(np.float32),
        None,
        num_sources=SIZE[edge_type[0]],
        num_targets=SIZE[edge_type[2]],
    )


@pytest.mark.parametrize("route", ROUTES.values(), ids=list(ROUTES))
@given(has=has, tagged=tagged, start=starts, damped=st.booleans(), cap=st.sampled_from([None, 2]))
def test_walks_add_up_as_the_enumerated_paths_do(
    route: Route, has: list[Edge], tagged: list[Edge], start: dict[int, float], damped: bool, cap: int | None
) -> None:
    edges = {HAS: has, TAGGED: tagged}
    graph = {edge_type: adjacency(edge_type, found) for edge_type, found in edges.items()}
    hops = [Hop.of(graph[edge_type], against=against, damped=damped, hub_cap=cap) for edge_type, against in route]
    nodes, values = walk(hops, np.array(list(start)), np.array(list(start.values())))
    expected = enumerated(edges, route, start, damped, cap)
    assert nodes.tolist() == sorted(expected)
    assert values.tolist() == pytest.approx([expected[node] for node in sorted(expected)], rel=1e-5)


def test_wide_and_narrow_targets_add_up_alike() -> None:
    """A small catalogue is summed densely, a large one by sorting: both must give the same."""
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 20, 300), rng.integers(0, 50, 300)
    value = rng.random(300).astype(np.float32)
    answers = []
    for num_targets in (50, 1_000_000):
        edges = Adjacency.from_edges(HAS, source, target, value, None, num_sources=20, num_targets=num_targets)
        hops = [Hop.of(edges), Hop.of(edges, against=True), Hop.of(edges)]
        answers.append(walk(hops, np.array([3, 1]), np.array([1.0, 2.0])))
    assert np.array_equal(answers[0][0], answers[1][0])
    assert np.allclose(answers[0][1], answers[1][1], rtol=1e-12)
