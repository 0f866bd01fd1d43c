"""The embedded store against a few dictionaries, through random sequences of calls; and random values through its columns."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kgrecall.schema import GraphSchema, PropertyType
from kgrecall.sources.tables import ARROW_TYPES
from kgrecall.store.base import WriteStats
from kgrecall.store.sqlite import SqliteStore

SCHEMA = GraphSchema.parse(
    {
        "nodes": {"User": {"role": "user", "properties": {"age": "integer", "name": "string"}}, "Item": {"role": "item"}},
        "edges": {
            "SEEN": {
                "role": "interaction",
                "source": "User",
                "target": "Item",
                "properties": {"time": "time", "weight": "number"},
                "key": ["time"],
                "time": "time",
            },
            "RATED": {
                "role": "interaction",
                "source": "User",
                "target": "Item",
                "properties": {"stars": "number", "time": "time"},
                "time": "time",
            },
            "FOLLOWS": {"role": "social", "source": "User", "target": "User"},
        },
    }
)

IDS = st.sampled_from(["a", "b", "c", "é", "\x00"])
TIMES = st.integers(0, 3)
MAYBE_TIMES = st.none() | TIMES
WEIGHTS = st.none() | st.sampled_from([0.0, 0.5, 1.0])
NODE_COLUMNS = st.sampled_from([(), ("age",), ("name",), ("age", "name")])
NODES = st.lists(st.tuples(IDS, st.none() | st.integers(0, 2), st.none() | st.sampled_from(["", "x"])), max_size=6)

Key = tuple[Any, ...]


class GraphMachine(RuleBasedStateMachine):
    """``nodes`` and ``edges`` are the model: key -> properties."""

    @initialize(on_disk=st.booleans())
    def open(self, on_disk: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = SqliteStore(Path(self.folder.name) / "graph.sqlite" if on_disk else ":memory:")
        self.on_disk = on_disk
        self.store.apply_schema(SCHEMA)
        self.nodes: dict[str, dict[str, dict[str, Any]]] = {label: {} for label in SCHEMA.nodes}
        self.edges: dict[str, dict[Key, dict[str, Any]]] = {relation: {} for relation in SCHEMA.edges}
        self.version = self.store.version()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    @rule(label=st.sampled_from(["User", "Item"]), records=NODES, names=NODE_COLUMNS)
    def upsert_nodes(self, label: str, records: list[tuple[Any, ...]], names: tuple[str, ...]) -> None:
        names = names if label == "User" else ()
        values = {"age": [r[1] for r in records], "name": [r[2] for r in records]}
        columns = {n: pa.array(values[n], ARROW_TYPES[SCHEMA.node(label).properties[n]]) for n in names}
        stats = self.store.upsert_nodes(label, pa.array([r[0] for r in records], pa.string()), columns)
        before = {key: dict(properties) for key, properties in self.nodes[label].items()}
        for i, (key, *_) in enumerate(records):
            empty = dict.fromkeys(SCHEMA.node(label).properties)
            self.nodes[label].setdefault(key, empty).update({n: values[n][i] for n in names})
        self.check_stats(stats, before, self.nodes[label], len(records))

    @rule(records=st.lists(st.tuples(IDS, IDS, TIMES, WEIGHTS), max_size=6), given_weight=st.booleans())
    def see(self, records: list[tuple[Any, ...]], given_weight: bool) -> None:
        columns = {"time": [r[2] for r in records]} | ({"weight": [r[3] for r in records]} if given_weight else {})
        self.upsert_edges("SEEN", records, columns)

    @rule(records=st.lists(st.tuples(IDS, IDS, MAYBE_TIMES, WEIGHTS), max_size=6), given_time=st.booleans())
    def rate(self, records: list[tuple[Any, ...]], given_time: bool) -> None:
        columns = {"stars": [r[3] for r in records]} | ({"time": [r[2] for r in records]} if given_time else {})
        self.upsert_edges("RATED", records, columns)

    @rule(records=st.lists(st.tuples(IDS, IDS), max_size=6))
    def follow(self, records: list[tuple[Any, ...]]) -> None:
        self.upsert_edges("FOLLOWS", records, {})

    def upsert_edges(self, relation: str, records: list[tuple[Any, ...]], columns: dict[str, list[Any]]) -> None:
        spec, held = SCHEMA.edge(relation), self.edges[relation]
        arrays = {n: pa.array(v, ARROW_TYPES[spec.properties[n]]) for n, v in columns.items()}
        ends = [pa.array([r[side] for r in records], pa.string()) for side in (0, 1)]
        stats = self.store.upsert_edges(relation, *ends, arrays)
        before = {key: dict(properties) for key, properties in held.items()}
        missing: tuple[list[int], list[int]] = ([], [])
        for i, (source, target, *_) in enumerate(records):
            no_source, no_target = source not in self.nodes[spec.source], target not in self.nodes[spec.target]
            missing[0].extend([i] if no_source else [])
            missing[1].extend([i] if no_target else [])
            if not (no_source or no_target):
                record = {n: columns[n][i] for n in columns}
                key = (source, target, *(record[k] for k in spec.edge_key))
                self.merge(held, key, record, dict.fromkeys(spec.properties), decides=relation == "RATED" and "time" in columns)
        assert (stats.missing_source.tolist(), stats.missing_target.tolist()) == missing
        self.check_stats(stats, before, held, len(records) - len(set(missing[0]) | set(missing[1])))

    @staticmethod
    def merge(held: dict[Key, Any], key: Key, record: dict[str, Any], empty: dict[str, Any], *, decides: bool) -> None:
        old = held.setdefault(key, empty)
        if decides and old["time"] is not None and (record["time"] is None or record["time"] < old["time"]):
            return
        old.update(record)

    def check_stats(self, stats: WriteStats, before: dict[Any, Any], after: dict[Any, Any], num_records: int) -> None:
        differing = sum(before.get(key) != properties for key, properties in after.items())
        assert (stats.written, stats.unchanged) == (differing, num_records - differing)
        assert (self.store.version() != self.version) == bool(differing)
        self.version = self.store.version()

    @rule(label=st.sampled_from(["User", "Item"]), keys=st.lists(IDS, max_size=3))
    def delete_nodes(self, label: str, keys: list[str]) -> None:
        gone = {key for key in keys if self.nodes[label].pop(key, None) is not None}
        for relation, held in self.edges.items():
            spec = SCHEMA.edge(relation)
            for key in list(held):
                if (spec.source == label and key[0] in gone) or (spec.target == label and key[1] in gone):
                    del held[key]
        assert self.store.delete_nodes(label, pa.array(keys, pa.string())) == len(gone)
        assert (self.store.version() != self.version) == bool(gone)
        self.version = self.store.version()

    @rule(relation=st.sampled_from(list(SCHEMA.edges)), pairs=st.lists(st.tuples(IDS, IDS), max_size=3))
    def delete_edges(self, relation: str, pairs: list[tuple[str, str]]) -> None:
        held = self.edges[relation]
        gone = [key for key in held if key[:2] in pairs]
        for key in gone:
            del held[key]
        ends = [pa.array([pair[side] for pair in pairs], pa.string()) for side in (0, 1)]
        assert self.store.delete_edges(relation, *ends) == len(gone)
        assert (self.store.version() != self.version) == bool(gone)
        self.version = self.store.version()

    @rule(relation=st.sampled_from(["SEEN", "RATED"]), keys=st.lists(IDS, max_size=3), limit=st.none() | st.integers(1, 3))
    def newest(self, relation: str, keys: list[str], limit: int | None) -> None:
        asked = pa.array(keys, pa.string())
        found = self.store.neighbors(relation, asked, limit=limit, newest_first=True)
        times = found.columns["time"].to_pylist()
        for i, key in enumerate(keys):
            rows = [(p["time"], k[1]) for k, p in self.edges[relation].items() if k[0] == key]
            rows.sort(key=lambda row: (-1 if row[0] is None else row[0]) * -1000 + ord(row[1]))
            here = slice(found.indptr[i], found.indptr[i + 1])
            assert list(zip(times[here], found.at(i), strict=True)) == rows[:limit]

    @rule(keys=st.lists(IDS, max_size=3))
    def walk_both_ways(self, keys: list[str]) -> None:
        asked = pa.array(keys, pa.string())
        follows = self.edges["FOLLOWS"]
        both = self.store.neighbors("FOLLOWS", asked, direction="both")
        back = self.store.neighbors("FOLLOWS", asked, direction="in")
        for i, key in enumerate(keys):
            incoming = [k[0] for k in follows if k[1] == key]
            outgoing = [k[1] for k in follows if k[0] == key and k[1] != key]
            assert back.at(i) == sorted(incoming)
            assert both.at(i) == sorted(incoming + outgoing)

    @rule()
    def reopen(self) -> None:
        if self.on_disk:
            self.store.close()
            self.store = SqliteStore(self.store.path)

    @rule()
    def apply_the_schema_again(self) -> None:
        self.store.apply_schema(SCHEMA)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "store"):
            return
        for label, spec in SCHEMA.nodes.items():
            found = [r for b in self.store.scan_nodes(label, list(spec.properties)) for r in b.to_pylist()]
            assert found == [{"id": key, **self.nodes[label][key]} for key in sorted(self.nodes[label])]
        for relation, edge in SCHEMA.edges.items():
            found = [r for b in self.store.scan_edges(relation, list(edge.properties)) for r in b.to_pylist()]
            expected = [{"source": k[0], "target": k[1], **p} for k, p in self.edges[relation].items()]
            assert sorted(map(repr, found)) == sorted(map(repr, expected))


GraphMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestAgainstDictionaries = GraphMachine.TestCase

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[PropertyType, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "integer": INTEGERS,
    "time": INTEGERS,
    "number": st.floats(allow_nan=False).map(lambda number: number + 0.0),  # SQLite knows no negative zero
    "boolean": st.booleans(),
    "strings": st.lists(TEXT, max_size=3),
    "numbers": st.lists(st.floats(width=32, allow_nan=False), max_size=3),
}


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_value_comes_back_from_nodes_and_edges(data: st.DataObject) -> None:
    kinds = {f"p_{kind}": kind for kind in VALUES}
    keys = data.draw(st.lists(TEXT, min_size=1, max_size=4, unique=True))
    drawn = {n: data.draw(st.lists(st.none() | VALUES[k], min_size=len(keys), max_size=len(keys))) for n, k in kinds.items()}
    columns = {n: pa.array(values, ARROW_TYPES[kinds[n]]) for n, values in drawn.items()}
    schema = GraphSchema.parse(
        {
            "nodes": {"U": {"role": "user"}, "I": {"role": "item", "properties": kinds}},
            "edges": {"E": {"source": "I", "target": "I", "properties": kinds}},
        }
    )
    store = SqliteStore(":memory:")
    store.apply_schema(schema)
    ids = pa.array(keys, pa.string())
    assert store.upsert_nodes("I", ids, columns).written == len(keys)
    assert store.upsert_nodes("I", ids, columns).written == 0
    assert store.upsert_edges("E", ids, ids, columns).written == len(keys)
    assert store.upsert_edges("E", ids, ids, columns).written == 0
    order = np.argsort(np.array([key.encode() for key in keys], object))
    for table in (store.scan_nodes("I", list(kinds)), store.scan_edges("E", list(kinds))):
        rows = sorted((r for b in table for r in b.to_pylist()), key=lambda r: (r.get("id") or r.get("source", "")).encode())
        for name, array in columns.items():
            expected = array.to_pylist()
            assert [repr(row[name]) for row in rows] == [repr(expected[i]) for i in order], name
    store.close()
