"""Records that could not be read, kept with their place and a reason instead of stopping the import."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import RLock
from typing import IO

from pydantic import Field

from kgrecall.errors import ConfigError, Shown, SourceError, TooManyBadRows, shorten
from kgrecall.settings import Settings
from kgrecall.types import IntArray


class Reason(StrEnum):
    """Why a record is in the quarantine. The codes are stable: scripts may rely on them."""

    MISSING_ID = "missing_id"
    """The id of a node, or an end of an edge, is empty or blank."""
    MISSING_KEY = "missing_key"
    """A property that belongs to the key of the relation has no value."""
    TOO_LONG = "too_long"
    """An id of more than 1,024 bytes, or a text of more than 1 MiB."""
    BAD_ENCODING = "bad_encoding"
    """Bytes that are no text in the file's encoding."""
    RAGGED_ROW = "ragged_row"
    """More or fewer cells than the file has columns."""
    BAD_QUOTE = "bad_quote"
    """A quoted cell that never ends, or that goes on behind its closing quote."""
    REPEATED_HEADER = "repeated_header"
    """The header once more, as in files that were glued together."""
    BAD_JSON = "bad_json"
    """A line that is not one JSON object."""
    NOT_A_SCALAR = "not_a_scalar"
    """A list or an object where one value is needed."""
    NOT_A_NUMBER = "not_a_number"
    """Text that does not read as a number."""
    NOT_AN_INTEGER = "not_an_integer"
    """Text that does not read as a whole number."""
    NOT_FINITE = "not_finite"
    """NaN or an infinity."""
    NOT_A_BOOLEAN = "not_a_boolean"
    """None of true, false, yes, no, on, off, t, f, y, n, 1, 0 and a few words of other languages."""
    NOT_A_TIME = "not_a_time"
    """Neither a number nor a date and time, in ISO 8601 or in the format that the mapping names."""
    NAIVE_TIME = "naive_time"
    """A date and time without an offset, in a column without a declared timezone."""
    OUT_OF_RANGE = "out_of_range"
    """A number that does not fit 64 bits, or a time outside the years 1 to 9999."""
    FUTURE_TIME = "future_time"
    """An event more than a day in the future."""
    NEGATIVE_TIME = "negative_time"
    """An event before 1970."""
    DANGLING_SOURCE = "dangling_source"
    """The source of an edge is not a node of the store."""
    DANGLING_TARGET = "dangling_target"
    """The target of an edge is not a node of the store."""
    CONTRADICTION = "contradiction"
    """Says something else than an earlier record of the same key, where the import was told to refuse that."""


class QuarantineLimits(Settings):
    """How much may go wrong before the import stops with TooManyBadRows."""

    max_rows: int | None = Field(default=100_000, ge=0)
    """Stop above this many bad records; 0 stops at the first one, None never."""
    max_share: float = Field(default=0.1, ge=0, le=1)
    """Stop when more than this share of the records read is bad; 1 never stops."""
    share_from: int = Field(default=1_000, ge=0)
    """The share is judged once this many records were read."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """One line of the quarantine file. ``record`` is the label or the relation that the row asked for."""

    file: str
    row: int
    record: str
    column: str
    reason: Reason
    value: str

    def to_json(self) -> str:
        parts = (self.file, self.row, self.record, self.column, str(self.reason), self.value)
        return json.dumps(dict(zip(_FIELDS, parts, strict=True)), ensure_ascii=True)

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}, column {self.column!r}: {self.reason}, {self.value}"


_FIELDS = ("file", "row", "record", "column", "reason", "value")
_MAX_VALUE = 200
_MARKED = re.compile(rb"\xed[\xb0-\xb3][\x80-\xbf]")
"""How :mod:`kgrecall.sources.streams` writes a byte that does not belong to the file's encoding."""


