"""What an instance of the store has created, so that it need not be read back before each write.

To merge an edge means to know whether it is there, and the way to know is to read the edges of its source: a large import into
an empty database would read each of its own edges several times. An instance therefore remembers the edges that it created (a
64-bit hash of each) and how many each source got from it. A source that has exactly so many in the database, counted under its
lock, has no others: of its records only those with a remembered hash can be there. Any other source is read as ever, so edges
of other programs, of a transaction whose commit was reported lost, or of an earlier run are met; what would slip through is
another program that takes an edge away and adds another one to the same source in the middle of an import.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kgrecall.types import BoolArray, IntArray

Hashes = NDArray[np.uint64]
MOST_EDGES = 50_000_000
"""Edges remembered of a relation, 8 bytes each beside 16 a source; sources of later ones are read."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


@dataclass(slots=True)
class _Relation:
    """Shapes: ``edges`` uint64 (n,), ascending; ``sources`` uint64 (m,), ascending, and how many edges each got, int64 (m,)."""

    edges: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    sources: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    counts: IntArray = field(default_factory=lambda: np.empty(0, np.int64))


Book = dict[str, _Relation]


class Ledger:
    """The edges that one instance of the store created, by relation; threads may share it."""

    def __init__(self, most: int = MOST_EDGES) -> None:
        self._most, self._lock = most, threading.Lock()
        self._book: Book = {}

    def open(
        self,
        relation: str,
        ends: tuple[pa.StringArray, pa.StringArray],
        pairs: tuple[IntArray, IntArray],
        key: Sequence[pa.Array],
    ) -> Page:
        """What is known of the records of one call.

        Args:
            ends: distinct ids of sources and of targets.
            pairs: per record, int64 (n,), its source and its target among them.
            key: the columns that tell edges of the same ends apart.
        """
        source, target = (hashed(ids) for ids in ends)
        edge = mixed(source[pairs[0]], target[pairs[1]], *(hashed(column) for column in key))
        with self._lock:
            book = self._book
            found = book.get(relation, _Relation())
            known = _Relation(found.edges, found.sources, found.counts)  # as it is now
        at = np.searchsorted(known.sources, source)
        inside = np.flatnonzero(at < len(known.sources))
        had = np.zeros(len(source), np.int64)
        same = inside[known.sources[at[inside]] == source[inside]]
        had[same] = known.counts[at[same]]
        return Page(book, relation, source, pairs[0], edge, had, _among(edge, known.edges))

    def close(self, page: Page) -> None:
        """Remember what was created in the meantime, unless something was deleted since the page was opened."""
        with self._lock:
            if page.book is self._book:
                self._remember(page)

    def _remember(self, page: Page) -> None:
        known = page.book.setdefault(page.relation, _Relation())
        new = page.edge[page.created]
        if not len(new) or len(known.edges) + len(new) > self._most:
            return
        known.edges = np.sort(np.concatenate([known.edges, new]), kind="stable")
        given = np.flatnonzero(page.got)
        sources, place = np.unique(np.concatenate([known.sources, page.source[given]]), return_inverse=True)
        counts = np.bincount(place, weights=np.concatenate([known.counts, page.got[given]]), minlength=len(sources))
        known.sources, known.counts = sources, counts.astype(np.int64)

    def forget(self) -> None:
        """After a deletion counts tell nothing any more."""
        with self._lock:
            self._book = {}


@dataclass(slots=True, eq=False)
class Page:
    """One call's part of a ledger. Workers share it: no two of them have a source at the same time.

    Shapes: of the distinct sources, ``source`` uint64 (m,) their hashes, ``had`` and ``got`` int64 (m,) their edges from
    earlier calls and from this one; of the records, ``of`` int64 (n,) their source, ``edge`` uint64 (n,) their hashes, ``seen``
    and ``created`` bool (n,): whether an edge of this hash was created earlier, or in this call.
    """

    book: Book
    relation: str
    source: Hashes
    of: IntArray
    edge: Hashes
    had: IntArray
    seen: BoolArray
    got: IntArray = field(init=False)
    created: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        self.got, self.created = np.zeros_like(self.had), np.zeros_like(self.seen)

    def alone(self, sources: IntArray, edges: IntArray) -> BoolArray:
        """Which of these sources, given how many edges each has, have none but those that the ledger knows."""
        same: BoolArray = edges == self.had[sources] + self.got[sources]
        return same

    def note(self, rows: IntArray) -> None:
        """These records were created, and that is committed."""
        self.created[rows] = True
        np.add.at(self.got, self.of[rows], 1)


def hashed(values: pa.Array) -> Hashes:
    """A hash of each value, the same for equal values as long as this process lives: uint64 (n,)."""
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        none = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        numbers = pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
        bits = (numbers + 0.0 if pa.types.is_floating(values.type) else numbers.astype(np.int64)).view(np.uint64)  # no -0.0
        return np.where(none, _GOLDEN, _spread(bits))
    plain: list[Any] = values.to_pylist()
    if pa.types.is_nested(values.type):
        plain = [None if value is None else tuple(value) for value in plain]
    return np.fromiter(map(hash, plain), np.int64, len(plain)).view(np.uint64)


def mixed(*parts: Hashes) -> Hashes:
    """One hash of several, (n,) each; the order counts."""
    total = np.zeros(len(parts[0]), np.uint64)
    for part in parts:
        total = _spread((total ^ part) + _GOLDEN)
    return total


def _spread(bits: Hashes) -> Hashes:
    bits = (bits ^ (bits >> _SHIFT)) * _GOLDEN
    return bits ^ (bits >> _SHIFT)


def _among(values: Hashes, known: Hashes) -> BoolArray:
    """Whether each value is in an ascending array: bool (n,)."""
    at = np.searchsorted(known, values)
    found: BoolArray = at < len(known)
    found[found] = known[at[found]] == values[found]
    return found
