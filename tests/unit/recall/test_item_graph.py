from __future__ import annotations

import numpy as np
import pytest

from kgrecall.graph.knowledge import Incidence
from kgrecall.recall.base import Naming, QueryBatch
from kgrecall.recall.channels.attributes import AttributesChannel
from kgrecall.recall.channels.item_graph import ItemGraphConfig, build_item_graph, item_graph_space, people_of
from kgrecall.recall.channels.item_knn import ItemKnnConfig, build_item_knn
from kgrecall.types import Interactions


def ask(history: list[int]) -> QueryBatch:
    bounds, seen = np.array([0, len(history)]), np.array(sorted(history), np.int32)
    return QueryBatch(6, np.array([0]), bounds, np.array(history, np.int32), np.ones(len(history), np.float32), bounds, seen)


def test_people_are_a_relation_of_items(watched: Interactions, naming: Naming) -> None:
    people = people_of(watched, naming)
    assert (people.relation, people.label, people.reverse) == ("WATCHED", "User", True)
    assert people.matrix.toarray().tolist() == [[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_by_hand(watched: Interactions, incidences: tuple[Incidence, ...], naming: Naming) -> None:
    similarity, space = build_item_graph(
        watched, incidences, ItemGraphConfig(a=0, b=0, c=0, knowledge=0.5, weights={"HAS_GENRE": 4}), naming=naming
    )
    weights = similarity.toarray()
    assert weights[0, 4] == pytest.approx(1)  # Alien and Jaws: bob
    assert weights[0, 2] == pytest.approx(1 + 0.5)  # Alien and Blade Runner: bob, and the director
    assert weights[0, 1] == pytest.approx(1 + 2 + 0.5)  # Alien and Aliens: ann, the genre, and the sequel
    assert weights[3, 5] == pytest.approx(0.5)  # nobody watched either
    assert space.matrix.shape[1] == 2 + 2 + 1 + 2


def test_without_knowledge_it_is_item_knn_of_shared_users(watched: Interactions, naming: Naming) -> None:
    graph, _ = build_item_graph(watched, [], ItemGraphConfig(a=0, b=0.5, c=0.25), naming=naming)
    knn = build_item_knn(watched, ItemKnnConfig(a=0, b=0.5, c=0.25))
    np.testing.assert_allclose(graph.toarray(), knn.toarray(), rtol=1e-6)


def test_evidence_names_people_and_entities(watched: Interactions, incidences: tuple[Incidence, ...], naming: Naming) -> None:
    channel = AttributesChannel(*build_item_graph(watched, incidences, naming=naming), name="item_graph")
    reasons = channel.evidence(ask([0]), 2, limit=5)
    assert {reason.nodes[2] for reason in reasons} == {("User", 1), ("Person", 0)}
    assert channel.recall(ask([4]), 3).positions[0].tolist()[:1] != [-1]


def test_a_relation_of_weight_zero_is_left_out(
    watched: Interactions, incidences: tuple[Incidence, ...], naming: Naming
) -> None:
    space = item_graph_space(watched, incidences, ItemGraphConfig(knowledge=0), naming)
    assert {space.relations[r][0] for r in space.column_relation} == {"WATCHED"}
