"""Which record stands when several have one key, under each policy; and how a change of the schema is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.errors import SchemaError, Unsupported
from kgrecall.schema import GraphSchema
from kgrecall.sources.tables import Batch, EdgeBatch, NodeBatch, Origin
from kgrecall.store.base import Keep, WriteStats
from kgrecall.store.drift import differences
from kgrecall.store.fingerprint import fingerprint
from kgrecall.store.ingest import ingest
from kgrecall.store.report import Tally
from kgrecall.store.sqlite import SqliteStore
from kgrecall.store.sqlite.conflict import rounds

DATA = {
    "nodes": {"User": {"role": "user", "properties": {"age": "integer", "name": "string"}}, "Item": {"role": "item"}},
    "edges": {
        "RATED": {
            "role": "interaction",
            "source": "User",
            "target": "Item",
            "properties": {"stars": "integer", "time": "time"},
            "time": "time",
        },
        "OWNS": {"source": "User", "target": "Item", "properties": {"n": "integer", "since": "integer"}},
        "LIKES": {"source": "User", "target": "Item"},
    },
}
SCHEMA = GraphSchema.parse(DATA)
Row = tuple[int | None, int | None]


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    store = new_store()
    yield store
    store.close()


def new_store() -> SqliteStore:
    store = SqliteStore(":memory:")
    store.apply_schema(SCHEMA)
    store.upsert_nodes("User", pa.array(["u"]), {})
    store.upsert_nodes("Item", pa.array(["i", "j"]), {})
    return store


def write(store: SqliteStore, relation: str, keep: Keep, rows: list[Row], item: str = "i") -> WriteStats:
    names = list(SCHEMA.edge(relation).properties)
    columns = {name: pa.array([row[c] for row in rows], pa.int64()) for c, name in enumerate(names)}
    ends = pa.array(["u"] * len(rows), pa.string()), pa.array([item] * len(rows), pa.string())
    return store.upsert_edges(relation, *ends, columns, keep=keep)


def stored(store: SqliteStore, relation: str) -> list[Any]:
    names = list(SCHEMA.edge(relation).properties)
    return [tuple(row[n] for n in names) for b in store.scan_edges(relation, names) for row in b.to_pylist()]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("relation", "keep", "rows", "result", "conflicts"),
    [
        # n, since: the order decides
        ("OWNS", "last", [(1, 5), (2, None)], (2, None), []),
        ("OWNS", "first", [(1, None), (2, 7), (3, 8)], (1, 7), []),
        ("OWNS", "error", [(1, None), (2, 7), (None, 8), (1, 8), (1, 9)], (1, 8), [1, 4]),
        ("OWNS", "error", [(1, 5), (1, 5)], (1, 5), []),
        # stars, time: the time decides
        ("RATED", "last", [(5, 30), (4, 20), (3, None)], (5, 30), []),
        ("RATED", "first", [(5, 30), (None, 20), (3, 40), (2, None), (1, 20)], (None, 20), []),
        ("RATED", "first", [(5, None), (4, 20)], (4, 20), []),
        ("RATED", "error", [(4, 20), (5, 30), (5, 30), (1, 10), (2, 30), (None, 30)], (5, 30), [4, 5]),
    ],
)
def test_one_pair(
    store: SqliteStore, relation: str, keep: Keep, rows: list[Row], result: Row, conflicts: list[int], at_once: bool
) -> None:
    if at_once:
        stats = write(store, relation, keep, rows)
        assert stats.conflicts.tolist() == conflicts
        assert stats.written + stats.unchanged + len(conflicts) == len(rows)
    else:
        found = [i for i, row in enumerate(rows) if len(write(store, relation, keep, [row]).conflicts)]
        assert found == conflicts
    assert stored(store, relation) == [result]


def test_nodes(store: SqliteStore) -> None:
    def put(keep: Keep, ages: list[int | None], names: list[str | None]) -> list[int]:
        columns = {"age": pa.array(ages, pa.int64()), "name": pa.array(names, pa.string())}
        return store.upsert_nodes("User", pa.array(["u"] * len(ages)), columns, keep=keep).conflicts.tolist()

    assert put("first", [None, 30, 31], [None, "a", "b"]) == []  # the node is there without properties
    assert put("error", [30, 31, None], ["a", "a", "c"]) == [1, 2]
    assert [b.to_pylist() for b in store.scan_nodes("User", ["age", "name"])] == [[{"id": "u", "age": 30, "name": "a"}]]
    assert put("last", [31], ["b"]) == []
    assert [b.to_pylist() for b in store.scan_nodes("User", ["age"])] == [[{"id": "u", "age": 31}]]


def test_a_bare_relation_has_nothing_to_contradict(store: SqliteStore) -> None:
    ends = pa.array(["u", "u"]), pa.array(["i", "i"])
    stats = store.upsert_edges("LIKES", *ends, {}, keep="error")
    assert (stats.written, stats.unchanged, len(stats.conflicts)) == (1, 1, 0)


ROWS = st.lists(st.tuples(st.none() | st.integers(0, 2), st.none() | st.integers(0, 2)), min_size=1, max_size=8)


@settings(deadline=None, max_examples=150)
@given(rows=ROWS, timed=st.booleans(), keep=st.sampled_from(["last", "first", "error"]), cut=st.integers(1, 8))
def test_against_one_record_at_a_time(rows: list[Row], timed: bool, keep: Keep, cut: int) -> None:
    """Any cut gives what the plain rule gives, record after record in the order of a batch (by time where that decides)."""
    store = new_store()
    relation = "RATED" if timed else "OWNS"
    model: Row | None = None
    for start in range(0, len(rows), cut):
        batch = rows[start : start + cut]
        order = sorted(range(len(batch)), key=lambda n: (-1 if batch[n][1] is None else batch[n][1]) if timed else 0)
        refused = []
        for n in order:
            model, fine = rule(model, batch[n], keep, timed)
            refused += [] if fine else [n]
        assert write(store, relation, keep, batch).conflicts.tolist() == sorted(refused)
    assert stored(store, relation) == [model]
    store.close()


def rule(old: Row | None, new: Row, keep: Keep, timed: bool) -> tuple[Row, bool]:
    """What stands after ``new`` came to ``old``, and whether it may be said."""
    if old is None:
        return new, True
    if timed and keep == "first":
        earlier = new[1] is not None and (old[1] is None or new[1] < old[1])
        return (new if earlier else old), True
    if timed:
        if keep == "error" and new[1] == old[1]:
            return old, new == old
        return (new if old[1] is None or (new[1] is not None and new[1] >= old[1]) else old), True
    if keep == "last":
        return new, True
    if keep == "error" and any(a is not None and b is not None and a != b for a, b in zip(old, new, strict=True)):
        return old, False
    filled = [b if a is None else a for a, b in zip(old, new, strict=True)]
    return (filled[0], filled[1]), True


def test_rounds_take_each_key_once() -> None:
    keys = [np.array([2, 1, 2, 2, 1, 3])]
    assert [turn.tolist() for turn in rounds(keys, None)] == [[1, 0, 5], [4, 2], [3]]
    assert [turn.tolist() for turn in rounds(keys, np.array([9, 0, 8, 7, 0, 0]))] == [[1, 3, 5], [4, 2], [0]]
    assert rounds([np.empty(0, np.int64)], None) == []


def batches(ages: list[int]) -> list[Batch]:
    origin = Origin("users.csv", np.arange(1, len(ages) + 1))
    users = NodeBatch("User", pa.array(["u"] * len(ages)), {"age": pa.array(ages)}, origin)
    items = NodeBatch("Item", pa.array(["i"]), {}, Origin("items.csv", np.array([1])))
    owns = EdgeBatch("OWNS", pa.array(["u", "u"]), pa.array(["i", "i"]), {"n": pa.array([1, 2])}, Origin("o", np.array([1, 2])))
    return [users, items, owns]


class TestImport:
    def test_contradictions_go_to_the_quarantine(self) -> None:
        store = SqliteStore(":memory:")
        for _ in range(2):
            report = ingest(batches([30, 31, 30]), store, SCHEMA, duplicates="error")
            assert report.nodes["User"].quarantined == 1
            assert report.edges["OWNS"].quarantined == 1
            assert report.reasons == {"contradiction": 2}
            assert report.total.balanced
        assert report.total.written == 0

    def test_the_first_stays(self) -> None:
        store = SqliteStore(":memory:")
        report = ingest(batches([30, 31]), store, SCHEMA, duplicates="first")
        assert report.nodes["User"] == Tally(2, 1, 1)
        assert [b.to_pylist() for b in store.scan_nodes("User", ["age"])] == [[{"id": "u", "age": 30}]]

    def test_a_resumed_import_tells_them_again(self, tmp_path: Any) -> None:
        def stop(stage: str, done: int, total: int | None) -> None:
            if done == 3:
                raise KeyboardInterrupt

        store = SqliteStore(tmp_path / "graph.sqlite")
        with pytest.raises(KeyboardInterrupt):
            ingest(batches([30, 31, 30]), store, SCHEMA, duplicates="error", progress=stop)
        before = fingerprint(store)
        report = ingest(batches([30, 31, 30]), store, SCHEMA, duplicates="error")
        assert report.nodes["User"] == Tally(3, 0, 2, 1)
        assert fingerprint(store) != before
        store.close()

    def test_a_store_without_the_ability_refuses(self) -> None:
        class Plain(SqliteStore):
            capabilities = frozenset[str]()

        with pytest.raises(Unsupported, match="keep"):
            ingest(batches([30]), Plain(":memory:"), SCHEMA, duplicates="first")


class TestDrift:
    def changed(self) -> GraphSchema:
        return GraphSchema.parse(
            {
                "nodes": {
                    "User": {"role": "user", "properties": {"age": "time", "city": "string"}, "title": "city"},
                    "Item": {"role": "item"},
                    "Shop": {},
                },
                "edges": {"OWNS": {**DATA["edges"]["OWNS"], "weight": "n"}, "LIKES": DATA["edges"]["LIKES"]},
            }
        )

    def test_every_difference_is_a_sentence(self) -> None:
        assert differences(SCHEMA, SCHEMA) == ()
        assert set(differences(SCHEMA, self.changed())) == {
            "The label Shop is new.",
            "The property User.city is new.",
            "The property User.name is gone; what the store holds of it stays, unseen.",
            "The type of User.age was 'integer' and is 'time'.",
            "The title of User was None and is 'city'.",
            "The relation RATED is gone; what the store holds of it stays, unseen.",
            "The weight of OWNS was None and is 'n'.",
        }

    def test_where_the_data_come_from_is_no_difference(self) -> None:
        files = [{"path": "u.csv", "nodes": [{"label": "User", "id": "id"}]}]
        assert differences(SCHEMA, GraphSchema.parse({**DATA, "files": files})) == ()

    def test_an_import_tells_or_stops(self) -> None:
        store = SqliteStore(":memory:")
        assert ingest(batches([30]), store, SCHEMA, drift="stop").drift == ()
        with pytest.raises(SchemaError, match="Shop is new"):
            ingest([], store, self.changed(), drift="stop")
        assert store.schema == SCHEMA
        report = ingest([], store, self.changed())
        assert len(report.drift) == 7
        assert str(report).startswith("The label Shop is new.")
        assert ingest([], store, self.changed(), drift="stop").drift == ()
        assert [b.to_pylist() for b in store.scan_nodes("User", ["age", "city"])] == [[{"id": "u", "age": 30, "city": None}]]
