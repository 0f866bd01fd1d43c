"""A Neo4j Community server in a Docker container, for machines without Java."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from kgrecall.errors import Shown, StoreUnavailable

_SECONDS = 600
"""The first start downloads the image."""


def available() -> bool:
    """Whether a Docker engine answers."""
    if shutil.which("docker") is None:
        return False
    try:
        return bool(_docker("info", "--format", "{{.ServerVersion}}", seconds=20))
    except (StoreUnavailable, subprocess.TimeoutExpired):
        return False


def start(home: Path, version: str, port: int, login: str, *, heap: str, pagecache: str) -> str:
    """Run a container that listens on 127.0.0.1 only and keeps its data in ``home``; its id.

    ``login`` is ``user/password``; it reaches the container through a file that only this user may read.

    Raises:
        StoreUnavailable: Docker could not start it.
    """
    secret = home / "container.env"
    secret.unlink(missing_ok=True)
    secret.touch(mode=0o600)
    settings = {"AUTH": login, "server_memory_heap_max__size": heap, "server_memory_pagecache_size": pagecache}
    secret.write_text("".join(f"NEO4J_{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
    published = ["--publish", f"127.0.0.1:{port}:7687", "--volume", f"{home / 'data'}:/data", "--env-file", str(secret)]
    return _docker("run", "--detach", *published, f"neo4j:{version}-community")


def runs(container: str) -> bool:
    return available() and bool(_docker("ps", "--quiet", "--no-trunc", "--filter", f"id={container}"))


def remove(container: str) -> None:
    """Stop it in order, then remove it; the data stays in its folder."""
    _docker("stop", "--time", "60", container)
    _docker("rm", container)


def _docker(*arguments: str, seconds: float = _SECONDS) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise StoreUnavailable(
            "Docker",
            expected=f"docker {arguments[0]} to succeed",
            got=Shown(done.stderr.strip()),
            remedy="Check that the Docker engine runs and that you may use it.",
        )
    return done.stdout.strip()
