"""A Neo4j Community server in a Docker container, for machines without Java."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
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


def start(home: Path, version: str, port: int, login: str, *, heap: str, settings: Mapping[str, str]) -> str:
    """Run a container that listens on 127.0.0.1 only and keeps its data in ``home``; its id.

    ``login`` is ``user/password``; it reaches the container through a file that only this user may read. The server runs as
    this user, so that who started it may read and delete its data.

    Raises:
        StoreUnavailable: Docker could not start it.
    """
    data, secret = home / "data", home / "container.env"
    data.mkdir(exist_ok=True)  # Docker would make it root's
    secret.unlink(missing_ok=True)
    secret.touch(mode=0o600)
    settings = {"server.memory.heap.max_size": heap, **settings}
    variables = {"NEO4J_AUTH": login, **{_variable(name): value for name, value in settings.items()}}
    secret.write_text("".join(f"{name}={value}\n" for name, value in variables.items()), encoding="utf-8")
    published = ["--publish", f"127.0.0.1:{port}:7687", "--volume", f"{data}:/data", "--env-file", str(secret)]
    return _docker("run", "--detach", *_as_this_user(), *published, f"neo4j:{version}-community")


def runs(container: str) -> bool:
    return available() and bool(_docker("ps", "--quiet", "--no-trunc", "--filter", f"id={container}"))


def remove(container: str) -> None:
    """Stop it in order, then remove it; the data stays in its folder."""
    _docker("stop", "--time", "60", container)
    _docker("rm", container)


def give_up(container: str, log: Path) -> None:
    """Remove one that does not answer; what it said goes to ``log``."""
    done = subprocess.run(["docker", "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    log.write_bytes(done.stdout)
    _docker("rm", "--force", container)


def _variable(setting: str) -> str:
    """The environment variable by which the image takes a line of ``neo4j.conf``."""
    return "NEO4J_" + setting.replace("_", "__").replace(".", "_")


def _as_this_user() -> list[str]:
    """An engine that runs as this user maps its root to them already."""
    if "rootless" in _docker("info", "--format", "{{.SecurityOptions}}"):
        return []
    return ["--user", f"{os.getuid()}:{os.getgid()}"]


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
