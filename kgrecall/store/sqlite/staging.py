"""A batch as a small SQLite database in memory, so that one statement takes it into the store.

``executemany`` turns every value into a Python object and back. Here NumPy and Arrow lay the rows out as SQLite itself would
(https://www.sqlite.org/fileformat2.html, sections 1.5, 1.6 and 2.1), SQLite opens these bytes as an attached database, and
``INSERT ... SELECT`` moves them: that takes a third of the time, and the store's file is written by SQLite alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kgrecall.types import BoolArray, IntArray

FEWEST_ROWS = 2_000
"""Below this the fixed cost, about a millisecond, is not worth it."""
TABLE = "staged.rows"
_NAME = "staged"
_PAGE = 65_536
_PAGE_HEADER, _INTERIOR_HEADER = 8, 12
_LONGEST = 16_000
"""Bytes of all texts of a row; more would need overflow pages."""
_MOST_PAGES = 6_500
"""What one root page can point at: 400 MB."""
_FIRST_ROWID = 1 << 21
"""From here to 2^28 a rowid takes four bytes."""
_INTEGER, _FLOAT, _ZERO, _ONE = 6, 7, 8, 9
"""Serial types: eight bytes, eight bytes, and two constants that take none."""
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Field:
    """One column of the table, (n,) each: ``types`` its serial types in one or three bytes, ``numbers`` its values in eight
    bytes, or ``texts``; ``null`` where it has no value, if anywhere. That is told by a field of its own, so that every row
    has the same fields."""

    name: str
    types: Bytes
    numbers: Bytes | None = None
    texts: pa.BinaryArray | None = None
    null: BoolArray | None = None


def available() -> bool:
    """Whether this SQLite can open a run of bytes (3.36 or later)."""
    return hasattr(sqlite3.Connection, "deserialize")


def stage(connection: sqlite3.Connection, columns: Sequence[pa.Array]) -> list[str] | None:
    """Attach :data:`TABLE` with these rows, in their order; once per transaction, and :func:`forget` it after its end.

    Args:
        connection: inside a transaction.
        columns: of int64, bool, float64, string or binary, each (n,), n > 0.

    Returns:
        The SQL expression of each column; None when the rows are too long or too many for this way.
    """
    fields = [_field(f"c{i}", column) for i, column in enumerate(columns)]
    image = _image(sorted(fields, key=lambda field: field.texts is not None), len(columns[0]))
    if image is None:
        return None
    connection.execute(f"ATTACH ':memory:' AS {_NAME}")
    connection.deserialize(image, name=_NAME)  # type: ignore[arg-type]  # any buffer will do
    return [field.name if field.null is None else f"iif(null_{field.name}, NULL, {field.name})" for field in fields]


def forget(connection: sqlite3.Connection) -> None:
    """Detach what was staged, if anything; outside of transactions, where the rows were needed no longer."""
    if any(row[1] == _NAME for row in connection.execute("PRAGMA database_list")):
        connection.execute(f"DETACH {_NAME}")


def _field(name: str, column: pa.Array) -> _Field:
    null = np.asarray(pc.is_null(column).to_numpy(zero_copy_only=False), np.bool_) if column.null_count else None
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        texts = column.cast(pa.binary()).fill_null(b"") if column.null_count else column.cast(pa.binary())
        lengths = pc.binary_length(texts).to_numpy().astype(np.int64)
        return _Field(name, _varint(12 + pa.types.is_string(column.type) + 2 * lengths), texts=texts, null=null)
    real = pa.types.is_floating(column.type)
    filled = column.fill_null(False if pa.types.is_boolean(column.type) else 0) if column.null_count else column
    values = filled.to_numpy(zero_copy_only=False).astype(">f8" if real else ">i8")
    types = np.full((len(column), 1), _FLOAT if real else _INTEGER, np.uint8)
    return _Field(name, types, numbers=values.view(np.uint8).reshape(-1, 8), null=null)


def _varint(values: IntArray, size: int = 3) -> Bytes:
    """Numbers below 2^(7 * size) in ``size`` bytes each, (n, size): all but the last one carry the high bit."""
    data = np.empty((len(values), size), np.uint8)
    for i in range(size):
        data[:, i] = values >> 7 * (size - 1 - i) & 0x7F
    data[:, :-1] |= 0x80
    return data


def _image(fields: Sequence[_Field], rows: int) -> Bytes | None:
    """A database file, (pages, 65536): header and schema, the root of the table, the leaves. Fields of numbers come first."""
    found = _cells(fields, rows)
    if found is None:
        return None
    cells, ends = found
    firsts = _page_starts(ends)
    if len(firsts) > _MOST_PAGES:
        return None
    names = [field.name for field in fields] + [f"null_{field.name}" for field in fields if field.null is not None]
    lasts = np.append(firsts[1:], rows)
    above = 1 if len(firsts) == 1 else 2  # a single leaf is the root itself
    image = np.zeros((above + len(firsts), _PAGE), np.uint8)
    image[0] = _head(tuple(names))
    image[0, 28:32] = _big(len(image), 4)
    for page, first, last in zip(image[above:], firsts, lasts, strict=True):
        _fill_leaf(page, cells, ends[first : last + 1])
    if above == 2:
        _fill_root(image[1], _FIRST_ROWID + lasts - 1)
    return image


def _cells(fields: Sequence[_Field], rows: int) -> tuple[Bytes, IntArray] | None:
    """All cells in one run of bytes, and where each ends; the first entry is 0. None when one is too long."""
    texts = [field.texts for field in fields if field.texts is not None]
    lengths = sum((pc.binary_length(text).to_numpy().astype(np.int64) for text in texts), np.zeros(rows, np.int64))
    parts = [field.types for field in fields]
    parts += [np.where(field.null, _ONE, _ZERO).astype(np.uint8)[:, None] for field in fields if field.null is not None]
    header = 1 + sum(part.shape[1] for part in parts)
    parts += [field.numbers for field in fields if field.numbers is not None]
    size = header + 8 * sum(field.numbers is not None for field in fields)
    if header > 127 or lengths.max() > _LONGEST:
        return None
    width = 7 + size
    fixed = np.empty((rows, width), np.uint8)
    fixed[:, :3] = _varint(size + lengths)
    fixed[:, 3:7] = _varint(_FIRST_ROWID + np.arange(rows, dtype=np.int64), 4)
    fixed[:, 7] = header
    at = 8
    for part in parts:
        fixed[:, at : at + part.shape[1]] = part
        at += part.shape[1]
    ends = np.concatenate([[0], np.cumsum(width + lengths)])
    if not texts:
        return fixed.reshape(-1), ends
    heads = pa.Array.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(fixed)]).cast(pa.binary())
    joined = pc.binary_join_element_wise(heads, *texts, b"")
    return np.frombuffer(joined.buffers()[2], np.uint8)[: ends[-1]], ends


def _page_starts(ends: IntArray) -> IntArray:
    """The first row of every leaf: as many as fit, with two bytes each for the pointer."""
    filled = ends + 2 * np.arange(len(ends))
    starts, room = [0], _PAGE - _PAGE_HEADER
    while (after := int(np.searchsorted(filled, filled[starts[-1]] + room, side="right")) - 1) < len(ends) - 1:
        starts.append(after)
    return np.array(starts, np.int64)


def _fill_leaf(page: Bytes, cells: Bytes, ends: IntArray) -> None:
    rows, size = len(ends) - 1, int(ends[-1] - ends[0])
    page[0] = 13
    page[3:5], page[5:7] = _big(rows, 2), _big(_PAGE - size, 2)
    page[_PAGE_HEADER : _PAGE_HEADER + 2 * rows] = (_PAGE - ends[-1] + ends[:-1]).astype(">u2").view(np.uint8)
    page[_PAGE - size :] = cells[ends[0] : ends[-1]]


def _fill_root(page: Bytes, last_rowids: IntArray) -> None:
    """Every leaf but the last one with its highest rowid; leaves begin at page 3."""
    leaves = len(last_rowids)
    children = (3 + np.arange(leaves - 1)).astype(">u4").view(np.uint8).reshape(-1, 4)
    cells = np.concatenate([children, _varint(last_rowids[:-1], 4)], axis=1)
    start = _PAGE - cells.size
    page[0] = 5
    page[3:5], page[5:7], page[8:12] = _big(leaves - 1, 2), _big(start, 2), _big(2 + leaves, 4)
    at = start + 8 * np.arange(leaves - 1)
    page[_INTERIOR_HEADER : _INTERIOR_HEADER + 2 * len(at)] = at.astype(">u2").view(np.uint8)
    page[start:] = cells.reshape(-1)


def _big(value: int, size: int) -> Bytes:
    return np.frombuffer(value.to_bytes(size, "big"), np.uint8)


@cache
def _head(names: tuple[str, ...]) -> Bytes:
    """The first page of a database whose only table, rooted at page 2, has these columns."""
    connection = sqlite3.connect(":memory:")
    for statement in (f"PRAGMA page_size = {_PAGE}", "PRAGMA auto_vacuum = 0", f"CREATE TABLE rows({', '.join(names)})"):
        connection.execute(statement)
    page = np.frombuffer(connection.serialize()[:_PAGE], np.uint8)
    connection.close()
    return page
