"""Where the records of delimited text end: blocks of whole records, with broken quoting taken out.

The grammar is RFC 4180, strictly: a cell is quoted when its first character is the quote; inside, a doubled quote stands for
one; behind the closing quote comes a delimiter or the end of the record. A quote anywhere else is ordinary text. A record
that opens a quote and does not close it so is broken: its first line is put aside and reading goes on with the next line,
so that one stray quote never swallows the rest of a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import Shown, SourceError

MAX_RECORD_BYTES = 1 << 20
"""A quoted cell that does not end within this many bytes counts as never closed."""
_MAX_LINE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """``delimiter`` and ``quote`` as UTF-8 bytes; quote None: quotes are ordinary text."""

    delimiter: bytes
    quote: bytes | None


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records. ``broken``: position among all records of the block -> the line that was taken out of ``data``."""

    data: bytes
    broken: dict[int, bytes]
    share: float


def record_blocks(chunks: Iterable[tuple[bytes, float]], dialect: Dialect) -> Iterator[Block]:
    """Regroup chunks into blocks that end where a record ends (the last one may lack its line end).

    Raises:
        SourceError: no line end within 64 MiB.
    """
    rest, share = b"", 0.0
    for chunk, share in chunks:
        data = rest + chunk if rest else chunk
        block, rest = _cut(data, dialect, share, final=False)
        if block is not None:
            yield block
        if len(rest) > _MAX_LINE_BYTES:
            raise SourceError(
                "line",
                expected="a line end within 64 MiB",
                got=Shown(f"{rest[:60]!r} ..."),
                remedy="This does not look like a table in text form: check the format and the encoding.",
            )
    if rest:
        block, _ = _cut(rest, dialect, share, final=True)
        if block is not None:
            yield block


def first_record(data: bytes, dialect: Dialect) -> tuple[list[bytes], int]:
    """The cells of the first record that is not blank, and the position behind it.

    A broken first record is split at its delimiters alone.
    """
    start = len(data) - len(data.lstrip(b"\r\n"))
    match = _grammar(dialect).match(data, start)
    if match is None:
        end = _line_end(data, start)
        return data[start:end].rstrip(b"\r\n").split(dialect.delimiter), end
    return split_cells(match.group().rstrip(b"\r\n"), dialect), match.end()


def split_records(data: bytes, dialect: Dialect) -> Iterator[bytes]:
    """The records of a block, line ends included."""
    record = _grammar(dialect)
    at = 0
    while at < len(data):
        match = record.match(data, at)
        assert match is not None, "a block holds whole records"
        yield match.group()
        at = match.end()


def split_cells(record: bytes, dialect: Dialect) -> list[bytes]:
    """The cells of one record without its line end; from a broken quote on, the rest is one cell."""
    quote, cells, at = dialect.quote, [], 0
    cell = _cell(dialect)
    while True:
        match = cell.match(record, at)
        text = match.group() if match else record[at:]
        at += len(text) + len(dialect.delimiter)
        quoted = match is not None and quote is not None and text.startswith(quote)
        cells.append(text[1:-1].replace(quote * 2, quote) if quoted and quote else text)
        if at > len(record):
            return cells


def _cut(data: bytes, dialect: Dialect, share: float, *, final: bool) -> tuple[Block | None, bytes]:
    """(whole records from the front of ``data``, what is left)."""
    if dialect.quote is None or dialect.quote not in data:
        end = len(data) if final else _last_line_end(data, len(data))
    else:
        end = _well_formed_end(data, dialect, final=final)
        if end < 0:
            return _cut_slowly(data, dialect, share, final=final)
    return (Block(data[:end], {}, share) if end else None), data[end:]


def _last_line_end(data: bytes, stop: int) -> int:
    """The position behind the last line end before ``stop``; 0 when there is none.

    Files of a lone carriage return per line are cut there, never between CR and LF.
    """
    end = data.rfind(b"\n", 0, stop) + 1
    return end or data.rfind(b"\r", 0, max(stop - 1, 0)) + 1


