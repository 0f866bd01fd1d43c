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

import platform
import secrets
import shutil
import time
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kgrecall.errors import ConfigError, CorruptArtifact, NotBuilt, Shown
from kgrecall.sealed import MANIFEST, alone_in, flush, new_folder, read_manifest, seal, sweep

FORMAT = "kgrecall artifact"
FORMAT_VERSION = 3
_LIBRARIES = ("kgrecall", "numpy", "scipy", "torch", "torch-geometric", "transformers", "faiss-cpu", "pyarrow")


class ArtifactWriter:
    """Collects the files of one build; leaving the ``with`` block without an error publishes it.

    Args:
        out: the artifact folder; created when absent. An error inside the block leaves it as it was.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self.name = f"build-{_stamp()}-{secrets.token_hex(2)}"
        self.manifest: dict[str, Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> ArtifactWriter:
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError("out", expected="a folder", got=str(self.out), remedy="Name a folder for the built model.")
        sweep(self.out, "build-*")
        self.folder = self._stack.enter_context(new_folder(self.out / self.name))
        self._stack.push(self._seal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with alone_in(self.out):  # a build that ends at the same moment would drop this one before it is pointed at
            self._stack.__exit__(None, None, None)
            before = _current(self.out)
            _point(self.out, self.name)
            _drop_old(self.out, before)

    def _seal(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            seal(self.folder, FORMAT, FORMAT_VERSION, self._facts())

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

    def _facts(self) -> dict[str, Any]:
        return {
            "build": self.name,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "python": platform.python_version(),
            "libraries": library_versions(),
            **self.manifest,
        }


class Artifact:
    """A verified, read-only build.

    Args:
        folder: the artifact folder, or one build inside it.
        verify: compare the sha256 of every file with the manifest.

    Raises:
        NotBuilt: nothing was ever built there.
        CorruptArtifact: a file is missing or differs from its checksum; names the file.
        StaleArtifact: written by another format of kgrecall.
    """

    def __init__(self, folder: str | Path, *, verify: bool = True) -> None:
        self.folder = current_build(folder)
        try:
            self.manifest = read_manifest(self.folder, FORMAT, FORMAT_VERSION, verify=verify)
        except (OSError, CorruptArtifact):
            if current_build(folder) == self.folder:
                raise
            self.folder = current_build(folder)  # a new build was published, and this one removed, in between
            self.manifest = read_manifest(self.folder, FORMAT, FORMAT_VERSION, verify=verify)

    def path(self, name: str) -> Path:
        return self.folder / name

    def has(self, name: str) -> bool:
        return name in self.manifest["files"]

    def array(self, name: str) -> NDArray[Any]:
        """A memory-mapped array."""
        values: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return values.view(np.ndarray)  # the subclass np.memmap makes every later slice slower

    def matrix(self, name: str) -> sparse.csr_array:
        """A memory-mapped sparse matrix."""
        indptr, indices, data = (self.array(f"{name}.{part}") for part in ("indptr", "indices", "data"))
        shape = (len(indptr) - 1, self.manifest["columns"][name])
        return sparse.csr_array((data, indices, indptr), shape=shape, copy=False)


def current_build(folder: str | Path) -> Path:
    """The folder of the build that ``current`` names; ``folder`` itself when it is a build."""
    folder = Path(folder)
    if (folder / MANIFEST).is_file():
        return folder
    pointer = folder / "current"
    if not pointer.is_file():
        raise NotBuilt(
            "artifact", expected="a folder made by `kgrecall build`", got=str(folder), remedy="Build first, or check the path."
        )
    build = folder / pointer.read_text(encoding="utf-8", errors="replace").strip()
    if build == folder or not build.is_dir():
        raise CorruptArtifact(
            str(pointer), expected="the name of a build in the same folder", got=build.name, remedy="Build again, or roll back."
        )
    return build


def builds(folder: str | Path) -> list[str]:
    """The names of all builds in an artifact folder, oldest first."""
    return sorted(p.parent.name for p in Path(folder).glob(f"build-*/{MANIFEST}"))


def rollback(folder: str | Path) -> str:
    """Point ``current`` to the build before the current one; returns its name.

    Raises:
        NotBuilt: there is no earlier build.
    """
    names = builds(folder)
    current = current_build(folder).name
    here = names.index(current) if current in names else 0
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


def _point(out: Path, name: str) -> None:
    fresh = out / f".current-{secrets.token_hex(4)}"
    fresh.write_text(name + "\n", encoding="utf-8")
    flush(fresh)
    fresh.replace(out / "current")
    flush(out)


def _current(out: Path) -> str | None:
    pointer = out / "current"
    return pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else None


def _drop_old(out: Path, before: str | None) -> None:
    """Remove all older builds but the one that was served ``before``, to which one may want to return."""
    current = current_build(out).name
    for name in builds(out):
        if name < current and name != before:
            shutil.rmtree(out / name, ignore_errors=True)
