"""What is particular to the embedded store: its file, threads, processes, and the errors of SQLite under our names."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import ConfigError, NotBuilt, SchemaError, StoreConflict, StoreError, StoreUnavailable
from kgrecall.schema import GraphSchema
from kgrecall.store import open_store
from kgrecall.store.sqlite import SqliteStore
from kgrecall.store.sqlite.keys import KeyLookup

DATA = {
    "nodes": {"User": {"role": "user", "properties": {"age": "integer"}}, "Item": {"role": "item"}},
    "edges": {
        "SEEN": {
            "role": "interaction",
            "source": "User",
            "target": "Item",
            "properties": {"time": "time"},
            "key": ["time"],
            "time": "time",
        }
    },
}
SCHEMA = GraphSchema.parse(DATA)


def ids(*values: str) -> pa.StringArray:
    return pa.array(values, pa.string())


def changed(**nodes: dict[str, object]) -> GraphSchema:
    return GraphSchema.parse({"nodes": DATA["nodes"] | nodes, "edges": DATA["edges"]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "graph.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=5)
    store.apply_schema(SCHEMA)
    store.upsert_nodes("User", ids("u1", "u2"), {"age": pa.array([1, 2])})
    store.upsert_nodes("Item", ids("i1", "i2"), {})
    store.upsert_edges("SEEN", ids("u1", "u2"), ids("i1", "i1"), {"time": pa.array([1, 2])})
    yield store
    store.close()


class TestOpening:
    def test_nothing_is_made_before_the_first_write(self, path: Path) -> None:
        store = open_store(path)
        assert store.version() == open_store(path).version()
        with pytest.raises(NotBuilt, match="no such file"):
            store.count_nodes("User")
        assert not path.exists()

    @pytest.mark.parametrize("prefix", ["", "sqlite:///"])
    def test_a_file_is_found_again(self, store: SqliteStore, path: Path, prefix: str) -> None:
        version = store.version()
        store.close()
        again = open_store(f"{prefix}{path}")
        assert (again.version(), again.schema, again.count_edges("SEEN")) == (version, SCHEMA, 2)

    def test_a_path_with_odd_characters(self, tmp_path: Path) -> None:
        store = open_store(tmp_path / "50% été?#1.sqlite")
        store.apply_schema(SCHEMA)
        assert (tmp_path / "50% été?#1.sqlite").exists()

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match="no such folder"):
            open_store(tmp_path / "no" / "graph.sqlite").apply_schema(SCHEMA)

    def test_an_unknown_address_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="mysql"):
            open_store("mysql://localhost/graph")

    def test_a_file_that_is_no_database_is_refused(self, path: Path) -> None:
        path.write_text("user,item\nu1,i1\n" * 100)
        with pytest.raises(StoreUnavailable, match="not a database"):
            open_store(path).apply_schema(SCHEMA)
        assert path.read_text().startswith("user,item")

    def test_the_database_of_another_program_is_left_alone(self, path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE invoices(id)")
        before = path.read_bytes()
        for call in (lambda: open_store(path).apply_schema(SCHEMA), lambda: open_store(path).version()):
            with pytest.raises(StoreUnavailable, match="another program"):
                call()
        assert path.read_bytes() == before

    def test_a_newer_format_is_refused(self, store: SqliteStore, path: Path) -> None:
        store.close()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 999")
        with pytest.raises(StoreUnavailable, match="format 999"):
            open_store(path).version()

    def test_a_schema_of_the_future_is_refused(self, store: SqliteStore, path: Path) -> None:
        store.close()
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE _meta SET value = json_set(value, '$.nodes.User.colour', 'red') WHERE name = 'schema'")
        with pytest.raises(StoreUnavailable, match="version of kgrecall"):
            open_store(path).count_nodes("User")

    def test_after_close_it_says_so(self, store: SqliteStore) -> None:
        store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            store.count_nodes("User")

    def test_a_damaged_table_is_a_store_error(self, store: SqliteStore, path: Path) -> None:
        store.close()
        with sqlite3.connect(path) as connection:
            connection.execute('DROP TABLE "edge_SEEN"')
        with pytest.raises(StoreError, match="no such table"):
            open_store(path).count_edges("SEEN")


class TestSchemaChanges:
    def test_a_changed_type_is_refused(self, store: SqliteStore) -> None:
        schema = changed(User={"role": "user", "properties": {"age": "string"}})
        with pytest.raises(SchemaError, match=r"User\.age.*INTEGER"):
            store.apply_schema(schema)
        assert store.schema == SCHEMA

    def test_types_that_are_stored_alike_may_be_exchanged(self, store: SqliteStore) -> None:
        store.apply_schema(changed(User={"role": "user", "properties": {"age": "time"}}))
        assert store.schema.node("User").properties == {"age": "time"}

    def test_a_changed_key_is_refused(self, store: SqliteStore) -> None:
        data = {"nodes": DATA["nodes"], "edges": {"SEEN": {**DATA["edges"]["SEEN"], "key": []}}}
        with pytest.raises(SchemaError, match="relation SEEN"):
            store.apply_schema(GraphSchema.parse(data))

    def test_names_that_differ_only_in_case_are_refused(self, path: Path) -> None:
        with pytest.raises(SchemaError, match="case"):
            open_store(path).apply_schema(changed(ITEM={}))
        with pytest.raises(SchemaError, match="case"):
            open_store(path).apply_schema(changed(Tag={"properties": {"a": "text", "A": "text"}}))

    def test_words_of_sql_are_names_like_any_other(self, path: Path) -> None:
        store = open_store(path)
        store.apply_schema(changed(Group={"properties": {"order": "integer", "select": "text", "rowid": "number"}}))
        store.upsert_nodes("Group", ids("g"), {"order": pa.array([1]), "select": ids("all"), "rowid": pa.array([0.5])})
        assert [b.to_pylist() for b in store.scan_nodes("Group", ["rowid", "select", "order"])] == [
            [{"id": "g", "rowid": 0.5, "select": "all", "order": 1}]
        ]

    def test_edges_of_a_dropped_relation_still_go_with_their_nodes(self, store: SqliteStore) -> None:
        data = {"nodes": DATA["nodes"], "edges": {"OTHER": {"source": "User", "target": "Item"}}}
        store.apply_schema(GraphSchema.parse(data))
        with pytest.raises(SchemaError):
            store.count_edges("SEEN")
        store.delete_nodes("User", ids("u1"))
        store.apply_schema(SCHEMA)
        assert store.count_edges("SEEN") == 1


class TestReverseIndex:
    def plan(self, path: Path) -> str:
        with sqlite3.connect(path) as connection:
            return str(connection.execute('EXPLAIN QUERY PLAN SELECT * FROM "edge_SEEN" WHERE dst = 1').fetchall())

    def test_it_is_put_off_until_there_are_edges(self, store: SqliteStore, path: Path) -> None:
        assert "back_SEEN" not in self.plan(path)
        version = store.version()
        store.apply_schema(SCHEMA)
        assert "back_SEEN" in self.plan(path)
        assert store.version() == version

    def test_walking_backwards_makes_it(self, store: SqliteStore, path: Path) -> None:
        assert store.neighbors("SEEN", ids("i1"), direction="in").at(0) == ["u1", "u2"]
        assert "back_SEEN" in self.plan(path)

    def test_a_locked_store_answers_without_it(self, store: SqliteStore, path: Path) -> None:
        impatient = SqliteStore(path, busy_timeout=0)
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            assert impatient.neighbors("SEEN", ids("i1"), direction="in").at(0) == ["u1", "u2"]
            other.execute("ROLLBACK")
        assert "back_SEEN" not in self.plan(path)


class TestKeyLookup:
    """Two stores on one file: what one keeps in memory must never outlive what the other writes."""

    def test_ids_are_looked_up_afresh_after_another_store_wrote(self, store: SqliteStore, path: Path) -> None:
        other = SqliteStore(path)
        everyone = ids("u1", "u2", "u1"), ids("i1", "i2", "i2")
        assert store.upsert_edges("SEEN", *everyone, {"time": pa.array([5, 6, 7])}).written == 3
        other.delete_nodes("User", ids("u2"))
        other.upsert_nodes("User", ids("u3"), {})  # takes the freed position
        stats = store.upsert_edges("SEEN", *everyone, {"time": pa.array([8, 9, 10])})
        assert stats.missing_source.tolist() == [1]
        assert store.neighbors("SEEN", ids("u3")).at(0) == []

    def test_both_ways_of_looking_agree(self, store: SqliteStore, path: Path) -> None:
        names = [f"user {i}" for i in np.random.default_rng(0).permutation(3_000)]
        store.upsert_nodes("User", ids(*names), {})
        with sqlite3.connect(path) as connection:
            known = dict(connection.execute('SELECT id, pos FROM "node_User"'))
            lookup = KeyLookup()
            for wanted in (names[:700], names, ["nobody", *names[:3], "nobody", "u1"], []):
                expected = [known.get(name, -1) for name in wanted]
                assert lookup.positions(connection, "User", ids(*wanted)).tolist() == expected


class TestThreads:
    def test_each_thread_reads_and_writes(self, store: SqliteStore) -> None:
        failures: list[BaseException] = []

        def work(name: str) -> None:
            try:
                for i in range(20):
                    store.upsert_nodes("User", ids(f"{name}-{i}"), {})
                    assert f"{name}-{i}" in [row for b in store.scan_nodes("User", []) for row in b["id"].to_pylist()]
            except BaseException as error:  # a thread cannot raise into the test
                failures.append(error)

        threads = [threading.Thread(target=work, args=(f"t{t}",)) for t in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert store.count_nodes("User") == 2 + 4 * 20

    def test_in_memory_too(self) -> None:
        store = open_store(":memory:")
        store.apply_schema(SCHEMA)
        threads = [
            threading.Thread(target=lambda t=t: [store.upsert_nodes("User", ids(f"{t}-{i}"), {}) for i in range(50)])
            for t in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.count_nodes("User") == 200

    def test_an_exception_undoes_the_write(self, store: SqliteStore) -> None:
        def interrupted() -> None:
            with store._connections.writing() as connection:
                connection.execute('DELETE FROM "edge_SEEN"')
                raise KeyboardInterrupt

        version = store.version()
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert (store.count_edges("SEEN"), store.version()) == (2, version)


def _write_many(path: str, name: str, rounds: int) -> None:
    store = SqliteStore(path)
    for i in range(rounds):
        store.upsert_nodes("User", ids(*(f"{name}-{i}-{j}" for j in range(20))), {})
        users = ids(*(f"{name}-{i}-{j}" for j in range(20)))
        stats = store.upsert_edges("SEEN", users, ids(*["i1"] * 20), {"time": pa.array([i] * 20)})
        assert stats.written == 20


def _read_many(path: str, until: str) -> None:
    store = SqliteStore(path)
    last = 0
    while not Path(until).exists():
        rows = [row for batch in store.scan_edges("SEEN", ["time"]) for row in batch.to_pylist()]
        assert (len(rows) - 2) % 20 == 0  # whole writes only
        assert len(rows) >= last
        last = len(rows)


def _lay_out(path: Path, start: Barrier, user: str) -> None:
    store = SqliteStore(path)
    start.wait()
    store.apply_schema(SCHEMA)
    store.upsert_nodes("User", ids(user), {})


class TestProcesses:
    def test_writers_queue_and_readers_see_whole_writes(self, store: SqliteStore, path: Path, tmp_path: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        stop = tmp_path / "stop"
        reader = spawn.Process(target=_read_many, args=(str(path), str(stop)))
        writers = [spawn.Process(target=_write_many, args=(str(path), f"w{w}", 15)) for w in range(2)]
        for process in [reader, *writers]:
            process.start()
        for process in writers:
            process.join()
        stop.touch()
        reader.join()
        assert [process.exitcode for process in [reader, *writers]] == [0, 0, 0]
        assert store.count_edges("SEEN") == 2 + 2 * 15 * 20

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_several_may_lay_out_a_new_file_at_once(self, tmp_path: Path) -> None:
        fork = multiprocessing.get_context("fork")
        for n in range(12):
            path, start = tmp_path / f"{n}.sqlite", fork.Barrier(4)
            processes = [fork.Process(target=_lay_out, args=(path, start, f"u{i}")) for i in range(4)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            assert [process.exitcode for process in processes] == [0] * 4
            assert SqliteStore(path).count_nodes("User") == 4

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_store_survives_a_fork(self, store: SqliteStore) -> None:
        connection = store._connections._own(create=False)
        pid = os.fork()
        if pid == 0:
            try:
                assert store._connections._own(create=False) is not connection
                store.upsert_nodes("User", ids("child"), {})
                store.close()
                os._exit(0)
            except BaseException:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        store.upsert_nodes("User", ids("parent"), {})
        assert store.count_nodes("User") == 4

    def test_a_writer_that_waited_too_long_says_who_is_at_fault(self, store: SqliteStore, path: Path) -> None:
        impatient = SqliteStore(path, busy_timeout=0)
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreConflict, match="Another process is writing"):
                impatient.upsert_nodes("User", ids("x"), {})
            assert impatient.count_nodes("User") == 2
            other.execute("ROLLBACK")
        assert impatient.upsert_nodes("User", ids("x"), {}).written == 1


def test_since_of_an_empty_store_means_everything(path: Path) -> None:
    store = open_store(path)
    empty = store.version()
    store.apply_schema(SCHEMA)
    store.upsert_nodes("User", ids("u"), {})
    store.upsert_nodes("Item", ids("i"), {})
    store.upsert_edges("SEEN", ids("u"), ids("i"), {"time": pa.array([1])})
    assert sum(batch.num_rows for batch in store.scan_edges("SEEN", [], since=empty)) == 1


def test_an_unknown_kind_of_address_is_named_without_its_password() -> None:
    with pytest.raises(ConfigError, match="mysql://") as caught:
        open_store("mysql://user:secret@host/db")
    assert "secret" not in str(caught.value)
