"""A server that goes away in the middle of an import, and replies that never arrive: nothing is lost and nothing doubled."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import KGRecallError, StoreUnavailable
from kgrecall.sources.tables import NodeBatch
from kgrecall.store import open_store
from kgrecall.store.fingerprint import fingerprint
from kgrecall.store.ingest import ingest
from kgrecall.store.neo4j import Neo4jConfig, Neo4jStore
from kgrecall.store.neo4j.connection import Connection
from kgrecall.store.neo4j.server import LocalServer, ServerConfig, find_server, runs_in_java, start_server, stop_server
from kgrecall.store.report import ImportReport
from tests.benchmarks.generated_graph import SCHEMA, batches

pytestmark = [pytest.mark.neo4j, pytest.mark.timeout(1200)]
EDGES = 12_000
DATA = list(batches(EDGES))
NODES = sum(len(batch) for batch in DATA if isinstance(batch, NodeBatch))


@pytest.fixture(scope="module")
def clean() -> str:
    """Fingerprint of an undisturbed import."""
    store = open_store(":memory:")
    ingest(DATA, store, SCHEMA)
    found = fingerprint(store)
    store.close()
    return found


@pytest.fixture(scope="module")
def config(neo4j_version: str) -> ServerConfig:
    return ServerConfig(version=neo4j_version, heap="512m", pagecache="64m")


@pytest.fixture(scope="module")
def server(config: ServerConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """One that these tests end and start again."""
    if not runs_in_java(config.version):
        pytest.skip("no Java with Maven, so no server that may be ended")
    home = tmp_path_factory.mktemp("neo4j")
    yield start_server(home, config, tied=True)
    if left := find_server(home):
        os.kill(left.pid, signal.SIGKILL)


class TestRestarts:
    @pytest.fixture
    def connect(self, server: LocalServer) -> Iterator[Callable[[float], Neo4jStore]]:
        opened = []

        def open_one(patience: float) -> Neo4jStore:
            settings = Neo4jConfig(transaction_rows=500, sessions=2, patience=patience, read_timeout=60)
            opened.append(Neo4jStore.connect(server.uri, server.user, server.password, config=settings))
            return opened[-1]

        yield open_one
        for store in opened:
            store.close()

    @pytest.fixture(autouse=True)
    def _empty(self, server: LocalServer, connect: Callable[[float], Neo4jStore]) -> None:
        connect(60).connection.write(lambda run: run("MATCH (n) DETACH DELETE n"))

    @pytest.mark.parametrize("how", ["killed", "stopped in order"])
    def test_an_import_waits_for_a_server_that_goes_and_returns(
        self, server: LocalServer, config: ServerConfig, connect: Callable[[float], Neo4jStore], clean: str, how: str
    ) -> None:
        store = connect(900)
        importer = Importer(store)
        importer.disturb(lambda: _end(server, how))
        assert start_server(Path(server.home), config, tied=True).uri == server.uri, "it keeps its address and password"
        report = importer.outcome()
        assert report.total.balanced
        assert sum(report.retries.values()) > 0
        assert "Failed and run again: " in str(report)
        assert fingerprint(connect(60)) == clean
        assert ingest(DATA, connect(60), SCHEMA).total.written == 0

    def test_an_import_that_gave_up_is_completed_later(
        self, server: LocalServer, config: ServerConfig, connect: Callable[[float], Neo4jStore], clean: str
    ) -> None:
        importer = Importer(connect(0))
        importer.disturb(lambda: _end(server, "killed"))
        with pytest.raises(KGRecallError):
            importer.outcome()
        start_server(Path(server.home), config, tied=True)
        report = ingest(DATA, connect(60), SCHEMA)
        assert report.total.balanced
        assert report.total.unchanged > 0, "what was there is not written again"
        assert fingerprint(connect(60)) == clean


def _end(server: LocalServer, how: str) -> None:
    home = Path(server.home)
    if how != "killed":
        assert stop_server(home)
    elif running := find_server(home):
        os.kill(running.pid, signal.SIGKILL)
        until(lambda: find_server(home) is None)


class Importer:
    """An import on a thread of its own."""

    def __init__(self, store: Neo4jStore) -> None:
        self._store = store
        self._reports: list[ImportReport] = []
        self._failures: list[BaseException] = []
        self._under_way = threading.Event()
        self._go_on = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def disturb(self, end: Callable[[], None]) -> None:
        """Start it, end the server between two of its writes, and return when it has noticed."""
        self._thread.start()
        assert self._under_way.wait(500), self._failures
        end()
        self._go_on.set()
        until(lambda: bool(self._store.retries or self._failures))

    def outcome(self) -> ImportReport:
        self._thread.join(500)
        assert not self._thread.is_alive()
        if self._failures:
            raise self._failures[0]
        return self._reports[0]

    def _run(self) -> None:
        try:
            self._reports.append(ingest(DATA, self._store, SCHEMA, write_rows=2_000, progress=self._told))
        except BaseException as error:
            self._failures.append(error)

    def _told(self, _: str, records: int, __: int | None) -> None:
        """Stop once, when the first edges are written, until the server is gone."""
        if records > NODES and not self._under_way.is_set():
            self._under_way.set()
            self._go_on.wait(500)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 500
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_is_never_there_has_a_name() -> None:
    unreachable = Connection("bolt://127.0.0.1:9", "neo4j", "x", None, Neo4jConfig(patience=0.5))
    with pytest.raises(StoreUnavailable, match="Check that it runs"):
        unreachable.read(lambda run: run("RETURN 1"))
    unreachable.close()


class Proxy:
    """Passes Bolt on, and on demand cuts the connection when the server has answered a COMMIT, before the client hears it."""

    COMMIT = bytes.fromhex("0002b0120000")

    def __init__(self, server: LocalServer) -> None:
        self.upstream = int(server.uri.rpartition(":")[2])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"bolt://127.0.0.1:{self.listener.getsockname()[1]}"
        self.cuts_left = 0
        self.cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self.upstream))
            answered = threading.Event()
            threading.Thread(target=self._requests, args=(client, upstream, answered), daemon=True).start()
            threading.Thread(target=self._answers, args=(upstream, client, answered), daemon=True).start()

    def _requests(self, client: socket.socket, upstream: socket.socket, answered: threading.Event) -> None:
        while data := _receive(client):
            answered.clear()
            if self.cuts_left and data.endswith(self.COMMIT):
                self.cuts_left -= 1
                client.shutdown(socket.SHUT_RDWR)  # deaf before the request leaves
                upstream.sendall(data)
                self.cut += answered.wait(60)  # the commit happened
                break
            upstream.sendall(data)
        upstream.close()

    def _answers(self, upstream: socket.socket, client: socket.socket, answered: threading.Event) -> None:
        try:
            while data := _receive(upstream):
                answered.set()
                client.sendall(data)
        except OSError:
            pass
        client.close()


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(65_536)
    except OSError:
        return b""


class TestLostReplies:
    @pytest.fixture
    def proxy(self, empty_neo4j: LocalServer) -> Iterator[Proxy]:
        proxy = Proxy(empty_neo4j)
        yield proxy
        proxy.listener.close()

    def test_a_commit_whose_answer_is_lost_doubles_nothing(self, empty_neo4j: LocalServer, proxy: Proxy) -> None:
        config = Neo4jConfig(transaction_rows=400)
        store = Neo4jStore.connect(proxy.url, empty_neo4j.user, empty_neo4j.password, config=config)
        store.apply_schema(SCHEMA)
        users, items = np.divmod(np.arange(1200), 30)
        for label, numbers in (("User", users), ("Item", items)):
            store.upsert_nodes(label, ids(label, np.unique(numbers)), {})
        proxy.cuts_left = 3
        columns = {"time": pa.array(np.ones(1200, np.int64)), "weight": pa.array(users.astype(float))}
        store.upsert_edges("VIEWED", ids("User", users), ids("Item", items), columns)
        assert proxy.cut == 3, "three commits happened and went unanswered"
        assert store.retries["IncompleteCommit"] == 3
        assert store.count_edges("VIEWED") == 1200
        rows = [tuple(row.values()) for batch in store.scan_edges("VIEWED", ["weight"]) for row in batch.to_pylist()]
        assert sorted(rows) == sorted((f"User{n // 30}", f"Item{n % 30}", float(n // 30)) for n in range(1200))
        store.close()


def ids(prefix: str, numbers: np.ndarray) -> pa.StringArray:
    return pa.array([f"{prefix}{n}" for n in numbers], pa.string())
