from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from kgrecall.graph.knowledge import Incidence, item_knowledge, knowledge_then
from kgrecall.graph.snapshot import GraphSnapshot

Take = Callable[..., GraphSnapshot]
Parts = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def by_name(snapshot: GraphSnapshot) -> dict[tuple[str, str], Incidence]:
    return {(incidence.name, incidence.label): incidence for incidence in item_knowledge(snapshot)}


def test_every_relation_of_items_has_items_as_rows(cinema: GraphSnapshot) -> None:
    found = by_name(cinema)
    assert set(found) == {
        ("HAS_GENRE", "Genre"),
        ("directed_by", "Topic"),
        ("influenced", "Movie"),
        ("made_in", "Topic"),
    }
    drama_scifi = found["HAS_GENRE", "Genre"].matrix
    assert drama_scifi.toarray().tolist() == [[0, 1], [0, 1], [1, 0], [0, 1]]
    assert drama_scifi.dtype == np.float32
    influenced = found["influenced", "Movie"]
    assert influenced.matrix.shape == (4, 4)
    assert influenced.matrix.todense().nonzero() == (np.array([0]), np.array([1]))


def test_a_relation_that_points_at_items_is_turned(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, _ = copy.deepcopy(cinema_parts)
    schema["edges"]["LISTS"] = {"source": "Topic", "target": "Movie", "properties": {"stars": "integer"}, "weight": "stars"}
    lists = [("t.uk", "dune", {"stars": 4}), ("t.scott", "alien", {"stars": 2})]
    found = by_name(take(schema, nodes, {"LISTS": lists}))
    assert set(found) == {("^LISTS", "Topic")}
    listed = found["^LISTS", "Topic"]
    assert listed.reverse
    assert listed.relation == "LISTS"
    assert listed.matrix.shape == (4, 5)
    assert listed.matrix.format == "csr"
    assert {(i, t): v for (i, t), v in np.ndenumerate(listed.matrix.toarray()) if v} == {(3, 4): 4.0, (0, 3): 2.0}


def test_relations_without_items_edges_or_with_users_are_left_out(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, edges = copy.deepcopy(cinema_parts)
    schema["edges"]["OWNED_BY"] = {"source": "Movie", "target": "User"}
    kept = {"OWNED_BY": [("dune", "ann", {})], "RELATED": edges["RELATED"], "RATED": edges["RATED"]}
    assert item_knowledge(take(schema, nodes, kept)) == ()


def test_dated_knowledge_is_that_of_the_time_of_the_last_event(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, edges = copy.deepcopy(cinema_parts)
    schema["edges"]["LISTS"] = {"source": "Movie", "target": "Topic", "properties": {"when": "time"}, "time": "when"}
    lists = [("dune", "t.uk", {"when": 10}), ("alien", "t.scott", {"when": 10**15})]
    snapshot = take(schema, nodes, {"LISTS": lists, "RATED": edges["RATED"]})
    events, then = snapshot.interactions(), knowledge_then(snapshot)
    assert events.time is not None
    assert 10 < events.time.max() < 10**15
    (listed,) = then(events)
    assert listed.matrix.nnz == 1
    assert then(events) is then(events)
    (whole,) = item_knowledge(snapshot)
    assert whole.matrix.nnz == 2
    nobody = events.take(np.zeros(0, np.int64))
    assert sum(part.matrix.nnz for part in then(nobody)) == 2


def test_knowledge_without_dates_is_the_same_at_any_time(cinema: GraphSnapshot) -> None:
    then, events = knowledge_then(cinema), cinema.interactions()
    assert then(events) is then(events.take(np.arange(1)))
    assert [part.name for part in then(events)] == [part.name for part in item_knowledge(cinema)]
