"""Joining, turning and splitting against a second implementation that knows only sets of facts."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.graph.snapshot import take_snapshot
from kgrecall.schema import GraphSchema
from kgrecall.store.sqlite import SqliteStore

ITEMS, TOPICS, PAGES = ("i0", "i1", "i2"), ("t0", "t1", "t2", "t3"), ("p0", "p1")
INVERSE = {"made": "made_by", "above": "below"}
SCHEMA = GraphSchema.parse(
    {
        "nodes": {"User": {"role": "user"}, "Item": {"role": "item"}, "Topic": {}, "Page": {}},
        "edges": {
            "IS": {"role": "identity", "source": "Item", "target": "Topic"},
            "ON": {"role": "identity", "source": "Topic", "target": "Page"},
            "FACT": {
                "source": "Topic",
                "target": "Topic",
                "properties": {"relation": "string"},
                "relation": "relation",
                "inverse_of": INVERSE,
            },
            "CITES": {"source": "Page", "target": "Item"},
        },
    }
)

pairs = {
    "IS": st.sets(st.tuples(st.sampled_from(ITEMS), st.sampled_from(TOPICS)), max_size=4),
    "ON": st.sets(st.tuples(st.sampled_from(TOPICS), st.sampled_from(PAGES)), max_size=3),
    "CITES": st.sets(st.tuples(st.sampled_from(PAGES), st.sampled_from(ITEMS)), max_size=4),
    "FACT": st.sets(
        st.tuples(
            st.sampled_from(TOPICS),
            st.sampled_from(TOPICS),
            st.sampled_from(["made", "made_by", "above", "below", "near", "CITES"]),
        ),
        max_size=12,
    ),
}
Fact = tuple[str, str, str]
LABEL = {"i": "Item", "t": "Topic", "p": "Page"}


def becomes(node: str, identities: dict[str, set[str]]) -> set[str]:
    owners = identities.get(node, set())
    return set().union(*(becomes(owner, identities) for owner in owners)) if owners else {node}


def naive(edges: dict[str, set[Any]]) -> tuple[set[str], set[Fact]]:
    """The nodes that stay, and the facts (source, relation, target)."""
    identities: dict[str, set[str]] = {}
    for owner, node in edges["IS"] | edges["ON"]:
        identities.setdefault(node, set()).add(owner)
    told = {(page, "CITES", item) for page, item in edges["CITES"]}
    for source, target, relation in edges["FACT"]:
        if relation in INVERSE:
            told.add((target, INVERSE[relation], source))
        else:
            told.add((source, "FACT.CITES" if relation == "CITES" else relation, target))
    facts = {
        (source, relation, target)
        for first, relation, second in told
        for source in becomes(first, identities)
        for target in becomes(second, identities)
        if source != target
    }
    return {*ITEMS, *TOPICS, *PAGES} - set(identities), facts


def stored(edges: dict[str, set[Any]]) -> SqliteStore:
    store = SqliteStore(":memory:")
    store.apply_schema(SCHEMA)
    for label, ids in (("Item", ITEMS), ("Topic", TOPICS), ("Page", PAGES)):
        store.upsert_nodes(label, pa.array(ids), {})
    for name, found in edges.items():
        columns = [pa.array(column, pa.string()) for column in zip(*sorted(found), strict=True)] or [
            pa.array([], pa.string())
        ] * 3
        properties = {"relation": columns[2]} if name == "FACT" else {}
        store.upsert_edges(name, columns[0], columns[1], properties)
    return store


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(pairs))
def test_the_snapshot_tells_the_same_facts(edges: dict[str, set[Any]]) -> None:
    store = stored(edges)
    snapshot = take_snapshot(store, SCHEMA)
    store.close()
    nodes, facts = naive(edges)
    assert {node for ids in snapshot.vocabularies.values() for node in ids.ids.to_pylist()} == nodes
    told = []
    for (source_label, relation, target_label), found in snapshot.relations.items():
        sources = snapshot.vocabularies[source_label].ids_at(found.sources())
        targets = snapshot.vocabularies[target_label].ids_at(found.indices)
        assert {LABEL[node[0]] for node in sources} <= {source_label}
        assert {LABEL[node[0]] for node in targets} <= {target_label}
        told += [(source, relation, target) for source, target in zip(sources, targets, strict=True)]
    assert len(told) == len(set(told)), "no fact is told twice"
    assert set(told) == facts
    for name, count in snapshot.counts.items():
        assert count.read == len(edges[name])
        accounted = count.kept + count.duplicate + count.self_loop + count.not_positive + count.dangling
        assert count.read + count.copied == accounted
