"""What goes wrong around a database: each has a named error with a remedy, and nothing is lost or doubled."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import neo4j
import numpy as np
import pyarrow as pa
import pytest

from kgrecall.cli.demo import _import as read_into
from kgrecall.errors import (
    ConfigError,
    KGRecallError,
    StoreError,
    StoreTimeout,
    StoreUnavailable,
    Unsupported,
)
from kgrecall.schema import GraphSchema
from kgrecall.sources.mappings import find_mapping
from kgrecall.sources.sample_shop import write_sample_shop
from kgrecall.store import open_store
from kgrecall.store.neo4j import Neo4jStore
from kgrecall.store.neo4j.connection import Connection, Neo4jConfig, supported_version
from kgrecall.store.neo4j.server import LocalServer

pytestmark = pytest.mark.neo4j
Cypher = Callable[..., list[list[object]]]

SCHEMA = GraphSchema.parse(
    {
        "nodes": {"User": {"role": "user"}, "Item": {"role": "item", "properties": {"title": "text"}}},
        "edges": {
            "SEEN": {
                "role": "interaction",
                "source": "User",
                "target": "Item",
                "properties": {"time": "time", "count": "integer"},
                "key": ["time"],
            }
        },
    }
)


def ids(prefix: str, numbers: object) -> pa.StringArray:
    return pa.array([f"{prefix}{n}" for n in numbers], pa.string())  # type: ignore[attr-defined]


Connect = Callable[..., Neo4jStore]


@pytest.fixture
def connect(empty_neo4j: LocalServer) -> Iterator[Connect]:
    """``connect(**settings of Neo4jConfig)``: stores that are closed at the end."""
    with ExitStack() as opened:

        def open_one(url: str = empty_neo4j.uri, **settings: float) -> Neo4jStore:
            config = Neo4jConfig(**settings)  # type: ignore[arg-type]
            store = Neo4jStore.connect(url, empty_neo4j.user, empty_neo4j.password, config=config)
            opened.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def server(empty_neo4j: LocalServer, connect: Connect) -> LocalServer:
    """The wiped server with the schema, 40 users and 30 items."""
    store = connect()
    store.apply_schema(SCHEMA)
    store.upsert_nodes("User", ids("u", range(40)), {})
    store.upsert_nodes("Item", ids("i", range(30)), {})
    return empty_neo4j


def all_pairs(store: Neo4jStore, time_: int = 1) -> int:
    """Every user saw every item: 1,200 edges; how many were written."""
    users, items = np.divmod(np.arange(1200), 30)
    columns = {"time": pa.array(np.full(1200, time_)), "count": pa.array(users)}
    return store.upsert_edges("SEEN", ids("u", users), ids("i", items), columns).written


class TestRefusals:
    def check(self, url: str, error: type[KGRecallError], remedy: str, *login: str, **more: str) -> None:
        with pytest.raises(error) as caught:
            Neo4jStore.connect(url, *login, **more, config=Neo4jConfig(patience=0))  # type: ignore[arg-type]
        assert remedy in str(caught.value)
        assert not any(secret in repr(caught.value) + str(caught.value) for secret in login[1:])

    def test_a_wrong_password(self, neo4j_server: LocalServer) -> None:
        self.check(neo4j_server.uri, StoreUnavailable, "KGRECALL_NEO4J_PASSWORD", "somebody", "sesame-open")

    def test_no_log_shows_a_password(self, neo4j_server: LocalServer, caplog: pytest.LogCaptureFixture) -> None:
        """Not even the driver's own, at its most talkative."""
        caplog.set_level(logging.DEBUG)
        with pytest.raises(StoreUnavailable):
            Neo4jStore.connect(neo4j_server.uri, "somebody", "sesame-open", config=Neo4jConfig(patience=0))
        Neo4jStore.connect(neo4j_server.uri, neo4j_server.user, neo4j_server.password).close()
        assert "neo4j" in {record.name.partition(".")[0] for record in caplog.records}
        assert "sesame-open" not in caplog.text
        assert neo4j_server.password not in caplog.text

    def test_a_wrong_database(self, neo4j_server: LocalServer) -> None:
        login = (neo4j_server.user, neo4j_server.password)
        self.check(neo4j_server.uri, StoreUnavailable, "SHOW DATABASES", *login, database="nowhere")

    def test_nobody_listens(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.check(f"bolt://127.0.0.1:{port}", StoreUnavailable, "Check that it runs", "neo4j", "sesame-open")

    def test_tls_refused(self, neo4j_server: LocalServer) -> None:
        url = neo4j_server.uri.replace("bolt://", "bolt+s://")
        self.check(url, StoreUnavailable, "server without TLS", "neo4j", "sesame-open")

    def test_an_address_that_is_none(self) -> None:
        self.check("bolt://127.0.0.1:notaport", ConfigError, "Check the address", "neo4j", "sesame-open")

    def test_a_password_in_the_address_is_used_and_never_shown(self, neo4j_server: LocalServer) -> None:
        address = neo4j_server.uri.replace("bolt://", f"bolt://{neo4j_server.user}:{neo4j_server.password}@")
        store = open_store(f"{address}/neo4j")
        assert store.version()
        assert neo4j_server.password not in repr(store)
        store.close()
        with pytest.raises(StoreUnavailable) as caught:
            open_store(neo4j_server.uri.replace("bolt://", "bolt://somebody:sesame%20open@"))
        assert "sesame" not in str(caught.value)

    def test_the_demo_shows_no_password(
        self, empty_neo4j: LocalServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        schema = GraphSchema.load(find_mapping("shop"))
        folder = write_sample_shop(tmp_path / "raw", num_users=12, num_items=10)
        address = empty_neo4j.uri.replace("bolt://", f"bolt://{empty_neo4j.user}:{empty_neo4j.password}@")
        read_into(folder, schema, address, tmp_path)
        shown = capsys.readouterr()
        assert empty_neo4j.uri in shown.out
        assert empty_neo4j.password not in shown.out + shown.err

    def test_settings_may_come_from_the_environment(self, neo4j_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KGRECALL_NEO4J_USER", neo4j_server.user)
        monkeypatch.setenv("KGRECALL_NEO4J_PASSWORD", neo4j_server.password)
        monkeypatch.setenv("KGRECALL_NEO4J_DATABASE", "neo4j")
        open_store(neo4j_server.uri).close()

    @pytest.mark.parametrize("agent", ["Neo4j/5.25.1", "Neo4j/4.4.40", "Memgraph/2.0", ""])
    def test_an_unsupported_server(self, agent: str) -> None:
        with pytest.raises(Unsupported, match=r"Neo4j 5\.26 or later"):
            supported_version(agent, "bolt://somewhere")

    def test_supported_servers(self) -> None:
        assert supported_version("Neo4j/5.26.28", "") == "5.26.28"
        assert supported_version("Neo4j/2026.05.0", "") == "2026.05.0"


class TestLimits:
    def test_a_lock_that_is_held_too_long(self, server: LocalServer, connect: Connect) -> None:
        store = connect(write_timeout=1, patience=0)
        login = (server.user, server.password)
        with neo4j.GraphDatabase.driver(server.uri, auth=login) as driver, driver.session(database="neo4j") as session:
            holder = session.begin_transaction()
            holder.run("MATCH (u:User {id: 'u0'}) SET u.held = true").consume()
            with pytest.raises(StoreTimeout, match="write_timeout"):
                all_pairs(store)
            holder.rollback()
        patient = connect()
        assert patient.count_edges("SEEN") == 0
        assert all_pairs(patient) == 1200

    def test_a_server_that_hangs_does_not_hold_a_reader(self, server: LocalServer, connect: Connect) -> None:
        if not server.pid:
            pytest.skip("the server is not a child process of the tests")
        patient, hasty = connect(), connect(read_timeout=1)
        users = ids("u", [0])
        patient.neighbors("SEEN", users)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreTimeout, match="read_timeout"):
                hasty.neighbors("SEEN", users)
            hasty.close()
            late = [thread for thread in threading.enumerate() if thread.name == "kgrecall-read"]
            assert len(late) == 1, "the read that was left behind, on a connection that stays open for it"
        finally:
            os.kill(server.pid, signal.SIGCONT)
        late[0].join(60)
        assert not late[0].is_alive()
        assert len(patient.neighbors("SEEN", users)) == 1

    def test_a_transaction_beyond_the_memory_of_the_server(self, server: LocalServer, connect: Connect) -> None:
        connection = Connection(server.uri, server.user, server.password, None, Neo4jConfig())
        hog = "UNWIND range(1, 100000000) AS x RETURN collect(toString(x))"
        with pytest.raises(StoreError, match="transaction_rows"):
            connection.read(lambda run: run(hog))
        assert not connection.retries, "it would only fail again"
        connection.close()

    def test_an_end_node_that_another_program_deleted_is_reported(
        self, server: LocalServer, connect: Connect, cypher: Cypher
    ) -> None:
        store = connect()
        cypher("MATCH (n:Item {id: 'i7'}) DELETE n")
        users = ids("u", range(3))
        stats = store.upsert_edges("SEEN", users, ids("i", [6, 7, 8]), {"time": pa.array([1, 1, 1])})
        assert (stats.written, stats.missing.tolist()) == (2, [1])


class TestStorms:
    @pytest.mark.parametrize("lanes", ["own", "shared"])
    def test_sessions_that_write_the_same_hubs(
        self, server: LocalServer, connect: Connect, lanes: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Four instances, the same 1,200 edges in small transactions of every order: each edge once, whoever came first."""
        if lanes == "shared":  # the instances count their writes in the same places
            monkeypatch.setattr("kgrecall.store.neo4j.store.random.randrange", lambda stop: 0)
        stores = [connect(sessions=2, transaction_rows=60) for _ in range(4)]
        written = [0] * 4
        failures: list[BaseException] = []

        def write(i: int) -> None:
            try:
                for time_ in (1, 2):
                    written[i] += all_pairs(stores[i], time_)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        assert stores[0].count_edges("SEEN") == sum(written) == 2400
        assert sum(batch.num_rows for batch in stores[0].scan_edges("SEEN", [])) == 2400

    def test_two_sessions_that_create_one_key(self, server: LocalServer, connect: Connect) -> None:
        stores = [connect(transaction_rows=20) for _ in range(3)]
        barrier = threading.Barrier(3)
        written: list[int] = []

        def write(store: Neo4jStore) -> None:
            for step in range(10):
                barrier.wait()
                written.append(store.upsert_nodes("User", ids(f"new{step}-", range(20)), {}).written)

        threads = [threading.Thread(target=write, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert stores[0].count_nodes("User") == 40 + 200
        assert sum(written) >= 200


def test_conflicts_that_do_not_end_are_named(server: LocalServer, connect: Connect) -> None:
    """A key that another session creates again and again under our feet: bounded tries, then the error."""
    connection = Connection(server.uri, server.user, server.password, None, Neo4jConfig())
    tries = []

    def work(run: Callable[..., list[object]]) -> None:
        tries.append(1)
        run("CREATE (:User {id: 'u1'})")

    with pytest.raises(StoreError, match="constraint"):
        connection.write(work)  # type: ignore[arg-type]
    assert len(tries) == 5
    connection.close()
