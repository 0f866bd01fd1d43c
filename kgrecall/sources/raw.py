"""What a file reader yields before the mapping is applied: untyped columns, and rows that fell apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from kgrecall.errors import Shown, SourceError
from kgrecall.sources.quarantine import Reason
from kgrecall.types import IntArray


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Some rows of a file.

    ``columns``: name -> Arrow array (n,) of any type (text files give binary or string). ``rows`` int64 (n,), from 1, the
    header not counted. ``share``: how much of the file has been read by now, 0 to 1.
    """

    columns: Mapping[str, pa.Array]
    rows: IntArray
    share: float

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class BadRows:
    """Rows without usable cells: every record they ask for is lost.

    ``rows`` int64 (n,), ``values`` n raw lines or cells, ``column`` the one to blame ("" when it is the whole row).
    """

    rows: IntArray
    reason: Reason
    values: Sequence[object]
    column: str = ""


class TableSource(Protocol):
    """One file or in-memory table with named columns."""

    @property
    def name(self) -> str:
        """How origins, reports and the quarantine call it."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in their order."""
        ...

    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[RawBatch | BadRows]:
        """The named columns, at most ``batch_rows`` rows at a time. Every call starts from the beginning.

        Raises:
            SourceError: the file broke off or is not what it should be.
        """
        ...


@runtime_checkable
class TypedSource(Protocol):
    """A source whose file says itself of what type its columns are."""

    @property
    def types(self) -> Mapping[str, str]:
        """Column -> Arrow's name of its type."""
        ...


def check_unique(name: str, have: Sequence[str], columns: Sequence[str]) -> None:
    """Raises SourceError when one of the mapped ``columns`` is there more than once."""
    twice = [column for column in columns if have.count(column) > 1]
    if twice:
        raise SourceError(
            f"{name}: header",
            expected="every mapped column once",
            got=Shown(f"{twice[0]!r} {have.count(twice[0])} times"),
            remedy="Rename one of them in the file.",
        )


def row_numbers(first: int, total: int, removed: Sequence[int] | IntArray) -> IntArray:
    """Numbers ``first .. first + total - 1`` without those at the (0-based) positions ``removed``."""
    rows = np.arange(first, first + total, dtype=np.int64)
    return rows if len(removed) == 0 else np.delete(rows, np.asarray(removed, np.int64))


def sliced(columns: Mapping[str, pa.Array], rows: IntArray, batch_rows: int, share: float) -> Iterator[RawBatch]:
    """Cut parallel arrays into batches of at most ``batch_rows`` rows."""
    for start in range(0, len(rows), batch_rows):
        part = {name: array.slice(start, batch_rows) for name, array in columns.items()}
        yield RawBatch(part, rows[start : start + batch_rows], share)
