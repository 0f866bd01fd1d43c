"""Equal graphs have equal fingerprints, and any difference changes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.schema import GraphSchema
from kgrecall.sources.tables import EdgeBatch, NodeBatch, Origin
from kgrecall.store import open_store
from kgrecall.store.base import GraphStore
from kgrecall.store.fingerprint import fingerprint
from kgrecall.store.ingest import ingest

DATA = {
    "nodes": {"User": {"role": "user", "properties": {"age": "integer", "name": "string"}}, "Item": {"role": "item"}},
    "edges": {
        "SEEN": {
            "role": "interaction",
            "source": "User",
            "target": "Item",
            "properties": {"time": "time", "stars": "number"},
            "time": "time",
        }
    },
}
SCHEMA = GraphSchema.parse(DATA)


def ids(*values: str) -> pa.StringArray:
    return pa.array(values, pa.string())


@pytest.fixture
def store() -> GraphStore:
    store = open_store(":memory:")
    store.apply_schema(SCHEMA)
    store.upsert_nodes("User", ids("a", "b"), {"age": pa.array([1, 2])})
    store.upsert_nodes("Item", ids("x", "y"), {})
    store.upsert_edges("SEEN", ids("a", "b"), ids("x", "y"), {"time": pa.array([1, 2])})
    return store


def test_it_is_known_for_a_known_graph(store: GraphStore) -> None:
    """Stored fingerprints must stay comparable between versions."""
    assert fingerprint(store) == "3de1ab7c76e75dd4c7574dd0a66241cf5bcc091ed91fffbcecf077c416097224"


def test_it_does_not_depend_on_the_way(store: GraphStore, tmp_path: Path) -> None:
    other = open_store(tmp_path / "graph.sqlite")
    other.apply_schema(SCHEMA)
    other.upsert_nodes("Item", ids("z", "y", "x"), {})
    other.upsert_nodes("User", ids("b", "a"), {"age": pa.array([9, 1])})
    other.upsert_nodes("User", ids("b"), {"age": pa.array([2]), "name": pa.array([None], pa.string())})
    for user, item, time in (("b", "y", 2), ("b", "x", 3), ("a", "x", 1)):
        other.upsert_edges("SEEN", ids(user), ids(item), {"time": pa.array([time])})
    assert fingerprint(other) != fingerprint(store)
    other.delete_nodes("Item", ids("z"))
    other.delete_edges("SEEN", ids("b"), ids("x"))
    assert fingerprint(other) == fingerprint(store)


def test_a_declaration_alone_changes_nothing(store: GraphStore) -> None:
    before = fingerprint(store)
    data = {"nodes": {**DATA["nodes"], "Item": {"role": "item", "properties": {"title": "text"}}}, "edges": DATA["edges"]}
    store.apply_schema(GraphSchema.parse(data))
    assert fingerprint(store) == before
    store.upsert_nodes("Item", ids("x"), {"title": ids("")})
    assert fingerprint(store) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.upsert_nodes("User", ids("c"), {}),
        lambda store: store.upsert_nodes("Item", ids("a"), {}),
        lambda store: store.upsert_nodes("User", ids("a"), {"age": pa.array([3])}),
        lambda store: store.upsert_nodes("User", ids("a"), {"age": pa.array([None], pa.int64())}),
        lambda store: store.upsert_nodes("User", ids("a", "b"), {"age": pa.array([2, 1])}),
        lambda store: store.upsert_nodes("User", ids("a"), {"name": ids("1")}),
        lambda store: store.upsert_edges("SEEN", ids("a"), ids("y"), {}),
        lambda store: store.upsert_edges("SEEN", ids("a"), ids("x"), {"time": pa.array([5])}),
        lambda store: store.upsert_edges("SEEN", ids("a"), ids("x"), {"stars": pa.array([1.0])}),
        lambda store: store.delete_edges("SEEN", ids("a"), ids("x")),
        lambda store: store.delete_nodes("User", ids("a")),
    ],
)
def test_any_difference_shows(store: GraphStore, change: Callable[[GraphStore], object]) -> None:
    before = fingerprint(store)
    change(store)
    assert fingerprint(store) != before


EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 50)), max_size=30, unique_by=lambda e: e
)


@settings(deadline=None, max_examples=40)
@given(events=EVENTS, data=st.data())
def test_rows_in_any_order_and_any_cut_make_the_same_graph(events: list[tuple[str, str, int]], data: st.DataObject) -> None:
    """One edge per pair, several events per pair: event time decides, not the order in the file."""
    prints = set()
    for shuffle in range(2):
        store = open_store(":memory:")
        rows = data.draw(st.permutations(events)) if shuffle else events
        cut = data.draw(st.integers(1, 10))
        nodes = [
            NodeBatch(label, ids(*keys), {}, Origin(label, np.arange(1, 4)))
            for label, keys in (("User", "abc"), ("Item", "xyz"))
        ]
        batches = [edge_batch(rows[i : i + cut], i) for i in range(0, len(rows), cut)]
        reports = [ingest([*nodes, *batches], store, SCHEMA, write_rows=data.draw(st.integers(1, 20))) for _ in range(2)]
        assert [report.total.balanced for report in reports] == [True, True]
        assert reports[1].edges["SEEN"].written == 0
        prints.add(fingerprint(store))
        store.close()
    assert len(prints) == 1


def edge_batch(rows: list[tuple[str, str, int]], start: int) -> EdgeBatch:
    columns = {"time": pa.array([r[2] for r in rows], pa.int64()), "stars": pa.array([r[2] / 2 for r in rows], pa.float64())}
    origin = Origin("seen", np.arange(start + 1, start + len(rows) + 1))
    return EdgeBatch("SEEN", ids(*(r[0] for r in rows)), ids(*(r[1] for r in rows)), columns, origin)
