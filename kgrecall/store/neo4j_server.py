"""A local Neo4j Community server as a child process or a container: for tests, for the demo, for a first look.

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
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kgrecall.errors import Shown, StoreUnavailable
from kgrecall.store.neo4j_artifacts import LTS, cache_folder, fetch_jars, find_java, has_jars, java_releases

_STATE = "server.json"
_USER = "neo4j"
_START_SECONDS = 120
_STOP_SECONDS = 60
_OPENS = ("java.base/java.nio", "java.base/java.io", "java.base/sun.nio.ch", "java.base/java.util.concurrent")
_BOLT_HELLO = bytes.fromhex("6060b017" + "00000405" + "00000005" + "00000004" + "00000000")
# Java as a grandchild, reaped by a shell of its own, so that no process of ours has to wait for it. The second form also
# ends it when standard input closes, which happens when this process ends, in whatever way.
_RUN = '("$@" >>"$KGRECALL_LOG" 2>&1 </dev/null & j=$!; echo $j; exec >&- 2>&-; wait $j) &'
_RUN_TIED = (
    'exec 3<&0; ("$@" >>"$KGRECALL_LOG" 2>&1 </dev/null 3<&- & j=$!; echo $j; exec >&- 2>&-;'
    " (cat <&3 >/dev/null; kill $j) & wait $j) &"
)


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


def missing_parts(version: str = LTS) -> str:
    """Why no local server can be started here, in words; empty when one can."""
    if _has_docker():
        return ""
    if find_java(version) is None:
        return f"no Java {java_releases(version).start} found, and no Docker engine answers"
    if not has_jars(version) and shutil.which("mvn") is None:
        return "no Maven (mvn) found, and no Docker engine answers"
    return ""


def start_server(
    home: Path | None = None,
    *,
    version: str = LTS,
    port: int = 0,
    heap: str = "1g",
    pagecache: str = "256m",
    tied: bool = False,
) -> LocalServer:
    """Start a server, or return the one that already runs in ``home``. Takes some 12 seconds, more the first time.

    Args:
        home: folder of data, logs and configuration; :func:`default_home` when not given.
        port: Bolt port on 127.0.0.1; 0 takes the one of the last start, or a free one.
        heap, pagecache: memory sizes as Java and Neo4j write them.
        tied: end the server when this process ends; otherwise it runs until :func:`stop_server`.

    Raises:
        StoreUnavailable: neither Java with Maven nor Docker is there, or the server does not answer.
    """
    home = home or default_home(version)
    if running := find_server(home):
        return running
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    last = _read_state(home)
    password = last.password if last else secrets.token_urlsafe(18)
    port = port or _reusable_port(last)
    if java := find_java(version):
        server = _start_java(java, home, version, port, password, heap=heap, pagecache=pagecache, tied=tied)
    else:
        server = _start_container(home, version, port, password, heap=heap, pagecache=pagecache)
    _write_state(home, server)
    _await_bolt(server)
    return server


def find_server(home: Path | None = None) -> LocalServer | None:
    """The server that was started in ``home`` and still answers, or None."""
    server = _read_state(home or default_home())
    return server if server and _alive(server) and _answers(server) else None


def stop_server(home: Path | None = None) -> bool:
    """End the server of ``home`` in order; its data stays. False when none was running.

    Raises:
        StoreUnavailable: it did not end within a minute.
    """
    server = _read_state(home or default_home())
    if server is None or not _alive(server):
        return False
    if server.container:
        _docker("rm", "--force", server.container)
        return True
    os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _alive(server):
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                "local Neo4j server",
                expected=f"it to end within {_STOP_SECONDS} s",
                got=Shown(f"process {server.pid} still there"),
                remedy=f"Look into {server.home}/console.log, or end the process.",
            )
        time.sleep(0.1)
    return True


def _start_java(
    java: Path, home: Path, version: str, port: int, password: str, *, heap: str, pagecache: str, tied: bool
) -> LocalServer:
    flags = _java_flags(version)
    classpath = f"{fetch_jars(version)}/*"
    env = {**os.environ, "NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf"), "KGRECALL_LOG": str(home / "console.log")}
    (home / "conf").mkdir(exist_ok=True)
    (home / "conf" / "neo4j.conf").write_text(_configuration(port, pagecache), encoding="utf-8")
    if not (home / "data" / "dbms" / "auth.ini").exists():
        admin = [str(java), *flags, "-cp", classpath, "org.neo4j.cli.AdminTool", "dbms", "set-initial-password", password]
        subprocess.run(admin, env=env, check=True, capture_output=True, timeout=_START_SECONDS)
    entry = "org.neo4j.server.CommunityEntryPoint" if version.startswith("5.") else "org.neo4j.server.Neo4jCommunity"
    command = [str(java), f"-Xmx{heap}", *flags, "-cp", classpath, entry, f"--home-dir={home}", f"--config-dir={home / 'conf'}"]
    pid = _spawn(command, env, tied=tied)
    return LocalServer(f"bolt://127.0.0.1:{port}", _USER, password, version, str(home), pid=pid)


def _spawn(command: list[str], env: dict[str, str], *, tied: bool) -> int:
    """Start a process that outlives this one or, tied, ends with it; its id."""
    script = ["/bin/sh", "-c", _RUN_TIED if tied else _RUN, "sh", *command]
    stdin, held = os.pipe() if tied else (subprocess.DEVNULL, None)  # held: stays open for as long as this process lives
    done = subprocess.run(script, env=env, stdin=stdin, stdout=subprocess.PIPE, check=True, start_new_session=True)
    if held is not None:
        os.close(stdin)
    return int(done.stdout)


def java_command(home: Path, version: str = LTS) -> tuple[list[str], dict[str, str]]:
    """Command and environment of the server's own admin tool for ``home`` (``database import``, ``dump`` ...).

    Raises:
        StoreUnavailable: no fitting Java, or the jars cannot be fetched.
    """
    java = find_java(version)
    if java is None:
        raise StoreUnavailable(
            "Neo4j admin tool",
            expected=f"Java {java_releases(version).start}",
            got=Shown("none"),
            remedy="Install a Java runtime of that release or set JAVA_HOME.",
        )
    env = {**os.environ, "NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")}
    return [str(java), *_java_flags(version), "-cp", f"{fetch_jars(version)}/*", "org.neo4j.cli.AdminTool"], env


def _java_flags(version: str) -> list[str]:
    flags = [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS]
    flags += ["--enable-native-access=ALL-UNNAMED", "-Dio.netty.tryReflectionSetAccessible=true", "-Dlog4j2.disable.jmx=true"]
    return flags if version.startswith("5.") else [*flags, "--add-modules=jdk.incubator.vector"]


def _configuration(port: int, pagecache: str) -> str:
    return "\n".join(
        [
            "server.default_listen_address=127.0.0.1",
            "server.bolt.enabled=true",
            f"server.bolt.listen_address=127.0.0.1:{port}",
            "server.http.enabled=false",
            "server.https.enabled=false",
            "dbms.security.auth_enabled=true",
            "dbms.usage_report.enabled=false",
            f"server.memory.pagecache.size={pagecache}",
            "db.tx_log.rotation.retention_policy=100M size",
            "",
        ]
    )


def _start_container(home: Path, version: str, port: int, password: str, *, heap: str, pagecache: str) -> LocalServer:
    if not _has_docker():
        raise StoreUnavailable(
            "local Neo4j server",
            expected="Java with Maven, or a Docker engine",
            got=Shown(missing_parts(version)),
            remedy="Install Java 17 and Maven, or start Docker, or set KGRECALL_NEO4J_URI to a running server.",
        )
    secret = home / "container.env"
    secret.touch(mode=0o600)
    settings = {"AUTH": f"{_USER}/{password}", "server_memory_heap_max__size": heap, "server_memory_pagecache_size": pagecache}
    secret.write_text("".join(f"NEO4J_{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
    command = ["run", "--detach", "--publish", f"127.0.0.1:{port}:7687", "--volume", f"{home / 'data'}:/data"]
    name = _docker(*command, "--env-file", str(secret), f"neo4j:{version}-community")
    return LocalServer(f"bolt://127.0.0.1:{port}", _USER, password, version, str(home), container=name)


def _has_docker() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return bool(_docker("info", "--format", "{{.ServerVersion}}"))
    except (StoreUnavailable, subprocess.TimeoutExpired):
        return False


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise StoreUnavailable(
            "Docker",
            expected=f"docker {arguments[0]} to succeed",
            got=Shown(done.stderr.strip()),
            remedy="Check that the Docker engine runs and that you may use it.",
        )
    return done.stdout.strip()


def _alive(server: LocalServer) -> bool:
    if server.container:
        return _has_docker() and bool(_docker("ps", "--quiet", "--no-trunc", "--filter", f"id={server.container}"))
    try:
        os.kill(server.pid, 0)
    except OSError:
        return False
    return True


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
        if time.monotonic() > deadline or not _alive(server):
            raise StoreUnavailable(
                "local Neo4j server",
                expected=f"an answer on {server.uri} within {_START_SECONDS} s",
                got=Shown("none" if _alive(server) else "it ended at once"),
                remedy=f"Look into {server.home}/console.log and {server.home}/logs.",
            )
        time.sleep(0.2)


def _reusable_port(last: LocalServer | None) -> int:
    """The port of the last start when it is free, so that a restarted server keeps its address; any free one otherwise."""
    wanted = int(last.uri.rsplit(":", 1)[1]) if last else 0
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return 7687


def _read_state(home: Path) -> LocalServer | None:
    try:
        return LocalServer(**json.loads((home / _STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_state(home: Path, server: LocalServer) -> None:
    path = home / _STATE
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(server)), encoding="utf-8")
