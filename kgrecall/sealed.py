"""Folders of plain files that are either whole or not there, with a checksum for every file.

A folder is written under another name, flushed to the disk and renamed. Its ``manifest.json`` names the kind and the version
of the format, and size and sha256 of every other file; whoever opens the folder compares them first.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kgrecall.errors import ConfigError, CorruptArtifact, Shown, StaleArtifact
from kgrecall.threads import in_order

MANIFEST = "manifest.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""Errors that name no file when a write fails."""
_YOUNG_SECONDS = 60
"""A folder is made a moment before it is locked."""


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``folder`` when the block ends, or vanishes when it fails.

    Raises:
        ConfigError: ``folder`` exists already and is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "folder",
            expected="a folder that does not exist yet",
            got=str(folder),
            remedy="Choose a new name, or remove it first.",
        )
    beside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.partial"
    handle = None
    try:
        with _writing(folder, lambda _: True):
            beside.mkdir(parents=True)
            handle = _locked(beside)
        with _writing(folder, lambda error: error.errno in _FULL or str(error.filename).startswith(str(beside))):
            yield beside
        with _writing(folder, lambda _: True):
            for path in (*beside.rglob("*"), beside):
                flush(path)
            beside.rename(folder)
            flush(folder.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def sweep(parent: Path, name: str = "*") -> None:
    """Remove what killed processes left half-written of folders whose names match ``name``, in a folder that may not exist."""
    for left in parent.glob(f".{name}.*.partial"):
        with suppress(OSError):
            young = time.time() - left.stat().st_mtime < _YOUNG_SECONDS
            if young or (handle := _locked(left)) is None:
                continue
            shutil.rmtree(left, ignore_errors=True)
            os.close(handle)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is inside such a block with this folder, which must exist."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _locked(folder: Path) -> int | None:
    """A lock that ends with this process; None where another one holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


@contextmanager
def _writing(folder: Path, failed: Callable[[OSError], bool]) -> Iterator[None]:
    """Tell what to do where writing ``failed``; other errors of the system, as of what is read meanwhile, pass through."""
    try:
        yield
    except OSError as error:
        if not failed(error):
            raise
        raise ConfigError(
            "folder",
            expected="a folder that can be written",
            got=str(folder),
            remedy=f"{error.strerror or error}. Free some space, or choose another folder.",
        ) from error


def seal(folder: Path, kind: str, version: int, facts: Mapping[str, Any]) -> None:
    """Write the manifest: ``facts``, and size and sha256 of every file that the folder holds."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(paths, in_order(_sha256, paths), strict=True)
    }
    manifest = {"format": kind, "format_version": version, **facts, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")


def read_manifest(folder: Path, kind: str, version: int, *, verify: bool) -> dict[str, Any]:
    """The manifest, after its files were looked at.

    Args:
        verify: read every file and compare its sha256; otherwise only sizes are compared.

    Raises:
        CorruptArtifact: the manifest or a file is missing, or differs from what was written; names it.
        StaleArtifact: another kind of folder, or written in another format version.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found, files = (manifest["format"], manifest["format_version"]), manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _corrupt(path, f"the manifest of a {kind}", Shown(error)) from error
    if found != (kind, version):
        raise StaleArtifact(
            str(path),
            expected=f"{kind}, format {version}",
            got=Shown(f"{found[0]}, format {found[1]}"),
            remedy="Make it again with this version of kgrecall.",
        )
    for _ in in_order(lambda item: _check(folder / item[0], item[1], verify), files.items()):
        pass
    return manifest


def flush(path: Path) -> None:
    """Make a file or the names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check(path: Path, facts: Mapping[str, Any], verify: bool) -> None:
    if not path.is_file():
        raise _corrupt(path, "a file of the folder", Shown("nothing"))
    if path.stat().st_size != facts["bytes"]:
        raise _corrupt(path, f"{facts['bytes']} bytes", path.stat().st_size)
    if verify and (digest := _sha256(path)) != facts["sha256"]:
        raise _corrupt(path, f"sha256 {facts['sha256']}", digest)


def _corrupt(path: Path, expected: str, got: object) -> CorruptArtifact:
    return CorruptArtifact(str(path), expected=expected, got=got, remedy="Make it again, or restore the folder.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