def _well_formed_end(data: bytes, dialect: Dialect, *, final: bool) -> int:
    """Where the last whole record ends, found without looking at every cell; -1 when some quoting breaks the grammar.

    Counted from the front, every even quote must open a cell and every odd one must close it (the two halves of a doubled
    quote close and open again at once). When this holds everywhere, it is what the grammar says.
    """
    assert dialect.quote is not None
    raw = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(raw == dialect.quote[0])
    opening, closing = quotes[0::2], quotes[1::2]
    doubled = opening[1:] == closing[: len(opening) - 1] + 1
    starts = _is_edge(raw, opening - 1, dialect, before=True)
    starts[1:] |= doubled
    ends = _is_edge(raw, closing + len(dialect.quote), dialect, before=False)
    ends[: len(doubled)] |= doubled
    if not (starts.all() and ends.all()) or (final and len(quotes) % 2 == 1):
        return -1
    if final:
        return len(data)
    end = _last_line_end_outside(data, quotes)
    return -1 if len(quotes) % 2 == 1 and len(data) - opening[-1] > MAX_RECORD_BYTES else end


def _last_line_end_outside(data: bytes, quotes: NDArray[np.int64]) -> int:
    """The position behind the last line end that is not inside a quoted cell; 0 when there is none."""
    stop = len(data)
    while True:
        end = _last_line_end(data, stop)
        before = int(np.searchsorted(quotes, end))
        if end == 0 or before % 2 == 0:
            return end
        stop = int(quotes[before - 1])


def _is_edge(raw: NDArray[np.uint8], at: NDArray[np.int64], dialect: Dialect, *, before: bool) -> NDArray[np.bool_]:
    """Whether a delimiter or a line end stands at these positions (or, ``before``: ends there), or the data does."""
    outside = (at < 0) | (at >= len(raw))
    inside = np.where(outside, 0, at)
    edge = outside | (raw[inside] == 0x0A) | (raw[inside] == 0x0D)
    first = at - len(dialect.delimiter) + 1 if before else at
    fits = (first >= 0) & (first + len(dialect.delimiter) <= len(raw))
    same = fits.copy()
    for i, byte in enumerate(dialect.delimiter):
        same &= raw[np.where(fits, first + i, 0)] == byte
    return np.asarray(edge | same, np.bool_)


def _cut_slowly(data: bytes, dialect: Dialect, share: float, *, final: bool) -> tuple[Block | None, bytes]:
    """Record by record, for blocks with broken or stray quotes."""
    record = _grammar(dialect)
    good: list[bytes] = []
    broken: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        match = record.match(data, at)
        end = match.end() if match else _line_end(data, at)
        if not final and (end == len(data) or (match is None and len(data) - at <= MAX_RECORD_BYTES)):
            break  # it may go on in the next chunk
        if match:
            text = match.group()  # a lone CR could fuse with the LF of a blank line once what is between them is taken out
            good.append(text[:-1] + b"\n" if text.endswith(b"\r") else text)
        else:
            broken[len(good) + len(broken)] = data[at:end].rstrip(b"\r\n")
        at = end
    return (Block(b"".join(good), broken, share) if good or broken else None), data[at:]


def _line_end(data: bytes, at: int) -> int:
    match = _LINE.search(data, at)
    return match.end() if match else len(data)


_LINE = re.compile(rb"\r\n|\n|\r")


def _cell(dialect: Dialect) -> re.Pattern[bytes]:
    delimiter = re.escape(dialect.delimiter)
    plain = rb"[^%b\r\n]*+" if len(dialect.delimiter) == 1 else rb"(?:(?!%b)[^\r\n])*+"
    plain %= delimiter
    if dialect.quote is None:
        return re.compile(plain)
    q = re.escape(dialect.quote)
    quoted = rb"%b(?:[^%b]|%b%b)*+%b(?=%b|[\r\n]|\Z)" % (q, q, q, q, q, delimiter)
    return re.compile(rb"(?:%b|(?!%b)%b)" % (quoted, q, plain))


def _grammar(dialect: Dialect) -> re.Pattern[bytes]:
    cell = _cell(dialect).pattern
    return re.compile(rb"%b(?:%b%b)*+(?:\r\n|\n|\r|\Z)" % (cell, re.escape(dialect.delimiter), cell))
