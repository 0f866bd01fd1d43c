"""Starting a server: what is looked for, what is refused, and what is written where."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kgrecall.errors import ConfigError, StoreUnavailable
from kgrecall.sources.cache_folder import cache_folder
from kgrecall.store import open_store
from kgrecall.store.neo4j import artifacts
from kgrecall.store.neo4j import server as neo4j_server
from kgrecall.store.neo4j.server import LocalServer, ServerConfig, find_server, missing_parts, start_server, stop_server


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRECALL_CACHE", str(tmp_path / "cache"))


def program(folder: Path, name: str, script: str) -> Path:
    """A little program on a search path of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def java(folder: Path, release: str) -> Path:
    return program(folder, "java", f"echo 'openjdk version \"{release}\" 2025-04-15' >&2")


@pytest.mark.parametrize(
    ("release", "version", "fits"),
    [
        ("17.0.15", "5.26.28", True),
        ("21", "5.26.28", True),
        ("25.0.1", "5.26.28", False),
        ("17.0.15", "2026.05.0", False),
        ("25.0.1", "2026.05.0", True),
        ("1.8.0_402", "5.26.28", False),
    ],
)
def test_a_java_of_the_right_release_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, version: str, fits: bool
) -> None:
    found = java(tmp_path / "home" / "bin", release)
    monkeypatch.setattr(artifacts, "_PLACES", ())
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert artifacts.find_java(version) == (found if fits else None)


def test_without_java_and_docker_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "_PLACES", ())
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no Java 17" in missing_parts()
    with pytest.raises(StoreUnavailable, match="KGRECALL_NEO4J_URI"):
        start_server(tmp_path / "home")
    java(tmp_path / "bin", "17.0.1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert "no Maven" in missing_parts()


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"such as 5\.26"):
        artifacts.fetch_jars("../../etc")


def test_maven_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "mvn", "echo '[ERROR] no such version'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(StoreUnavailable, match="no such version"):
        artifacts.fetch_jars("5.26.99")
    assert not artifacts.has_jars("5.26.99")
    assert list((cache_folder() / "neo4j" / "5.26.99").iterdir()) == []


def test_maven_that_succeeds_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        'for a in "$@"; do case "$a" in -DoutputDirectory=*) d="${a#*=}";; esac; done; mkdir "$d"; : > "$d/neo4j-5.26.99.jar"'
    )
    fake = program(tmp_path / "bin", "mvn", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    lib = artifacts.fetch_jars("5.26.99")
    fake.unlink()
    assert artifacts.fetch_jars("5.26.99") == lib
    assert [path.name for path in lib.iterdir()] == ["neo4j-5.26.99.jar"]


class TestState:
    def server(self, home: Path, pid: int) -> LocalServer:
        return LocalServer("bolt://127.0.0.1:9", "neo4j", "secret-word", "5.26.28", str(home), pid=pid)

    def test_only_this_user_may_read_the_password(self, tmp_path: Path) -> None:
        server = self.server(tmp_path, 1)
        neo4j_server._write_state(tmp_path, server)
        assert stat.S_IMODE((tmp_path / "server.json").stat().st_mode) == 0o600
        assert neo4j_server._read_state(tmp_path) == server
        assert "secret-word" not in repr(server)

    def test_a_process_that_got_the_same_number_is_left_alone(self, tmp_path: Path) -> None:
        neo4j_server._write_state(tmp_path, self.server(tmp_path, os.getpid()))
        assert find_server(tmp_path) is None
        assert stop_server(tmp_path) is False

    def test_a_torn_file_counts_as_none(self, tmp_path: Path) -> None:
        (tmp_path / "server.json").write_text('{"uri": "bolt')
        assert find_server(tmp_path) is None
        assert stop_server(tmp_path) is False


def test_the_bare_word_means_the_local_server(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="kgrecall neo4j start"):
        open_store("neo4j")


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"ServerConfig\.port"):
        ServerConfig(port=70_000)


def test_no_password_looks_like_an_option() -> None:
    passwords = {neo4j_server.new_password() for _ in range(500)}
    assert len(passwords) == 500
    assert all(word.isalnum() and len(word) >= 16 for word in passwords)
