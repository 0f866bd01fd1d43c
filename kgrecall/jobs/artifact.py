"""A built model on disk: one folder of plain files that is either whole or not there.

    models/shop/
      current                    the name of the build that readers open
      build-20261122-101500-123456-3f2a/
        manifest.json            format, versions, seed, configuration, schema, fingerprints, sha256 of every other file
        *.npy, *.parquet, ...    arrays are memory-mapped on load

A build is written to a hidden folder beside, flushed to the disk, renamed, and only then does ``current`` move (itself by
rename): a reader sees the old build or the new one, never a mixture. The previous build stays for :func:`rollback`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kgrecall.errors import ConfigError, CorruptArtifact, NotBuilt, Shown, StaleArtifact

FORMAT_VERSION = 1
_LIBRARIES = ("kgrecall", "numpy", "scipy", "torch", "torch-geometric", "transformers", "faiss-cpu", "pyarrow")
_KEPT_BUILDS = 2


class ArtifactWriter:
    """Collects the files of one build; leaving the ``with`` block without an error publishes it.

    Args:
        out: the artifact folder; created when absent. An error inside the block leaves it as it was.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self.name = f"build-{_stamp()}-{secrets.token_hex(2)}"
        self.folder = self.out / f".{self.name}.partial"
        self.manifest: dict[str, Any] = {}

    def __enter__(self) -> ArtifactWriter:
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError("out", expected="a folder", got=str(self.out), remedy="Name a folder for the built model.")
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise ConfigError(
                "out",
                expected="a folder that can be written",
                got=str(self.out),
                remedy=f"{error.strerror}. Choose another folder.",
            ) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name: str) -> Path:
        """Where to write a file of the engine's own; parents are created."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def array(self, name: str, values: NDArray[Any]) -> None:
        np.save(self.path(f"{name}.npy"), np.ascontiguousarray(values), allow_pickle=False)

    def matrix(self, name: str, values: sparse.csr_array) -> None:
        """A sparse matrix as three arrays; its number of columns stands in the manifest."""
        for part in ("indptr", "indices", "data"):
            self.array(f"{name}.{part}", getattr(values, part))
        self.manifest.setdefault("columns", {})[name] = int(values.shape[1])

    def _publish(self) -> None:
        files = {p.relative_to(self.folder).as_posix(): _describe(p) for p in sorted(self.folder.rglob("*")) if p.is_file()}
        manifest = {
            "format_version": FORMAT_VERSION,
            "build": self.name,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "python": platform.python_version(),
            "libraries": library_versions(),
            **self.manifest,
            "files": files,
        }
        (self.folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
        for path in self.folder.rglob("*"):
            _sync(path)
        _sync(self.folder)
        self.folder.rename(self.out / self.name)
        _point(self.out, self.name)
        _drop_old(self.out)


class Artifact:
    """A verified, read-only build.

    Args:
        folder: the artifact folder, or one build inside it.
        verify: compare the sha256 of every file with the manifest.

    Raises:
        NotBuilt: nothing was ever built there.
        CorruptArtifact: a file is missing or differs from its checksum; names the file.
        StaleArtifact: written by a newer format of kgrecall.
    """

    def __init__(self, folder: str | Path, *, verify: bool = True) -> None:
        self.folder = current_build(folder)
        self.manifest = _read_manifest(self.folder)
        for name, facts in self.manifest["files"].items():
            _check_file(self.folder / name, facts, verify=verify)

    def path(self, name: str) -> Path:
        return self.folder / name

    def has(self, name: str) -> bool:
        return name in self.manifest["files"]

    def array(self, name: str) -> NDArray[Any]:
        """A memory-mapped array."""
        values: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return values

    def matrix(self, name: str) -> sparse.csr_array:
        """A memory-mapped sparse matrix."""
        indptr, indices, data = (self.array(f"{name}.{part}") for part in ("indptr", "indices", "data"))
        shape = (len(indptr) - 1, self.manifest["columns"][name])
        return sparse.csr_array((data, indices, indptr), shape=shape, copy=False)


def current_build(folder: str | Path) -> Path:
    """The folder of the build that ``current`` names; ``folder`` itself when it is a build."""
    folder = Path(folder)
    if (folder / "manifest.json").is_file():
        return folder
    pointer = folder / "current"
    if not pointer.is_file():
        raise NotBuilt(
            "artifact", expected="a folder made by `kgrecall build`", got=str(folder), remedy="Build first, or check the path."
        )
    build = folder / pointer.read_text(encoding="utf-8").strip()
    if not build.is_dir():
        raise CorruptArtifact(
            str(pointer), expected="the name of a build in the same folder", got=build.name, remedy="Build again, or roll back."
        )
    return build


def builds(folder: str | Path) -> list[str]:
    """The names of all builds in an artifact folder, oldest first."""
    return sorted(p.parent.name for p in Path(folder).glob("build-*/manifest.json"))


def rollback(folder: str | Path) -> str:
    """Point ``current`` to the build before the current one; returns its name.

    Raises:
        NotBuilt: there is no earlier build.
    """
    names = builds(folder)
    here = names.index(current_build(folder).name)
    if here == 0:
        raise NotBuilt(
            "rollback", expected="an earlier build", got=Shown(f"{len(names)} build(s)"), remedy="Build again instead."
        )
    _point(Path(folder), names[here - 1])
    return names[here - 1]


def library_versions() -> dict[str, str]:
    """Installed versions of the libraries that shape an artifact."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _stamp() -> str:
    """UTC to the microsecond: names of builds sort by age."""
    now = time.time_ns()
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now // 10**9))}-{now // 1000 % 10**6:06d}"


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        written = manifest["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(
            str(path), expected="a manifest", got=Shown(error), remedy="Build again, or roll back."
        ) from error
    if written != FORMAT_VERSION:
        raise StaleArtifact(
            str(path), expected=f"format {FORMAT_VERSION}", got=written, remedy="Build again with this version of kgrecall."
        )
    return manifest


def _check_file(path: Path, facts: Mapping[str, Any], *, verify: bool) -> None:
    if not path.is_file():
        raise CorruptArtifact(
            str(path), expected="a file of the build", got=Shown("nothing"), remedy="Build again, or roll back."
        )
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise CorruptArtifact(str(path), expected=f"{facts['bytes']} bytes", got=size, remedy="Build again, or roll back.")
    if verify and (digest := _sha256(path)) != facts["sha256"]:
        raise CorruptArtifact(str(path), expected=f"sha256 {facts['sha256']}", got=digest, remedy="Build again, or roll back.")


def _describe(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _point(out: Path, name: str) -> None:
    fresh = out / f".current-{secrets.token_hex(4)}"
    fresh.write_text(name + "\n", encoding="utf-8")
    _sync(fresh)
    fresh.replace(out / "current")
    _sync(out)


def _drop_old(out: Path) -> None:
    current = current_build(out).name
    old = [name for name in builds(out) if name < current]
    for name in old[: -(_KEPT_BUILDS - 1) or None]:
        shutil.rmtree(out / name, ignore_errors=True)
