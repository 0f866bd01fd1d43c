from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from kgrecall.graph.knowledge import Incidence
from kgrecall.recall.base import Naming, QueryBatch
from kgrecall.recall.channels.attributes import AttributesChannel, build_attribute_similarity
from kgrecall.recall.channels.item_knn import interaction_matrix
from kgrecall.recall.channels.neighbors import NeighborsChannel, NeighborsConfig
from kgrecall.recall.channels.node_space import NodeSpace, build_node_space
from kgrecall.types import Interactions

PLAIN = NeighborsConfig(history_norm=0, node_norm=0, item_norm=0)


def ask(history: list[int], user: int = -1, exclude: list[int] | None = None) -> QueryBatch:
    excluded = np.array(exclude or [], np.int32)
    return QueryBatch(
        num_items=6,
        user_pos=np.array([user]),
        history_indptr=np.array([0, len(history)]),
        history_pos=np.array(history, np.int32),
        history_weight=np.ones(len(history), np.float32),
        exclude_indptr=np.array([0, len(excluded)]),
        exclude_pos=excluded,
    )


def scores(channel: NeighborsChannel, query: QueryBatch) -> dict[int, float]:
    hits = channel.recall(query, 6)
    return {p: s for p, s in zip(hits.positions[0].tolist(), hits.scores[0].tolist(), strict=True) if p >= 0}


@pytest.fixture
def people(watched: Interactions, naming: Naming) -> NodeSpace:
    by_item = csr_array(interaction_matrix(watched).T)
    return build_node_space([Incidence("WATCHED", "User", by_item, reverse=True)], naming=naming)


def test_a_walk_counts_shared_nodes(space: NodeSpace) -> None:
    # from Alien: Blade Runner by director, Aliens by genre and as its sequel
    assert scores(NeighborsChannel(space, PLAIN), ask([0])) == {1: 2.0, 2: 1.0}


def test_an_item_is_not_its_own_neighbour_but_others_may_lead_to_it(space: NodeSpace) -> None:
    # Blade Runner and E.T. share a genre, E.T. and Jaws a director: each history item is reached from the others only
    assert scores(NeighborsChannel(space, PLAIN), ask([2, 3, 4])) == {0: 1.0, 2: 1.0, 3: 2.0, 4: 1.0, 5: 2.0}


def test_excluded_history_is_not_returned(space: NodeSpace) -> None:
    assert scores(NeighborsChannel(space, PLAIN), ask([2, 3, 4], exclude=[2, 3, 4])) == {0: 1.0, 5: 2.0}


def test_a_known_user_is_not_a_neighbour_of_itself(people: NodeSpace) -> None:
    channel = NeighborsChannel(people, PLAIN, num_users=3)
    assert scores(channel, ask([0], user=-1)) == {1: 1.0, 2: 1.0, 4: 1.0}
    assert scores(channel, ask([0], user=0)) == {2: 1.0, 4: 1.0}
    assert scores(channel, ask([0], user=2)) == {1: 1.0, 2: 1.0, 4: 1.0}  # eve has no column


def test_large_nodes_and_items_count_less(space: NodeSpace) -> None:
    # from Jaws by director: E.T. (2 columns) and the unseen film (1 column), director of 3
    found = scores(NeighborsChannel(space, NeighborsConfig(history_norm=1, node_norm=1, item_norm=1)), ask([4]))
    assert found == {5: pytest.approx(1 / 3), 3: pytest.approx(1 / 6)}


def test_the_beam_keeps_the_heaviest_nodes(space: NodeSpace) -> None:
    # Alien's nodes: director (2 films), genre (2), sequel (2): equal weights, so the first column stays
    assert scores(NeighborsChannel(space, NeighborsConfig(history_norm=0, node_norm=0, item_norm=0, beam=1)), ask([0])) == {
        2: 1.0
    }


def test_evidence_names_the_shared_node(space: NodeSpace) -> None:
    reasons = NeighborsChannel(space, PLAIN).evidence(ask([0, 4], user=1), 1, limit=5)
    assert [(r.nodes[1:], r.share) for r in reasons] == [
        ((("Film", 0), ("Genre", 0), ("Film", 1)), 0.5),
        ((("Film", 0), ("Film", 1)), 0.5),
    ]
    assert reasons[0].nodes[0] == ("User", 1)


def test_attribute_evidence_is_shared_out_by_degree(space: NodeSpace) -> None:
    channel = AttributesChannel(build_attribute_similarity(space), space)
    reasons = channel.evidence(ask([2, 4]), 3, limit=5)
    # E.T. shares a director of three films with Jaws (1 shared node), a genre of two with Blade Runner (2 shared nodes)
    director, genre = 3**-0.5 * 1**-0.5, 2**-0.5 * 2**-0.5
    assert [(r.nodes[2], r.share) for r in reasons] == [
        (("Person", 1), pytest.approx(director / (director + genre))),
        (("Genre", 1), pytest.approx(genre / (director + genre))),
    ]
    assert channel.evidence(ask([0]), 3, limit=5) == []
