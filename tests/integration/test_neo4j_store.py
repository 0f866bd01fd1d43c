"""What a real Neo4j server makes of the store's statements, beside what the contract asks of every store."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgrecall.errors import ConstraintViolated, NotBuilt, SchemaError, StoreConflict
from kgrecall.graph.snapshot import take_snapshot
from kgrecall.jobs.build import build
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.serve import load_engine
from kgrecall.schema import GraphSchema
from kgrecall.sources.reader import read_tables
from kgrecall.sources.sample_shop import write_sample_shop
from kgrecall.store import open_store
from kgrecall.store.base import GraphStore
from kgrecall.store.ingest import ingest
from kgrecall.store.neo4j import Neo4jStore
from kgrecall.store.neo4j import statements as statements
from kgrecall.store.neo4j.connection import Neo4jConfig, Run
from kgrecall.store.neo4j.edges import EdgeRecords, EdgeWrite, Ends, Lanes, Pairs
from kgrecall.store.neo4j.indexes import apply_indexes, shipped_indexes
from kgrecall.store.neo4j.ledger import Ledger
from kgrecall.store.neo4j.server import LocalServer
from kgrecall.types import IntArray, Query

pytestmark = pytest.mark.neo4j
Cypher = Callable[..., list[list[object]]]
MAPPINGS = Path(__file__).parents[2] / "graph_schema" / "mappings"

SCHEMA = GraphSchema.parse(
    {
        "nodes": {
            "User": {"role": "user", "properties": {"age": "integer"}},
            "Item": {"role": "item", "title": "title", "properties": {"title": "text", "tags": "strings"}},
        },
        "edges": {
            "SEEN": {
                "role": "interaction",
                "source": "User",
                "target": "Item",
                "properties": {"time": "time", "weight": "number"},
                "key": ["time"],
                "time": "time",
                "weight": "weight",
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


def ids(values: list[str]) -> pa.StringArray:
    return pa.array(values, pa.string())


def content(store: GraphStore) -> list[object]:
    """Everything in it, in an order of its own."""
    found: list[object] = []
    for label, node in SCHEMA.nodes.items():
        found.append([row for batch in store.scan_nodes(label, list(node.properties)) for row in batch.to_pylist()])
    for name, edge in SCHEMA.edges.items():
        rows = [row for batch in store.scan_edges(name, list(edge.properties)) for row in batch.to_pylist()]
        found.append(sorted(rows, key=repr))
    return found


@pytest.fixture
def store(neo4j_store: Neo4jStore) -> Neo4jStore:
    neo4j_store.apply_schema(SCHEMA)
    return neo4j_store


@pytest.fixture
def memory() -> Iterator[GraphStore]:
    store = open_store(":memory:")
    store.apply_schema(SCHEMA)
    yield store
    store.close()


class TestPlans:
    @pytest.fixture
    def operators(self, store: Neo4jStore, empty_neo4j: LocalServer) -> Callable[[str], list[str]]:
        import neo4j

        def plan(statement: str) -> list[str]:
            names = set(re.findall(r"\$(\w+)", statement))
            parameters = {name: 1 if name in {"lane", "number", "seq", "limit"} else [] for name in names}
            login = (empty_neo4j.user, empty_neo4j.password)
            with neo4j.GraphDatabase.driver(empty_neo4j.uri, auth=login, notifications_min_severity="OFF") as driver:
                return list(_walk(driver.execute_query(f"EXPLAIN {statement}", parameters).summary.plan))

        return plan

    def test_no_write_holds_all_its_rows_back(self, operators: Callable[[str], list[str]]) -> None:
        """A deletion may hold back the one row that names all it deletes."""
        for statement in statements.all_writes(SCHEMA):
            found = operators(statement)
            if "Eager" in found:
                assert "DELETE" in statement, statement
                assert found[found.index("Eager") + 1] == "EagerAggregation", statement

    def test_the_check_sees_an_eager_plan(self, operators: Callable[[str], list[str]]) -> None:
        assert "Eager" in operators("UNWIND $rows AS id MATCH (u:User {id: id}) CREATE (:User {id: u.id + 'x'})")

    def test_every_lookup_uses_the_index(self, operators: Callable[[str], list[str]]) -> None:
        spec = SCHEMA.edge("SEEN")
        reads = [
            statements.compare_nodes("User", ["age"]),
            statements.compare_pairs("SEEN", spec, ["time", "weight"]),
            statements.find_targets(spec),
            statements.read_sources("SEEN", ["time", "weight"]),
            statements.neighbors("SEEN", spec, direction="in", limited=True, newest_first=True),
        ]
        for statement in [*statements.all_writes(SCHEMA), *reads]:
            assert not {"AllNodesScan", "NodeByLabelScan", "CartesianProduct"} & set(operators(statement)), statement

    def test_nodes_come_sorted_from_the_index(self, operators: Callable[[str], list[str]]) -> None:
        assert not {"Sort", "Top"} & set(operators(statements.scan_nodes("User", ["age"])))

    def test_counting_reads_no_edge(self, operators: Callable[[str], list[str]]) -> None:
        assert "RelationshipCountFromCountStore" in operators(statements.count_edges("SEEN", SCHEMA.edge("SEEN")))


def _walk(plan: dict[str, object]) -> Iterator[str]:
    yield str(plan["operatorType"]).partition("@")[0]
    for child in plan.get("children", []):  # type: ignore[attr-defined]
        yield from _walk(child)


class TestConstraints:
    @pytest.fixture(autouse=True)
    def _without(self, empty_neo4j: LocalServer, cypher: Cypher) -> Iterator[None]:
        _drop_constraints(cypher)
        yield
        _drop_constraints(cypher)

    def test_applying_a_schema_makes_them_once(self, neo4j_store: Neo4jStore, cypher: Cypher) -> None:
        neo4j_store.apply_schema(SCHEMA)
        neo4j_store.apply_schema(SCHEMA)
        labels = sorted(str(row[0][0]) for row in cypher("SHOW CONSTRAINTS YIELD labelsOrTypes"))  # type: ignore[index]
        assert labels == ["Item", "User", "_KGRecall", "_KGRecallLane"]
        assert {row[0] for row in cypher("SHOW INDEXES YIELD state")} == {"ONLINE"}

    def test_without_them_nothing_is_imported(self, store: Neo4jStore, cypher: Cypher) -> None:
        _drop_constraints(cypher)
        for write in (
            lambda: store.upsert_nodes("User", ids(["u"]), {}),
            lambda: store.upsert_edges("SEEN", ids(["u"]), ids(["i"]), {"time": pa.array([1])}),
        ):
            with pytest.raises(NotBuilt, match=r"uniqueness constraint on id of .*apply_schema"):
                write()
        assert cypher("MATCH (n:User) RETURN count(n)") == [[0]]

    def test_doubled_nodes_are_shown(self, neo4j_store: Neo4jStore, cypher: Cypher) -> None:
        cypher("UNWIND ['a', 'a', 'a', 'b', 'c', 'c'] AS id CREATE (:User {id: id})")
        with pytest.raises(ConstraintViolated, match=r"'a' \(3 nodes\).*'c' \(2 nodes\).*Merge or delete"):
            neo4j_store.apply_schema(SCHEMA)
        with pytest.raises(NotBuilt):
            neo4j_store.schema  # noqa: B018

    def test_nodes_of_another_program_that_fit_are_taken_in(self, neo4j_store: Neo4jStore, cypher: Cypher) -> None:
        cypher("CREATE (:User {id: 'old', age: 5})-[:SEEN {time: 3}]->(:Item {id: 'thing'}), (:User {name: 'no id'})")
        neo4j_store.apply_schema(SCHEMA)
        assert neo4j_store.upsert_nodes("User", ids(["old"]), {"age": pa.array([5])}).unchanged == 1
        stats = neo4j_store.upsert_edges("SEEN", ids(["old"]), ids(["thing"]), {"time": pa.array([3])})
        assert (stats.written, stats.unchanged) == (0, 1)
        assert [batch.to_pylist() for batch in neo4j_store.scan_nodes("User", ["age"])] == [[{"id": "old", "age": 5}]]


def _drop_constraints(cypher: Cypher) -> None:
    for (name,) in cypher("SHOW CONSTRAINTS YIELD name"):
        cypher(f"DROP CONSTRAINT `{name}`")


class TestSchemaChanges:
    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            (("edges", "FOLLOWS", "target"), "Item", "relation FOLLOWS"),
            (("edges", "SEEN", "key"), [], "relation SEEN"),
            (("nodes", "User", "properties", "age"), "string", "User.age"),
            (("edges", "RATED", "properties", "stars"), "integer", "RATED.stars"),
        ],
    )
    def test_what_contradicts_the_data_is_refused(
        self, store: Neo4jStore, path: tuple[str, ...], value: object, message: str
    ) -> None:
        data = SCHEMA.model_dump()
        *parents, last = path
        place = data
        for key in parents:
            place = place[key]
        place[last] = value
        if message == "relation FOLLOWS":
            data["edges"]["FOLLOWS"]["role"] = "knowledge"
        with pytest.raises(SchemaError, match=message):
            store.apply_schema(GraphSchema.parse(data))
        assert store.schema == SCHEMA

    def test_values_of_another_type_are_named(self, store: Neo4jStore, cypher: Cypher) -> None:
        cypher("CREATE (:User {id: 'u', age: 'old'}), (:Item {id: 7})")
        with pytest.raises(SchemaError, match=r"User\.age.*integer"):
            list(store.scan_nodes("User", ["age"]))
        with pytest.raises(SchemaError, match=r"Item\.id"):
            list(store.scan_nodes("Item", []))


class TestHostileValues:
    VALUES = ("`", "'", '"', "//", "/* */", "\\u0060", "\\", "}) DETACH DELETE n //", "' OR 1=1 --", "$id[0]", "🎬\x00\n")

    def test_values_stay_values_and_the_canary_lives(self, store: Neo4jStore, cypher: Cypher) -> None:
        cypher("CREATE (:Canary {id: 'alive'})")
        values = list(self.VALUES)
        store.upsert_nodes("User", ids(values), {})
        tags = pa.array([[value, value] for value in values], pa.list_(pa.string()))
        store.upsert_nodes("Item", ids(values), {"title": ids(values), "tags": tags})
        times = pa.array(range(len(values)))
        assert store.upsert_edges("SEEN", ids(values), ids(values[::-1]), {"time": times}).written == len(values)
        read = [row for batch in store.scan_nodes("Item", ["title", "tags"]) for row in batch.to_pylist()]
        assert {row["id"]: (row["title"], row["tags"]) for row in read} == {v: (v, [v, v]) for v in values}
        found = store.neighbors("SEEN", ids(values))
        assert [found.at(i) for i in range(len(found))] == [[value] for value in values[::-1]]
        store.delete_edges("SEEN", ids(values), ids(values))
        assert store.delete_nodes("User", ids(values)) == len(values)
        assert cypher("MATCH (n:Canary) RETURN n.id") == [["alive"]]

    def test_an_id_beyond_the_index_is_named(self, store: Neo4jStore) -> None:
        with pytest.raises(ConstraintViolated, match="Shorten the id"):
            store.upsert_nodes("User", ids(["x" * 40_000]), {})
        assert store.count_nodes("User") == 0


IDS = st.sampled_from(["a", "b", "c", "\U0001f3ac", "\uffff", ""])
TIMES = st.none() | st.integers(0, 3)
STEPS = st.one_of(
    st.tuples(st.just("user"), st.lists(st.tuples(IDS, TIMES), min_size=1, max_size=5)),
    st.tuples(st.just("item"), st.lists(st.tuples(IDS, TIMES), min_size=1, max_size=5)),
    st.tuples(st.just("SEEN"), st.lists(st.tuples(IDS, IDS, st.integers(0, 2), TIMES), min_size=1, max_size=6)),
    st.tuples(st.just("RATED"), st.lists(st.tuples(IDS, IDS, st.integers(0, 2), TIMES), min_size=1, max_size=6)),
    st.tuples(st.just("FOLLOWS"), st.lists(st.tuples(IDS, IDS), min_size=1, max_size=6)),
    st.tuples(st.just("forget"), st.lists(st.tuples(IDS), min_size=1, max_size=2)),
    st.tuples(st.just("unfollow"), st.lists(st.tuples(IDS, IDS), min_size=1, max_size=3)),
)


class TestParity:
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps=st.lists(STEPS, min_size=1, max_size=8))
    def test_random_calls_leave_the_same_graph_as_in_the_embedded_store(self, cypher: Cypher, store: Neo4jStore, steps) -> None:  # type: ignore[no-untyped-def]
        cypher("MATCH (n:User|Item) DETACH DELETE n")
        memory = open_store(":memory:")
        memory.apply_schema(SCHEMA)
        for kind, records in steps:
            assert _apply(store, kind, records) == _apply(memory, kind, records), kind
        assert content(store) == content(memory)
        memory.close()

    @pytest.mark.parametrize("sessions", [1, 3])
    def test_a_large_call_in_many_transactions(self, empty_neo4j: LocalServer, memory: GraphStore, sessions: int) -> None:
        config = Neo4jConfig(sessions=sessions, transaction_rows=200)
        store = Neo4jStore.connect(empty_neo4j.uri, empty_neo4j.user, empty_neo4j.password, config=config)
        rng = np.random.default_rng(0)
        for target in (store, memory):
            target.apply_schema(SCHEMA)
            target.upsert_nodes("User", ids([f"u{i}" for i in range(150)]), {"age": pa.array(np.arange(150))})
            target.upsert_nodes("Item", ids([f"i{i}" for i in range(60)]), {})
        users = [f"u{int(155 * x**3)}" for x in rng.random(1500)]
        items = [f"i{int(64 * x**2)}" for x in rng.random(1500)]
        seen = {"time": pa.array(rng.integers(0, 3, 1500)), "weight": pa.array(rng.random(1500))}
        friends = [f"u{int(155 * x**2)}" for x in rng.random(1500)]
        for part in (slice(0, 1000), slice(500, 1500)):
            columns = {name: values[part] for name, values in seen.items()}
            calls = [target.upsert_edges("SEEN", ids(users[part]), ids(items[part]), columns) for target in (store, memory)]
            assert calls[0].written == calls[1].written
            assert calls[0].missing.tolist() == calls[1].missing.tolist()
            for target in (store, memory):
                target.upsert_edges("FOLLOWS", ids(users[part]), ids(friends[part]), {})
        assert content(store) == content(memory)
        again = store.upsert_edges("SEEN", ids(users), ids(items), seen)
        assert memory.upsert_edges("SEEN", ids(users), ids(items), seen).written == again.written
        assert content(store) == content(memory)
        store.close()

    @pytest.mark.parametrize("edge_type", ["SEEN", "RATED"])
    def test_a_crowded_source_is_compared_pair_by_pair(self, store: Neo4jStore, memory: GraphStore, edge_type: str) -> None:
        items = [f"i{i:03d}" for i in range(120)]
        value = "weight" if edge_type == "SEEN" else "stars"

        def write(target: GraphStore, chosen: list[str], time: int, number: float) -> tuple[int, int]:
            columns = {"time": pa.array([time] * len(chosen)), value: pa.array([number] * len(chosen))}
            stats = target.upsert_edges(edge_type, ids(["u"] * len(chosen)), ids(chosen), columns)
            return stats.written, stats.unchanged

        for target in (store, memory):
            target.upsert_nodes("User", ids(["u"]), {})
            target.upsert_nodes("Item", ids([*items, "new"]), {})
        for call in (
            (items, 5, 1.0),
            (items, 5, 1.0),
            (items[:2], 5, 1.0),
            ([*items[2:4], "new"], 5, 2.0),
            (items[4:6], 4, 3.0),
            (items[6:7], 6, 1.0),
        ):
            assert write(store, *call) == write(memory, *call), call
        assert content(store) == content(memory)

    def test_a_number_that_became_another_nodes_writes_nothing(self, store: Neo4jStore, cypher: Cypher) -> None:
        """The server gives the number of a deleted node to a later one; a call remembers numbers between transactions."""
        store.upsert_nodes("User", ids(["u"]), {})
        store.upsert_nodes("Item", ids(["wanted", "other"]), {})
        batch = EdgeRecords.of("RATED", SCHEMA.edge("RATED"), (ids(["u"]), ids(["wanted"])), {"stars": pa.array([1.0])})
        batch.found[:] = cypher("MATCH (i:Item {id: 'other'}) RETURN id(i)")[0]
        page = Ledger().open("RATED", (batch.source_ids, batch.target_ids), (batch.source, batch.target), [])
        with pytest.raises(StoreConflict, match="run it again"):
            store.connection.write(EdgeWrite(batch, np.arange(1), Lanes(0), 0, page))
        assert store.count_edges("RATED") == 0

    def test_import_snapshot_and_recall_are_the_same(self, neo4j_store: Neo4jStore, tmp_path: Path) -> None:
        schema = GraphSchema.load(MAPPINGS / "shop.toml")
        folder = write_sample_shop(tmp_path / "raw", num_users=60, num_items=40)
        config = BuildConfig(channels=("item_knn", "attributes", "neighbors", "popularity"), encoder=None)
        reports, snapshots, answers = [], [], []
        for target in (neo4j_store, open_store(":memory:")):
            report = ingest(read_tables(folder, schema), target, schema)
            again = ingest(read_tables(folder, schema), target, schema)
            assert report.total.balanced
            assert again.total.written == 0
            reports.append((report.nodes, report.edges))
            snapshots.append(take_snapshot(target, schema))
            build(target, schema, config, out=tmp_path / "model")
            queries = [Query(user_id=user, k=20) for user in ("u000", "u007", "u031")]
            answers.append([list(candidates) for candidates in load_engine(tmp_path / "model").recall_many(queries)])
            target.close()
        assert reports[0] == reports[1]
        assert snapshots[0].fingerprint == snapshots[1].fingerprint
        for edge_type, edges in snapshots[1].relations.items():
            assert np.array_equal(snapshots[0].relations[edge_type].indices, edges.indices), edge_type
        assert answers[0] == answers[1]
        assert all(len(candidates) == 20 for candidates in answers[0])


def _apply(store: GraphStore, kind: str, records: list[tuple]) -> object:  # type: ignore[type-arg]
    columns = list(zip(*records, strict=True))
    if kind in {"user", "item"}:
        values = {"age": pa.array(columns[1], pa.int64())} if kind == "user" else {}
        stats = store.upsert_nodes(kind.capitalize(), ids(list(columns[0])), values)
        return stats.written, stats.unchanged
    if kind == "forget":
        return store.delete_nodes("User", ids(list(columns[0])))
    ends = ids(list(columns[0])), ids(list(columns[1]))
    if kind == "unfollow":
        return store.delete_edges("FOLLOWS", *ends)
    if kind == "SEEN":
        times, numbers = pa.array(columns[2], pa.int64()), pa.array(columns[3], pa.float64())
        given = {"time": times, "weight": numbers}
    elif kind == "RATED":
        given = {"stars": pa.array(columns[2], pa.float64()), "time": pa.array(columns[3], pa.int64())}
    else:
        given = {}
    stats = store.upsert_edges(kind, *ends, given)
    return stats.written, stats.unchanged, stats.missing_source.tolist(), stats.missing_target.tolist()


class TestLedger:
    """An import knows the edges that it created, and reads those of sources that somebody else has touched."""

    @pytest.fixture
    def read(self, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
        """The sources whose edges were read back, in the order of calls."""
        asked: list[list[int]] = []
        look = EdgeWrite._read_through

        def spy(self: EdgeWrite, run: Run, pairs: Pairs, part: IntArray, ends: Ends) -> tuple[IntArray, IntArray]:
            asked.append(sorted(set(pairs.s[part].tolist())))
            return look(self, run, pairs, part, ends)

        monkeypatch.setattr(EdgeWrite, "_read_through", spy)
        return asked

    @pytest.fixture
    def filled(self, store: Neo4jStore) -> Iterator[Neo4jStore]:
        """In the middle of an import."""
        store.upsert_nodes("User", ids(["u", "v"]), {})
        store.upsert_nodes("Item", ids(["a", "b", "c", "d"]), {})
        journal = store.journal()
        journal.claim()
        assert self.seen(store, [("u", "a", 1), ("u", "b", 1), ("v", "a", 1)]) == (3, 0)
        yield store
        journal.release(complete=True)

    @staticmethod
    def seen(store: Neo4jStore, edges: list[tuple[str, str, int]]) -> tuple[int, int]:
        """Upsert views; how many were written and how many were there."""
        sources, targets, times = zip(*edges, strict=True)
        columns = {"time": pa.array(times, pa.int64()), "weight": pa.array([1.0] * len(edges))}
        stats = store.upsert_edges("SEEN", ids(list(sources)), ids(list(targets)), columns)
        return stats.written, stats.unchanged

    def test_own_edges_are_not_read_back(self, filled: Neo4jStore, read: list[list[int]]) -> None:
        assert self.seen(filled, [("u", "c", 1), ("v", "b", 1), ("v", "a", 2)]) == (3, 0)
        assert read == []
        assert self.seen(filled, [("u", "c", 1), ("v", "c", 1)]) == (1, 1)
        assert read == [[0]], "a record that may be there is looked for"
        assert filled.count_edges("SEEN") == 7

    def test_outside_of_an_import_edges_are_read(self, store: Neo4jStore, read: list[list[int]]) -> None:
        store.upsert_nodes("User", ids(["u"]), {})
        store.upsert_nodes("Item", ids(["a", "b"]), {})
        journal = store.journal()
        journal.claim()
        assert self.seen(store, [("u", "a", 1)]) == (1, 0)
        journal.release(complete=True)
        assert self.seen(store, [("u", "b", 1)]) == (1, 0)
        assert read == [[0]]

    def test_edges_of_another_program_are_met(self, filled: Neo4jStore, read: list[list[int]], cypher: Cypher) -> None:
        cypher("MATCH (u:User {id: 'u'}), (i:Item {id: 'c'}) CREATE (u)-[:SEEN {time: 1, weight: 1.0}]->(i)")
        assert self.seen(filled, [("u", "c", 1), ("u", "d", 1), ("v", "c", 1)]) == (2, 1)
        assert read == [[0]]
        assert self.seen(filled, [("u", "c", 1), ("u", "d", 1)]) == (0, 2)
        assert filled.count_edges("SEEN") == 6

    def test_what_another_program_deleted_is_written_again(self, filled: Neo4jStore, cypher: Cypher) -> None:
        cypher("MATCH (:User {id: 'u'})-[r:SEEN]->(:Item {id: 'a'}) DELETE r")
        assert self.seen(filled, [("u", "a", 1), ("u", "b", 1)]) == (1, 1)
        assert filled.count_edges("SEEN") == 3

    def test_what_was_deleted_here_is_written_again(self, filled: Neo4jStore, cypher: Cypher) -> None:
        assert filled.delete_edges("SEEN", ids(["u"]), ids(["a"])) == 1
        cypher("MATCH (u:User {id: 'u'}), (i:Item {id: 'd'}) CREATE (u)-[:SEEN {time: 1, weight: 1.0}]->(i)")
        assert self.seen(filled, [("u", "d", 1), ("u", "a", 1)]) == (1, 1), "as many edges as before, but other ones"
        assert filled.count_edges("SEEN") == 4

    def test_another_instance_reads(self, filled: Neo4jStore, empty_neo4j: LocalServer, read: list[list[int]]) -> None:
        other = Neo4jStore.connect(empty_neo4j.uri, empty_neo4j.user, empty_neo4j.password)
        assert self.seen(other, [("u", "a", 1), ("u", "c", 1)]) == (1, 1)
        assert self.seen(filled, [("u", "c", 1), ("u", "d", 1)]) == (1, 1)
        other.close()
        assert read == [[0], [0]]

    def test_an_edge_that_changes_is_updated(self, store: Neo4jStore) -> None:
        store.upsert_nodes("User", ids(["u"]), {})
        store.upsert_nodes("Item", ids(["a"]), {})
        for stars, written in ((1.0, 1), (2.0, 1), (2.0, 0)):
            columns = {"stars": pa.array([stars]), "time": pa.array([1], pa.int64())}
            assert store.upsert_edges("RATED", ids(["u"]), ids(["a"]), columns).written == written
        assert [row for batch in store.scan_edges("RATED", ["stars"]) for row in batch.to_pylist()] == [
            {"source": "u", "target": "a", "stars": 2.0}
        ]


class TestLive:
    def test_since_sees_every_commit_of_parallel_writers(self, empty_neo4j: LocalServer, store: Neo4jStore) -> None:
        store.upsert_nodes("User", ids([f"u{i}" for i in range(8)]), {})
        store.upsert_nodes("Item", ids([f"i{i}" for i in range(8)]), {})
        known: set[tuple[str, str]] = set()
        since = store.version()
        for step in range(20):
            other = Neo4jStore(empty_neo4j.uri, empty_neo4j.user, empty_neo4j.password)
            pairs = {(f"u{random.randrange(8)}", f"i{random.randrange(8)}") for _ in range(3)}
            sources, targets = ids([a for a, _ in pairs]), ids([b for _, b in pairs])
            other.upsert_edges("RATED", sources, targets, {"stars": pa.array([float(step)] * len(pairs))})
            other.close()
            now = store.version()
            rows = [row for batch in store.scan_edges("RATED", [], since=since) for row in batch.to_pylist()]
            assert {(row["source"], row["target"]) for row in rows} == pairs
            known |= pairs
            since = now
        assert store.count_edges("RATED") == len(known)
        assert list(store.scan_edges("RATED", [], since=since)) == []


class TestShippedCypher:
    @pytest.mark.parametrize("name", ["constraints.cypher", "indexes.cypher"])
    def test_every_statement_may_be_run_again(self, neo4j_store: Neo4jStore, cypher: Cypher, name: str) -> None:
        lines = (MAPPINGS.parent / name).read_text().splitlines()
        text = "\n".join(line for line in lines if not line.startswith("//"))
        for _ in range(2):
            for statement in filter(None, map(str.strip, text.split(";"))):
                cypher(statement)
        neo4j_store.apply_schema(GraphSchema.load(MAPPINGS / "shop.toml"))

    @pytest.fixture
    def films(self, neo4j_store: Neo4jStore) -> Neo4jStore:
        """Of a label that no other test indexes."""
        neo4j_store.apply_schema(GraphSchema.load(MAPPINGS / "movielens-csv.toml"))
        return neo4j_store

    def test_the_command_makes_the_indexes_that_fit(self, films: Neo4jStore, cypher: Cypher) -> None:
        names = ("movie_title", "rated_time")
        assert apply_indexes(films) == apply_indexes(films) == {name: name for name in names}
        shown = cypher("SHOW INDEXES YIELD name, state RETURN name, state")
        assert [[name, "ONLINE"] in shown for name in names] == [True, True], shown
        assert "item_title" not in {name for name, _ in shown}

    def test_an_index_of_another_name_that_does_the_work_is_named(self, films: Neo4jStore, cypher: Cypher) -> None:
        """The server makes no second one over the same property, whatever the statement says."""
        cypher("CREATE FULLTEXT INDEX theirs FOR (n:Movie) ON EACH [n.title]")
        assert apply_indexes(films) == {"movie_title": "theirs", "rated_time": "rated_time"}

    def test_a_name_that_is_taken_is_an_error(self, films: Neo4jStore, cypher: Cypher) -> None:
        cypher("CREATE INDEX movie_title FOR (n:User) ON (n.country)")
        with pytest.raises(SchemaError, match=r"over User\(country\).*DROP INDEX movie_title"):
            apply_indexes(films)

    def test_every_shipped_index_is_known(self) -> None:
        text = (MAPPINGS.parent / "indexes.cypher").read_text()
        assert [index.name for index in shipped_indexes()] == re.findall(r"INDEX (\w+)", text)

    def test_the_constraints_are_those_that_the_mappings_need(self) -> None:
        text = (MAPPINGS.parent / "constraints.cypher").read_text()
        named = set(re.findall(r"FOR \(n:(\w+)\) REQUIRE n\.id IS UNIQUE", text))
        labels = {label for path in MAPPINGS.glob("*.toml") for label in GraphSchema.load(path).nodes}
        assert named == labels | set(statements.META_LABELS)
