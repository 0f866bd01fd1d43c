"""Forgetting people and things for good: in the graph, in the bytes of its file, and in the quarantine of its imports."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import pyarrow as pa

from kgrecall.errors import ConfigError, Shown, SourceError
from kgrecall.sources.quarantine import part_of
from kgrecall.store.base import GraphStore


@runtime_checkable
class Compacting(Protocol):
    """A store that can rewrite its files without what was deleted from them."""

    def compact(self) -> None:
        """Raises StoreConflict while somebody else reads or writes."""
        ...


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure found: nodes of the graph, and lines of quarantine files."""

    nodes: int
    quarantined: int


def erase(store: GraphStore, label: str, ids: Sequence[str], *, quarantines: Iterable[str | Path] = ()) -> Erasure:
    """Delete nodes with all their edges, rewrite the store's files so that no byte of the ids stays behind, and take every
    line that mentions one of the ids out of the quarantine files, also of those that an import left unfinished. Repeatable.
    Snapshots and models that were built before still know the ids: build them again.

    Raises:
        SchemaError: no such label.
        StoreConflict: another process uses the store; its nodes are deleted, run it again to clean the file.
        SourceError: a quarantine file cannot be read or rewritten.
    """
    nodes = store.delete_nodes(label, pa.array(ids, pa.string()))
    lines = sum(_clean(part, ids) for path in quarantines for part in (Path(path), part_of(Path(path))))
    if isinstance(store, Compacting):
        store.compact()
    return Erasure(nodes, lines)


def delete_edges(store: GraphStore, relation: str, ends: Sequence[str]) -> int:
    """Delete all edges of a relation between pairs of nodes; how many were there.

    Args:
        ends: source, target, source, target, ...

    Raises:
        SchemaError: no such relation.
        ConfigError: an end is left over.
    """
    if len(ends) % 2:
        raise ConfigError(
            f"{relation} edges", expected="pairs of SOURCE and TARGET", got=Shown(f"{len(ends)} ids"), remedy="Name both ends."
        )
    return store.delete_edges(relation, pa.array(ends[0::2], pa.string()), pa.array(ends[1::2], pa.string()))


def _clean(path: Path, ids: Sequence[str]) -> int:
    """Rewrite a quarantine file without the lines that mention an id; how many these were."""
    if not path.exists() or not ids:
        return 0
    words = "|".join(re.escape(i) for i in sorted(ids, key=len, reverse=True))
    mention = re.compile(rf"(?<!\w)(?:{words})(?!\w)")
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        half = bool(lines) and path.suffix == ".part" and not lines[-1].endswith("\n")  # its writer was killed
        kept = [line for line in (lines[:-1] if half else lines) if not mention.search(str(json.loads(line).get("value", "")))]
        if len(kept) < len(lines):
            _replace(path, "".join(kept))
    except (OSError, ValueError, AttributeError) as error:
        raise SourceError(
            "quarantine file",
            expected="JSON lines that can be rewritten",
            got=str(path),
            remedy=f"{error}. Check the path and its rights.",
        ) from error
    return len(lines) - len(kept)


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".clean")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