class Quarantine:
    """Counts bad records and writes them as JSON lines, one object a record.

    The file is written beside its place and renamed on :meth:`close`; records that arrive later are appended. When nothing
    was bad there is no file, and the one of an earlier run is removed. Without a path it only counts. Threads may share it.

    Args:
        path: where the JSON lines go; None keeps counts and examples only.
        limits: when to stop.

    Raises:
        ConfigError: ``path`` is a file that is no quarantine.
    """

    def __init__(self, path: str | Path | None = None, limits: QuarantineLimits | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.limits = limits or QuarantineLimits()
        self.reasons: Counter[Reason] = Counter()
        """Bad records by reason."""
        self.records: Counter[str] = Counter()
        """Bad records by label or relation."""
        self.examples: dict[Reason, BadRecord] = {}
        """The first bad record of each reason."""
        self._file: IO[str] | None = None
        self._published = False
        self._turn = RLock()
        if self.path is not None:
            _refuse_foreign(self.path)

    @property
    def total(self) -> int:
        with self._turn:
            return self.reasons.total()

    def add(self, file: str, row: int, *, record: str, column: str, reason: Reason, value: object) -> None:
        """Put one record aside; :meth:`add_many` for a single one."""
        self.add_many(file, [row], record=record, column=column, reason=reason, values=[value])

    def add_many(
        self,
        file: str,
        rows: IntArray | Sequence[int],
        *,
        record: str,
        column: str,
        reason: Reason,
        values: Sequence[object],
    ) -> None:
        """Put records of one label or relation aside that share a column and a reason.

        Args:
            file: the name that :class:`~kgrecall.sources.tables.Origin` carries.
            rows: row numbers, from 1.
            record: label or relation.
            column: column of the file (several names joined by a comma when there is not one to blame).
            reason: the code.
            values: the raw cells, one per row; shortened here.

        Raises:
            TooManyBadRows: more than ``limits.max_rows`` in all.
        """
        bad = [BadRecord(file, int(row), record, column, reason, shown(value)) for row, value in zip(rows, values, strict=True)]
        if not bad:
            return
        with self._turn:
            self.reasons[reason] += len(bad)
            self.records[record] += len(bad)
            self.examples.setdefault(reason, bad[0])
            if self.path is not None:
                self._write("".join(entry.to_json() + "\n" for entry in bad))
        if self.limits.max_rows is not None and self.total > self.limits.max_rows:
            raise self._too_many(f"at most {self.limits.max_rows} bad records")

    def check_share(self, records_read: int) -> None:
        """Compare the bad records with all records read so far.

        Raises:
            TooManyBadRows: their share is above ``limits.max_share``.
        """
        if records_read >= self.limits.share_from and self.total > self.limits.max_share * records_read:
            raise self._too_many(f"at most {self.limits.max_share:.1%} bad among {records_read} records")

    def close(self) -> None:
        """Publish the file. Harmless when called twice."""
        with self._turn:
            if self.path is None or self._published:
                return
            self._published = True
            if self._file is None:
                self.path.unlink(missing_ok=True)
                return
            self._file.close()
            self._file = None
            self._part.replace(self.path)

    @property
    def _part(self) -> Path:
        assert self.path is not None
        return part_of(self.path)

    def _write(self, text: str) -> None:
        assert self.path is not None
        try:
            if self._published:
                with self.path.open("a", encoding="ascii") as file:
                    file.write(text)
                return
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._part.open("w", encoding="ascii")
            self._file.write(text)
        except OSError as error:
            raise SourceError(
                "quarantine file",
                expected="a place that can be written to",
                got=str(self.path),
                remedy=f"{error.strerror}. Choose another path or make room.",
            ) from error

    def _too_many(self, expected: str) -> TooManyBadRows:
        with self._turn:
            worst, count = self.reasons.most_common(1)[0]
        where = f"See {self.path}." if self.path else "Give a quarantine file to see them all."
        return TooManyBadRows(
            "quarantine",
            expected=expected,
            got=Shown(f"{self.total}, of which {count} {worst}; the first: {self.examples[worst]}"),
            remedy=f"{where} Mend the data or the mapping, or raise the limit.",
        )


def part_of(path: Path) -> Path:
    """Where a quarantine file is written until it is complete."""
    return path.with_name(path.name + ".part")


def shown(value: object) -> str:
    """A raw cell as the quarantine prints it: text as it is (undecodable bytes as ``\\xff``), shortened."""
    if isinstance(value, bytes):
        value = _MARKED.sub(lambda mark: bytes([mark.group()[1] % 4 << 6 | mark.group()[2] & 63]), value)
        value = value.decode("utf-8", "backslashreplace")
    return shorten(Shown("" if value is None else value), _MAX_VALUE)


def _refuse_foreign(path: Path) -> None:
    """A quarantine file is replaced without asking, so it must not be anything else."""
    if not path.exists():
        return
    try:
        with path.open(encoding="ascii") as file:
            line = file.readline()
        fine = not line or tuple(json.loads(line)) == _FIELDS
    except (OSError, ValueError, TypeError):
        fine = False
    if not fine:
        raise ConfigError(
            "quarantine file",
            expected="a new file or an earlier quarantine",
            got=str(path),
            remedy="This file holds something else and would be lost: choose another name.",
        )
