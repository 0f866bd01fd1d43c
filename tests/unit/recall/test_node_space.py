from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from kgrecall.errors import ConfigError, ShapeError
from kgrecall.graph.knowledge import Incidence
from kgrecall.recall.base import Naming
from kgrecall.recall.channels.node_space import NodeSpace, NodeSpaceConfig, build_node_space


def owners(space: NodeSpace) -> list[tuple[str, int]]:
    relations = [space.relations[r][0] for r in space.column_relation]
    return list(zip(relations, space.column_node.tolist(), strict=True))


def test_only_shared_nodes_have_a_column(space: NodeSpace) -> None:
    assert owners(space) == [
        ("film.film.directed_by", 0),
        ("film.film.directed_by", 1),
        ("HAS_GENRE", 0),
        ("HAS_GENRE", 1),
        ("sequel", 0),
    ]
    assert space.matrix.toarray()[:, 4].tolist() == [1, 1, 0, 0, 0, 0]  # the edge Alien -> Aliens


def test_weights_multiply_what_two_items_share(incidences: tuple[Incidence, ...], naming: Naming) -> None:
    space = build_node_space(incidences, NodeSpaceConfig(weights={"HAS_GENRE": 9, "sequel": 0}), naming)
    assert {relation for relation, _ in owners(space)} == {"film.film.directed_by", "HAS_GENRE"}
    shared = (space.matrix @ space.matrix.T).toarray()
    assert shared[0, 1] == pytest.approx(9)
    assert shared[0, 2] == pytest.approx(1)


def test_hubs_are_left_out() -> None:
    matrix = csr_array(np.concatenate([np.ones((40, 1)), np.repeat(np.eye(20), 2, axis=0)], axis=1).astype(np.float32))
    tag = Incidence("TAGGED", "Tag", matrix, reverse=False)
    assert len(build_node_space([tag], NodeSpaceConfig(hub_share=0.5, hub_floor=2)).column_node) == 20
    assert len(build_node_space([tag], NodeSpaceConfig(hub_share=0.5, hub_floor=40)).column_node) == 21
    kept = NodeSpaceConfig(hub_share=0.5, hub_floor=2, never_hubs=("TAGGED",))
    assert len(build_node_space([tag], kept).column_node) == 21


def test_a_walk_says_which_way_the_edges_point(space: NodeSpace) -> None:
    shared = space.walk(1, 0, 0, 2, 0.5)
    assert shared.nodes == (("User", 1), ("Film", 0), ("Person", 0), ("Film", 2))
    assert shared.relations == ("WATCHED", "film.film.directed_by", "^film.film.directed_by")
    assert space.walk(1, 0, 4, 1, 1.0).relations == ("WATCHED", "sequel")
    assert space.walk(1, 1, 4, 0, 1.0).relations == ("WATCHED", "^sequel")


def test_a_reversed_relation_is_walked_the_other_way_round() -> None:
    directed = Incidence("DIRECTED", "Person", csr_array(np.ones((2, 1), np.float32)), reverse=True)
    assert build_node_space([directed]).walk(-1, 0, 0, 1, 1.0).relations == ("INTERACTED", "^DIRECTED", "DIRECTED")


def test_the_column_of_a_user(space: NodeSpace, naming: Naming) -> None:
    people = Incidence("WATCHED", "User", csr_array(np.array([[1, 0, 1], [1, 0, 1]], np.float32)), reverse=True)
    assert build_node_space([people], naming=naming).column_of("User", 3).tolist() == [0, -1, 1]
    assert space.column_of("User", 3).tolist() == [-1, -1, -1]
    with pytest.raises(ShapeError, match="at least 3, got 2"):
        build_node_space([people], naming=naming).column_of("User", 2)


def test_nothing_known_about_items() -> None:
    assert build_node_space([]).matrix.shape == (0, 0)
    nothing = Incidence("R", "N", csr_array((3, 2), dtype=np.float32), reverse=False)
    assert build_node_space([nothing]).matrix.shape == (3, 0)


def test_a_weight_for_an_unknown_relation_names_the_nearest(incidences: tuple[Incidence, ...]) -> None:
    with pytest.raises(ConfigError, match=r"HAS_GENR.*Did you mean 'HAS_GENRE'"):
        build_node_space(incidences, NodeSpaceConfig(weights={"HAS_GENR": 1}))


def test_incidences_of_different_catalogues_are_refused(incidences: tuple[Incidence, ...]) -> None:
    other = Incidence("R", "N", csr_array((3, 2), dtype=np.float32), reverse=False)
    with pytest.raises(ShapeError, match=r"\[3, 6\] rows"):
        build_node_space([*incidences, other])
