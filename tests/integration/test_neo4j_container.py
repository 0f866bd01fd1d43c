"""Servers in Docker: the one that kgrecall starts itself, and the one of graph_schema/compose.yaml."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from kgrecall.errors import StoreUnavailable
from kgrecall.schema import GraphSchema
from kgrecall.store.neo4j import Neo4jStore, container
from kgrecall.store.neo4j.artifacts import LTS
from kgrecall.store.neo4j.server import LocalServer, ServerConfig, find_server, start_server, stop_server

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("docker")]
ROOT = Path(__file__).parents[2]
SCHEMA = GraphSchema.parse({"name": "tiny", "nodes": {"User": {"role": "user"}, "Item": {"role": "item"}}, "edges": {}})


def docker(*arguments: str, **env: str) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=600, env={**os.environ, **env}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> Callable[[str], None]:
    """Skips where an image can neither be found nor fetched."""
    if not container.available():
        pytest.skip("no Docker engine answers")

    def need(version: str) -> None:
        name = f"neo4j:{version}-community"
        for command in (["image", "inspect", name], ["pull", name]):
            if subprocess.run(["docker", *command], capture_output=True, check=False, timeout=600).returncode == 0:
                return
        pytest.skip(f"Docker has no image {name}, and cannot fetch it")

    return need


def write(server: LocalServer, *ids: str) -> int:
    """Writes items; how many there are then."""
    with closing(Neo4jStore.connect(server.uri, server.user, server.password)) as store:
        store.apply_schema(SCHEMA)
        store.upsert_nodes("Item", pa.array(ids), {})
        return store.count_nodes("Item")


class TestStarted:
    @pytest.fixture
    def home(self, image: Callable[[str], None], tmp_path: Path) -> Iterator[Path]:
        image(LTS)
        yield tmp_path
        stop_server(tmp_path)
        assert not docker("ps", "--all", "--quiet", "--filter", f"volume={tmp_path / 'data'}"), "a container was left behind"

    def config(self, **settings: str) -> ServerConfig:
        return ServerConfig(runtime="docker", heap="512m", pagecache="64m", settings=settings)

    def test_data_password_and_port_survive_a_restart(self, home: Path) -> None:
        server = start_server(home, self.config(**{"db.memory.transaction.max": "100m"}))
        assert server.container
        assert write(server, "a", "b") == 2
        assert find_server(home) == server == start_server(home, self.config())
        assert stop_server(home)
        assert find_server(home) is None
        again = start_server(home, self.config())
        assert (again.uri, again.password) == (server.uri, server.password)
        assert write(again, "c") == 3

    def test_who_started_it_may_delete_its_data_and_the_password_is_on_no_command_line(self, home: Path) -> None:
        password = start_server(home, self.config()).password
        written = list((home / "data").rglob("*"))
        assert written
        assert all(os.access(path, os.R_OK | os.W_OK) for path in written)
        seen = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert password not in seen

    def test_a_server_that_ends_at_once_says_why_and_leaves_nothing(self, home: Path) -> None:
        with pytest.raises(StoreUnavailable, match=r"console\.log"):
            start_server(home, self.config(**{"db.no.such.setting": "1"}))
        assert "db.no.such.setting" in (home / "console.log").read_text()


def test_the_container_of_the_schema_folder(image: Callable[[str], None]) -> None:
    image("5.26")
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        bolt, browser = one.getsockname()[1], other.getsockname()[1]
    env = {"KGRECALL_NEO4J_PASSWORD": "of-the-test-1", "NEO4J_BOLT_PORT": str(bolt), "NEO4J_BROWSER_PORT": str(browser)}
    compose = ["compose", "--project-name", f"kgrecall-test-{bolt}", "--file", str(ROOT / "graph_schema" / "compose.yaml")]
    try:
        docker(*compose, "up", "--detach", "--wait", NEO4J_HEAP="512m", NEO4J_PAGECACHE="64m", **env)
        assert write(LocalServer(f"neo4j://127.0.0.1:{bolt}", "neo4j", "of-the-test-1", "", ""), "a") == 1
        shown = docker(*compose, "exec", "neo4j", "ls", "/graph_schema", **env)
        assert "constraints.cypher" in shown
    finally:
        docker(*compose, "down", "--volumes", **env)
