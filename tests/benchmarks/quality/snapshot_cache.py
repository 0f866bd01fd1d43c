"""Snapshots of the benchmark sets, kept between runs: a killed run goes on without importing everything again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from kgrecall.graph.snapshot import GraphSnapshot
from tests.benchmarks.quality import reshape
from tests.benchmarks.quality.memory_folder import memory_folder
from tests.benchmarks.record import ROOT

CODE = ("sources", "store", "graph")
"""Rooms of kgrecall that decide what a snapshot of given files holds."""


def kept_snapshot(name: str, folder: Path, mapping: Path, read: Callable[[], GraphSnapshot]) -> GraphSnapshot:
    """The snapshot of this set if one was kept for exactly these files, this mapping and this code; else ``read()``, kept."""
    kept = memory_folder() / "snapshots" / f"{name}-{_digest(folder, mapping)}"
    if kept.exists():
        print(f"{name}: the snapshot of an earlier run, {kept}")
        return GraphSnapshot.load(kept)
    snapshot = read()
    snapshot.save(kept)
    return snapshot


def _digest(folder: Path, mapping: Path) -> str:
    digest = hashlib.sha256(mapping.read_bytes())
    for path in _code():
        digest.update(path.read_bytes())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found = path.stat()
        digest.update(f"{path.relative_to(folder)} {found.st_size} {found.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _code() -> Iterator[Path]:
    yield Path(reshape.__file__)
    for room in CODE:
        yield from sorted((ROOT / "kgrecall" / room).rglob("*.py"))
