"""A Neo4j Community server as a Java process, and its own admin tool."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from kgrecall.errors import Shown, StoreUnavailable
from kgrecall.store.neo4j.artifacts import fetch_jars, find_java, java_releases

_OPENS = ("java.base/java.nio", "java.base/java.io", "java.base/sun.nio.ch", "java.base/java.util.concurrent")
_PASSWORD_SECONDS = 120
# Java as a grandchild, reaped by a shell of its own, so that no process of ours has to wait for it. The second form also
# ends it when standard input closes, which happens when this process ends, in whatever way.
_RUN = '("$@" >>"$KGRECALL_LOG" 2>&1 </dev/null & j=$!; echo $j; exec >&- 2>&-; wait $j) &'
_RUN_TIED = (
    'exec 3<&0; ("$@" >>"$KGRECALL_LOG" 2>&1 </dev/null 3<&- & j=$!; echo $j; exec >&- 2>&-;'
    " (cat <&3 >/dev/null; kill $j) & wait $j) &"
)


def start(home: Path, version: str, port: int, password: str, *, heap: str, settings: Mapping[str, str], tied: bool) -> int:
    """Start a server with its data in ``home``; its process id. It does not answer at once.

    Raises:
        StoreUnavailable: no fitting Java, or the jars cannot be fetched.
    """
    java, env = _java(home, version)
    (home / "conf").mkdir(exist_ok=True)
    lines = [f"{name}={value}" for name, value in {**_settings(port), **settings}.items()]
    (home / "conf" / "neo4j.conf").write_text("\n".join([*lines, ""]), encoding="utf-8")
    if not (home / "data" / "dbms" / "auth.ini").exists():
        _set_password([*java, "org.neo4j.cli.AdminTool", "dbms", "set-initial-password"], env, password)
    entry = "org.neo4j.server.CommunityEntryPoint" if version.startswith("5.") else "org.neo4j.server.Neo4jCommunity"
    command = [java[0], f"-Xmx{heap}", *java[1:], entry, _home_argument(home), f"--config-dir={home / 'conf'}"]
    return _spawn(command, {**env, "KGRECALL_LOG": str(home / "console.log")}, tied=tied)


def runs(pid: int, home: Path) -> bool:
    """Whether this process is there and is the server of ``home``, and not another one that was given the same id."""
    done = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return _home_argument(home) in done.stdout.split()


def admin_tool(home: Path, version: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of the server's admin tool (``database import``, ``database dump`` ...) for ``home``.

    Raises:
        StoreUnavailable: no fitting Java, or the jars cannot be fetched.
    """
    java, env = _java(home, version)
    return [*java, "org.neo4j.cli.AdminTool"], env


def _set_password(tool: list[str], env: dict[str, str], password: str) -> None:
    """Its failure is told without the command, which holds the password."""
    try:
        done = subprocess.run(
            [*tool, password], env=env, check=False, capture_output=True, text=True, timeout=_PASSWORD_SECONDS
        )
        failure = done.stderr.strip() or f"exit status {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        failure = f"no answer in {_PASSWORD_SECONDS} s"
    if failure:
        raise StoreUnavailable(
            "local Neo4j server",
            expected="its admin tool to set the first password",
            got=Shown(failure.replace(password, "...")),
            remedy="Check the Java runtime and the free memory; delete the server's folder to begin again.",
        )


def _java(home: Path, version: str) -> tuple[list[str], dict[str, str]]:
    program = find_java(version)
    if program is None:
        releases = java_releases(version)
        raise StoreUnavailable(
            f"Neo4j {version}",
            expected=f"Java {releases.start}{' or 21' if releases.stop == 22 else ' or later'}",
            got=Shown("none"),
            remedy="Install a Java runtime of that release, or set JAVA_HOME to one.",
        )
    command = [str(program), *_flags(version), "-cp", f"{fetch_jars(version)}/*"]
    return command, {**os.environ, "NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")}


def _flags(version: str) -> list[str]:
    flags = [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS]
    flags += ["--enable-native-access=ALL-UNNAMED", "-Dio.netty.tryReflectionSetAccessible=true", "-Dlog4j2.disable.jmx=true"]
    return flags if version.startswith("5.") else [*flags, "--add-modules=jdk.incubator.vector"]


def _settings(port: int) -> dict[str, str]:
    return {
        "server.default_listen_address": "127.0.0.1",
        "server.bolt.enabled": "true",
        "server.bolt.listen_address": f"127.0.0.1:{port}",
        "server.http.enabled": "false",
        "server.https.enabled": "false",
        "dbms.security.auth_enabled": "true",
        "dbms.usage_report.enabled": "false",
        "db.tx_log.rotation.retention_policy": "100M size",
    }


def _home_argument(home: Path) -> str:
    return f"--home-dir={home}"


def _spawn(command: list[str], env: dict[str, str], *, tied: bool) -> int:
    """Start a process that outlives this one or, tied, ends with it; its id."""
    script = ["/bin/sh", "-c", _RUN_TIED if tied else _RUN, "sh", *command]
    if not tied:
        done = subprocess.run(
            script, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, start_new_session=True
        )
        return int(done.stdout)
    ours, _held = os.pipe()  # the other end stays open for as long as this process lives
    try:
        done = subprocess.run(script, env=env, stdin=ours, stdout=subprocess.PIPE, check=True, start_new_session=True)
    finally:
        os.close(ours)
    return int(done.stdout)
