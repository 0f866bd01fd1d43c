"""Other projects' systems, each in an environment of its own that is created on first use.

A peer is a script beside this file and a requirement list of the same name. It gets a folder, reads its input there and
writes its answer there, so that nothing of ours has to be importable where it runs.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from kgrecall.errors import NotBuilt, Shown
from kgrecall.sources.cache_folder import cache_folder

FOLDER = Path(__file__).parent


def run_peer(name: str, folder: Path) -> None:
    """Run ``NAME.py FOLDER`` in the environment of ``NAME.txt``.

    Raises:
        NotBuilt: the environment cannot be made, or the peer failed; shows the end of what it said.
    """
    python = environment(name)
    command = [str(python), str(FOLDER / f"{name}.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise _failed(name, done)


def environment(name: str) -> Path:
    """The Python of the peer's environment, made when its requirement list is new."""
    requirements = FOLDER / f"{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = cache_folder() / "peers" / f"{name}-{digest}"
    python = home / "bin" / "python"
    if (home / "ready").exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=False)  # filled from outside: the system's Python may come without ensurepip
    done = subprocess.run(_install(python, requirements), capture_output=True, text=True, check=False)
    if done.returncode:
        raise _failed(name, done)
    (home / "ready").touch()
    return python


def _install(python: Path, requirements: Path) -> list[str]:
    """The uv that made our own environment, which shares files between environments; else pip."""
    uv = Path(sys.prefix, ".uv", "bin", "uv")
    if uv.exists():
        return [str(uv), "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    return [*pip, "install", "--quiet", "-r", str(requirements)]


def _failed(name: str, done: subprocess.CompletedProcess[str]) -> NotBuilt:
    got = Shown(" ".join(done.stderr.split()[-40:]))
    return NotBuilt(f"peer {name}", expected="success", got=got, remedy=f"Check {name}.txt, or leave this peer out.")
