"""A local Neo4j Community server, in Java or in Docker: for tests, for the demo, for a first look.

It listens on the loopback interface only, asks for a password, and keeps its data in one folder. Nothing here talks
Cypher; ``Neo4jStore`` connects to what :func:`start_server` returns like to any other server.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from kgrecall.errors import Shown, StoreUnavailable
from kgrecall.settings import Settings
from kgrecall.sources.cache_folder import cache_folder
from kgrecall.store.neo4j import container as docker
from kgrecall.store.neo4j import java as java
from kgrecall.store.neo4j.artifacts import LTS, find_java, has_jars, java_releases

Runtime = Literal["any", "java", "docker"]
"""What a server runs in; "any" is Java where it can, else Docker."""
_STATE = "server.json"
_USER = "neo4j"
_START_SECONDS = 120
_STOP_SECONDS = 60
_BOLT_HELLO = bytes.fromhex("6060b017" + "00000405" + "00000005" + "00000004" + "00000000")


class ServerConfig(Settings):
    """Which server to start, and how large."""

    version: str = LTS
    runtime: Runtime = "any"
    port: int = Field(default=0, ge=0, le=65_535)
    """Bolt port on 127.0.0.1; 0 takes the one of the last start, or a free one."""
    heap: str = "1g"
    """Memory of the Java heap, as Java writes it."""
    pagecache: str = "256m"
    """Memory for data from disk, as Neo4j writes it."""
    settings: Mapping[str, str] = Field(default_factory=dict)
    """Further lines of ``neo4j.conf``."""


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that runs on this machine. ``container`` is set when Docker runs it, ``pid`` otherwise."""

    uri: str
    user: str
    password: str = field(repr=False)
    version: str
    home: str
    pid: int = 0
    container: str = ""


def default_home(version: str = LTS) -> Path:
    """Where the demo's server keeps its data: ``<cache>/neo4j/<version>/home``."""
    return cache_folder() / "neo4j" / version / "home"


def missing_parts(version: str = LTS, runtime: Runtime = "any") -> str:
    """Why no local server can be started here, in words; empty when one can."""
    if _chosen(version, runtime):
        return ""
    no_docker = "no Docker engine answers"
    if runtime == "docker":
        return no_docker
    no_java = f"no Java {java_releases(version).start} found" if find_java(version) is None else "no Maven (mvn) found"
    return no_java if runtime == "java" else f"{no_java}, and {no_docker}"


def _chosen(version: str, runtime: Runtime) -> Runtime | None:
    """What a server of this version would run in here."""
    if runtime != "docker" and runs_in_java(version):
        return "java"
    return "docker" if runtime != "java" and docker.available() else None


def runs_in_java(version: str) -> bool:
    """Whether this machine has what the server and its admin tool need: a Java that fits, and the jars or Maven."""
    return find_java(version) is not None and (has_jars(version) or shutil.which("mvn") is not None)


def start_server(home: Path | None = None, config: ServerConfig | None = None, *, tied: bool = False) -> LocalServer:
    """Start a server, or return the one that already runs in ``home``. Takes some 12 seconds, more the first time.

    Args:
        home: folder of data, logs and configuration; :func:`default_home` when not given.
        config: version and sizes.
        tied: end the server when this process ends, however it ends; otherwise it runs until :func:`stop_server`. A
            container runs until then in any case.

    Raises:
        StoreUnavailable: neither Java with Maven nor Docker is there, or the server does not answer.
    """
    config = config or ServerConfig()
    home = home or default_home(config.version)
    if running := find_server(home):
        return running
    if why := missing_parts(config.version, config.runtime):
        raise StoreUnavailable(
            "local Neo4j server",
            expected="Java with Maven, or a Docker engine",
            got=Shown(why),
            remedy="Install Java 17 and Maven, or start Docker, or set KGRECALL_NEO4J_URI to a running server.",
        )
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    server = _launch(home, config, tied=tied)
    _write_state(home, server)
    _await_bolt(server)
    return server


def find_server(home: Path | None = None) -> LocalServer | None:
    """The server that was started in ``home`` and still answers, or None."""
    server = _read_state(home or default_home())
    return server if server and _runs(server) and _answers(server) else None


def local_server() -> LocalServer:
    """The server of :func:`default_home`, which ``kgrecall neo4j start`` runs.

    Raises:
        StoreUnavailable: it does not run.
    """
    server = find_server()
    if server is None:
        raise StoreUnavailable(
            "local Neo4j server", expected="it to run", got=Shown("no answer"), remedy="Start it with `kgrecall neo4j start`."
        )
    return server


def stop_server(home: Path | None = None) -> bool:
    """End the server of ``home`` in order; its data stays. False when none was running.

    Raises:
        StoreUnavailable: it did not end within a minute.
    """
    server = _read_state(home or default_home())
    if server is None or not _runs(server):
        return False
    if server.container:
        docker.remove(server.container)
        return True
    os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _runs(server):
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                "local Neo4j server",
                expected=f"it to end within {_STOP_SECONDS} s",
                got=Shown(f"process {server.pid} still there"),
                remedy=f"Look into {server.home}/console.log, or end the process.",
            )
        time.sleep(0.1)
    return True


def new_password() -> str:
    """Letters and digits only: the server's tools take what begins with a dash for an option."""
    return secrets.token_hex(16)


def _launch(home: Path, config: ServerConfig, *, tied: bool) -> LocalServer:
    """Start the process; a folder that was used before keeps its password and, when it is free, its port."""
    last = _read_state(home)
    password = last.password if last else new_password()
    port = config.port or _free_port(last)
    pid, container = 0, ""
    settings = {"server.memory.pagecache.size": config.pagecache, **config.settings}
    if _chosen(config.version, config.runtime) == "java":
        pid = java.start(home, config.version, port, password, heap=config.heap, settings=settings, tied=tied)
    else:
        login = f"{_USER}/{password}"
        container = docker.start(home, config.version, port, login, heap=config.heap, settings=settings)
    uri = f"bolt://127.0.0.1:{port}"
    return LocalServer(uri, _USER, password, config.version, str(home), pid=pid, container=container)


def _runs(server: LocalServer) -> bool:
    return docker.runs(server.container) if server.container else java.runs(server.pid, Path(server.home))


def _answers(server: LocalServer) -> bool:
    """Whether a Bolt server greets on the port."""
    host, port = server.uri.removeprefix("bolt://").split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2) as connection:
            connection.sendall(_BOLT_HELLO)
            return len(connection.recv(4)) == 4
    except OSError:
        return False


def _await_bolt(server: LocalServer) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(server):
        there = _runs(server)
        if time.monotonic() > deadline or not there:
            if server.container:
                docker.give_up(server.container, Path(server.home) / "console.log")
            raise StoreUnavailable(
                "local Neo4j server",
                expected=f"an answer on {server.uri} within {_START_SECONDS} s",
                got=Shown("none" if there else "its process ended"),
                remedy=f"Look into {server.home}/console.log and {server.home}/logs.",
            )
        time.sleep(0.2)


def _free_port(last: LocalServer | None) -> int:
    """The port of the last start when it is free, so that a restarted server keeps its address; any free one otherwise."""
    wanted = int(last.uri.rpartition(":")[2]) if last else 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read_state(home: Path) -> LocalServer | None:
    try:
        return LocalServer(**json.loads((home / _STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_state(home: Path, server: LocalServer) -> None:
    """The file holds the password, so only this user may read it."""
    path = home / _STATE
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(server)), encoding="utf-8")
