"""What an import has created, so that it need not be read back before each write.

To merge an edge means to know whether it is there, and the way to know is to read the edges of its source: a large import into
an empty database would read each of its own edges several times. While it runs, an instance of the store therefore remembers
the edges that it created (a 64-bit hash of each) and how many each source got from it. A source that has exactly so many in the
database, counted under its lock, has no others: of its records only those with a remembered hash can be there. Any other source
is read as ever, so edges of other programs, of a transaction whose commit was reported lost, or of an earlier run are met; what
would slip through is another program that takes an edge away and adds another one to the same source during the import.
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
    """Sorted runs, of which each is more than twice as long as the next: what comes in many small calls is sorted few times.

    Shapes: ``edges`` uint64 (n,) each; ``sources`` uint64 (m,), distinct, beside how many edges each got, int64 (m,).
    """

    edges: tuple[Hashes, ...] = ()
    sources: tuple[tuple[Hashes, IntArray], ...] = ()

    @property
    def size(self) -> int:
        return sum(len(run) for run in self.edges)

    def seen(self, edge: Hashes) -> BoolArray:
        found = np.zeros(len(edge), np.bool_)
        for run in self.edges:
            at = _places(run, edge)
            found |= at >= 0
        return found

    def had(self, source: Hashes) -> IntArray:
        total = np.zeros(len(source), np.int64)
        for known, counts in self.sources:
            at = _places(known, source)
            total[at >= 0] += counts[at[at >= 0]]
        return total

    def with_more(self, edges: Hashes, sources: Hashes, counts: IntArray) -> _Relation:
        runs, given = [*self.edges, np.sort(edges)], [*self.sources, _summed(sources, counts)]
        while len(runs) > 1 and len(runs[-2]) <= 2 * len(runs[-1]):
            runs[-2:] = [np.sort(np.concatenate(runs[-2:]), kind="stable")]
        while len(given) > 1 and len(given[-2][0]) <= 2 * len(given[-1][0]):
            (first, ours), (second, theirs) = given[-2:]
            given[-2:] = [_summed(np.concatenate([first, second]), np.concatenate([ours, theirs]))]
        return _Relation(tuple(runs), tuple(given))


Book = dict[str, _Relation]


class Ledger:
    """The edges that an import of this instance has created so far, by relation; threads may share it."""

    def __init__(self, most: int = MOST_EDGES) -> None:
        self._most, self._lock = most, threading.Lock()
        self._book: Book | None = None

    def begin(self) -> None:
        """An import begins: remember from now on."""
        with self._lock:
            self._book = {}

    def end(self) -> None:
        """It is over: what it created need not be known any longer."""
        with self._lock:
            self._book = None

    def forget(self) -> None:
        """After a deletion counts tell nothing any more."""
        with self._lock:
            self._book = None if self._book is None else {}

    def open(
        self,
        relation: str,
        ends: tuple[pa.StringArray, pa.StringArray],
        pairs: tuple[IntArray, IntArray],
        key: Sequence[pa.Array],
    ) -> Page:
        """What is known of the records of one call; outside of an import nothing.

        Args:
            ends: distinct ids of sources and of targets.
            pairs: per record, int64 (n,), its source and its target among them.
            key: the columns that tell edges of the same ends apart.
        """
        with self._lock:
            book, known = self._book, (self._book or {}).get(relation, _Relation())
        if book is None:
            empty = np.empty(0, np.uint64)
            had, seen = np.zeros(len(ends[0]), np.int64), np.zeros(len(pairs[0]), np.bool_)
            return Page(None, relation, empty, pairs[0], empty, had, seen)
        source, target = (hashed(ids) for ids in ends)
        edge = mixed(source[pairs[0]], target[pairs[1]], *(hashed(column) for column in key))
        return Page(book, relation, source, pairs[0], edge, known.had(source), known.seen(edge))

    def close(self, page: Page) -> None:
        """Remember what was created in the meantime; after a deletion, in a book that nobody reads any more."""
        with self._lock:
            if page.book is not None:
                known = page.book.get(page.relation, _Relation())
                new, given = page.edge[page.created], page.got > 0
                if len(new) and known.size + len(new) <= self._most:
                    page.book[page.relation] = known.with_more(new, page.source[given], page.got[given])


@dataclass(slots=True, eq=False)
class Page:
    """One call's part of a ledger. Workers share it: no two of them have a source at the same time.

    Shapes: of the distinct sources, ``source`` uint64 (m,) their hashes, ``had`` and ``got`` int64 (m,) their edges from
    earlier calls and from this one; of the records, ``of`` int64 (n,) their source, ``edge`` uint64 (n,) their hashes, ``seen``
    and ``created`` bool (n,): whether an edge of this hash was created earlier, or in this call.
    """

    book: Book | None
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


def _places(known: Hashes, values: Hashes) -> IntArray:
    """Where each value stands in an ascending array, -1 where it does not: int64 (n,)."""
    at = np.searchsorted(known, values)
    inside = at < len(known)
    inside[inside] = known[at[inside]] == values[inside]
    return np.where(inside, at, -1)


def _summed(sources: Hashes, counts: IntArray) -> tuple[Hashes, IntArray]:
    """Distinct sources, ascending, and their counts added up."""
    distinct, place = np.unique(sources, return_inverse=True)
    total = np.zeros(len(distinct), np.int64)
    np.add.at(total, place, counts)
    return distinct, total
