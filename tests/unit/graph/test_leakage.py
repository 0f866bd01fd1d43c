"""What training may see: nothing of valid or test, neither as an event nor through the other relations."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgrecall.graph.knowledge import item_knowledge
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.split import Split, split_by_time, split_last, split_random
from kgrecall.types import Interactions

Take = Callable[..., GraphSnapshot]
Event = tuple[int, int, float, int]
NUM_USERS, NUM_ITEMS, NUM_EVENTS = 12, 9, 150


def events_of(interactions: Interactions) -> list[Event]:
    time = np.zeros(len(interactions), np.int64) if interactions.time is None else interactions.time
    columns = (interactions.user_pos, interactions.item_pos, interactions.weight, time)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def pairs_of(interactions: Interactions) -> set[tuple[int, int]]:
    return set(zip(interactions.user_pos.tolist(), interactions.item_pos.tolist(), strict=True))


@pytest.fixture(scope="module")
def planted() -> dict[str, Any]:
    """Views and purchases of the same pairs; the future is told again by wishes (knowledge) and by recommendations (social)."""
    rng = np.random.default_rng(5)
    user, item = rng.integers(0, NUM_USERS, NUM_EVENTS), rng.integers(0, NUM_ITEMS, NUM_EVENTS)
    time = rng.integers(0, 40, NUM_EVENTS)  # many ties
    bought = rng.random(NUM_EVENTS) < 0.4
    rows = [(f"u{u:02d}", f"i{i}", {"at": int(t)}) for u, i, t in zip(user, item, time, strict=True)]
    timed = {"properties": {"at": "time"}, "time": "at", "key": ["at"]}
    event = {"role": "interaction", "source": "User", "target": "Item", **timed}
    schema = {
        "nodes": {"User": {"role": "user"}, "Item": {"role": "item"}},
        "edges": {
            "VIEWED": event,
            "BOUGHT": event | {"strength": 3.0},
            "WISHED_BY": {"source": "Item", "target": "User", **timed},
            "TOLD": {"role": "social", "source": "User", "target": "User", **timed},
            "LIKE": {"source": "Item", "target": "Item"},
        },
    }
    nodes = {"User": {f"u{u:02d}": {} for u in range(NUM_USERS)}, "Item": {f"i{i}": {} for i in range(NUM_ITEMS)}}
    edges = {
        "VIEWED": rows,
        "BOUGHT": [row for row, b in zip(rows, bought, strict=True) if b],
        "WISHED_BY": [(i, u, at) for u, i, at in rows],
        "TOLD": [(u, f"u{(int(u[1:]) + 1) % NUM_USERS:02d}", at) for u, _, at in rows],
        "LIKE": [("i0", "i1", {}), ("i2", "i3", {})],
    }
    return {"schema": schema, "nodes": nodes, "edges": edges}


@pytest.fixture
def graph(planted: dict[str, Any], take: Take) -> GraphSnapshot:
    return take(*copy.deepcopy(tuple(planted.values())))


def splits(interactions: Interactions) -> dict[str, Split]:
    return {
        "time": split_by_time(interactions, valid=0.2, test=0.2),
        "last": split_last(interactions, valid=2, test=2),
        "random": split_random(interactions, valid=0.2, test=0.2, seed=3),
    }


@pytest.mark.parametrize("kind", ["time", "last", "random"])
def test_the_cut_graph_holds_exactly_the_training_events(kind: str, graph: GraphSnapshot) -> None:
    split = splits(graph.interactions())[kind]
    seen = graph.with_interactions(split.train)
    assert events_of(seen.interactions()) == events_of(split.train)
    held_out = (pairs_of(split.valid) | pairs_of(split.test)) - pairs_of(split.train)
    assert held_out, "otherwise this test says nothing"
    for edges in seen.with_role("interaction").values():
        visible = set(zip(edges.sources().tolist(), edges.indices.tolist(), strict=True))
        assert not visible & held_out
        reverse = np.repeat(np.arange(edges.num_targets), np.diff(edges.rev_indptr)).tolist()
        assert not set(zip(edges.rev_indices.tolist(), reverse, strict=True)) & held_out


def test_after_a_cut_in_time_no_relation_tells_the_future(graph: GraphSnapshot) -> None:
    split = split_by_time(graph.interactions(), valid=0.2, test=0.2)
    assert split.train.time is not None
    assert split.valid.time is not None
    assert split.test.time is not None
    assert split.train.time.max() < split.valid.time.min() <= split.valid.time.max() < split.test.time.min()
    seen = graph.with_interactions(split.train)
    for edge_type, edges in seen.relations.items():
        whole = graph.relations[edge_type]
        if whole.time is not None:
            assert edges.time is not None
            assert 0 < edges.num_edges < whole.num_edges
            assert edges.time.max() < split.valid.time.min()
    wishes = seen.relation(("Item", "WISHED_BY", "User"))
    held_out = (pairs_of(split.valid) | pairs_of(split.test)) - pairs_of(split.train)
    assert not set(zip(wishes.indices.tolist(), wishes.sources().tolist(), strict=True)) & held_out
    assert seen.relation(("Item", "LIKE", "Item")).num_edges == 2, "what has no time is kept"


def test_the_planted_leak_is_there_before_the_cut(graph: GraphSnapshot) -> None:
    split = split_by_time(graph.interactions(), valid=0.2, test=0.2)
    wishes = graph.relation(("Item", "WISHED_BY", "User"))
    held_out = (pairs_of(split.valid) | pairs_of(split.test)) - pairs_of(split.train)
    assert set(zip(wishes.indices.tolist(), wishes.sources().tolist(), strict=True)) & held_out


def test_item_knowledge_never_holds_users(graph: GraphSnapshot) -> None:
    assert [incidence.relation for incidence in item_knowledge(graph)] == ["LIKE"]


def test_cut_at_keeps_what_happened_before(graph: GraphSnapshot) -> None:
    early = graph.cut_at(10)
    for edge_type, edges in graph.relations.items():
        kept = early.relations[edge_type]
        expected = edges.num_edges if edges.time is None else int((edges.time < 10).sum())
        assert kept.num_edges == expected
    assert early.fingerprint != graph.fingerprint
    assert early.vocabularies is graph.vocabularies


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(chosen=st.lists(st.booleans(), min_size=220, max_size=220), seed=st.integers(0, 9))
def test_any_part_in_any_order_is_found_again(chosen: list[bool], seed: int, graph: GraphSnapshot) -> None:
    events = graph.interactions()
    rows = np.flatnonzero(np.array(chosen)[: len(events)])
    part = events.take(np.random.default_rng(seed).permutation(rows))
    assert events_of(graph.with_interactions(part).interactions()) == events_of(part)
