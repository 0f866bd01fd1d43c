"""A local Neo4j server to measure against, and what it costs: CPU seconds of server and client together."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import neo4j

from kgrecall.store.neo4j import Neo4jStore
from kgrecall.store.neo4j.connection import Neo4jConfig
from kgrecall.store.neo4j.server import LocalServer, ServerConfig, start_server, stop_server


@dataclass(slots=True)
class ServerCost:
    """Seconds of a stretch of work; set when :meth:`Bench.measure` ends."""

    wall: float = 0.0
    server_cpu: float = 0.0
    client_cpu: float = 0.0

    @property
    def cpu(self) -> float:
        return self.server_cpu + self.client_cpu


@dataclass(frozen=True, slots=True)
class Bench:
    """The server with a plain driver beside our store."""

    server: LocalServer
    driver: neo4j.Driver

    def store(self, config: Neo4jConfig | None = None) -> Neo4jStore:
        return Neo4jStore.connect(self.server.uri, self.server.user, self.server.password, config=config)

    def run(self, statement: str, **parameters: object) -> list[list[object]]:
        with self.driver.session(database="neo4j") as session:
            return [record.values() for record in session.run(statement, parameters)]

    def wipe(self) -> None:
        self.run("MATCH ()-[r]->() CALL { WITH r DELETE r } IN TRANSACTIONS OF 20000 ROWS")
        self.run("MATCH (n) CALL { WITH n DELETE n } IN TRANSACTIONS OF 20000 ROWS")

    @contextmanager
    def measure(self) -> Iterator[ServerCost]:
        cost = ServerCost()
        wall, server, client = time.perf_counter(), self._server_cpu(), time.process_time()
        yield cost
        cost.wall = time.perf_counter() - wall
        cost.server_cpu, cost.client_cpu = self._server_cpu() - server, time.process_time() - client

    def _server_cpu(self) -> float:
        fields = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def open_bench() -> Iterator[Bench]:
    """A fresh server with 1 GB of heap and 512 MB of page cache, gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(Path(folder), ServerConfig(pagecache="512m"), tied=True)
        login = (server.user, server.password)
        with neo4j.GraphDatabase.driver(server.uri, auth=login, notifications_min_severity="OFF") as driver:
            yield Bench(server, driver)
        stop_server(Path(folder))
