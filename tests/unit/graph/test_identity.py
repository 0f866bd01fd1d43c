from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kgrecall.errors import SchemaError
from kgrecall.graph.scan import EdgeCounts
from kgrecall.graph.snapshot import GraphSnapshot

Take = Callable[..., GraphSnapshot]

NODES: dict[str, Any] = {
    "User": {"u": {}},
    "Item": {"i1": {}, "i2": {}, "i3": {}},
    "Topic": {"t1": {}, "t2": {}, "t3": {}},
    "Page": {"p1": {}, "p2": {}},
}


def schema(**edges: dict[str, Any]) -> dict[str, Any]:
    return {"nodes": {"User": {"role": "user"}, "Item": {"role": "item"}, "Topic": {}, "Page": {}}, "edges": edges}


def same(source: str, target: str) -> dict[str, Any]:
    return {"role": "identity", "source": source, "target": target}


def pairs(*ends: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [(*end.split("-"), {}) for end in ends]  # type: ignore[misc]


def ends(snapshot: GraphSnapshot, source: str, relation: str, target: str) -> list[str]:
    edges = snapshot.relation((source, relation, target))
    left = snapshot.vocabularies[source].ids_at(edges.sources())
    right = snapshot.vocabularies[target].ids_at(edges.indices)
    return [f"{a}-{b}" for a, b in zip(left, right, strict=True)]


def ids(snapshot: GraphSnapshot, label: str) -> list[str]:
    found: list[str] = snapshot.vocabularies[label].ids.to_pylist()
    return found


LINKS = {"source": "Topic", "target": "Topic"}


def test_an_item_takes_over_the_edges_of_all_its_topics(take: Take) -> None:
    edges = {"IS": pairs("i1-t1", "i1-t2"), "LINKS": pairs("t1-t3", "t2-t3", "t3-t2", "t1-t2")}
    snapshot = take(schema(IS=same("Item", "Topic"), LINKS=LINKS), NODES, edges)
    assert ids(snapshot, "Topic") == ["t3"]
    assert ends(snapshot, "Item", "LINKS", "Topic") == ["i1-t3"]
    assert ends(snapshot, "Topic", "LINKS", "Item") == ["t3-i1"]
    assert snapshot.counts["LINKS"] == EdgeCounts(read=4, kept=2, duplicate=1, self_loop=1)


def test_a_topic_of_two_items_gives_its_edges_to_both(take: Take) -> None:
    edges = {"IS": pairs("i1-t1", "i3-t1"), "LINKS": pairs("t1-t2", "t3-t1")}
    snapshot = take(schema(IS=same("Item", "Topic"), LINKS=LINKS), NODES, edges)
    assert ends(snapshot, "Item", "LINKS", "Topic") == ["i1-t2", "i3-t2"]
    assert ends(snapshot, "Topic", "LINKS", "Item") == ["t3-i1", "t3-i3"]
    assert snapshot.counts["LINKS"] == EdgeCounts(read=2, copied=2, kept=4)


def test_items_stay_whichever_way_the_identity_points(take: Take) -> None:
    edges = {"IS": pairs("t1-i1"), "LINKS": pairs("t1-t2")}
    snapshot = take(schema(IS=same("Topic", "Item"), LINKS=LINKS), NODES, edges)
    assert ids(snapshot, "Item") == ["i1", "i2", "i3"]
    assert ends(snapshot, "Item", "LINKS", "Topic") == ["i1-t2"]


def test_chains_are_followed_to_their_end(take: Take) -> None:
    described = schema(IS=same("Item", "Topic"), ON=same("Topic", "Page"), CITES={"source": "Page", "target": "Page"})
    edges = {"IS": pairs("i1-t1"), "ON": pairs("t1-p1", "t2-p2"), "CITES": pairs("p1-p2")}
    snapshot = take(described, NODES, edges)
    assert ids(snapshot, "Page") == []
    assert ids(snapshot, "Topic") == ["t2", "t3"]
    assert ends(snapshot, "Item", "CITES", "Topic") == ["i1-t2"]


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ({"IS": same("User", "Item")}, r"edges.IS: expected an identity between two labels .* got \('User', 'Item'\)"),
        ({"IS": same("Topic", "Topic")}, r"got \('Topic', 'Topic'\)"),
    ],
)
def test_identities_that_would_merge_users_items_or_one_label_are_refused(
    edges: dict[str, Any], message: str, take: Take
) -> None:
    with pytest.raises(SchemaError, match=message):
        take(schema(**edges), NODES, {})


def test_a_ring_of_identities_is_refused(take: Take) -> None:
    described = schema(A=same("Topic", "Page"), B=same("Page", "Topic"))
    with pytest.raises(SchemaError, match="got a ring"):
        take(described, NODES, {"A": pairs("t1-p1"), "B": pairs("p1-t1")})
