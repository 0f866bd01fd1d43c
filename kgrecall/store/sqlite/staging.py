"""A batch as a small SQLite database in memory, so that one statement takes it into the store.

``executemany`` turns every value into a Python object and back. Here NumPy and Arrow lay the rows out as SQLite itself would
(https://www.sqlite.org/fileformat2.html, sections 1.5, 1.6 and 2.1), SQLite opens these bytes as an attached database, and
``INSERT ... SELECT`` moves them: that takes a third of the time, and the store's file is written by SQLite alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
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
_INTEGERS, _FLOAT, _ZERO, _ONE = {4: 4, 5: 6, 6: 8}, 7, 8, 9
"""Serial types: those of integers with their bytes, floating point in eight bytes, and two constants that take none."""
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Field:
    """One column of the table: ``types`` its serial types in one or three bytes, (n, 3), or (1, 1) when all rows have the
    same; ``numbers`` (n, 4, 6 or 8) its values, or ``texts`` (n,); ``null`` (n,) where it has no value, if anywhere. That is
    told by a field of its own, so that every row has the same fields."""

    name: str
    types: Bytes
    numbers: Bytes | None = None
    texts: pa.BinaryArray | None = None
    null: BoolArray | None = None


def available() -> bool:
    """Whether this SQLite can open a run of bytes (3.36 or later)."""
    return hasattr(sqlite3.Connection, "deserialize")


def stage(connection: sqlite3.Connection, columns: Iterable[pa.Array], rows: int) -> list[str] | None:
    """Attach :data:`TABLE` with these rows, in their order; once per transaction, and :func:`forget` it after its end.

    Args:
        connection: inside a transaction.
        columns: of int64, bool, float64, string or binary, each (n,); looked at one after another.
        rows: n > 0.

    Returns:
        The SQL expression of each column; None when the rows are too long or too many for this way.
    """
    image, expressions = _laid_out(columns, rows)
    if image is None:
        return None
    connection.execute(f"ATTACH ':memory:' AS {_NAME}")
    connection.deserialize(image, name=_NAME)  # type: ignore[arg-type]  # any buffer will do
    return expressions


def _laid_out(columns: Iterable[pa.Array], rows: int) -> tuple[Bytes | None, list[str]]:
    fields = [_field(f"c{i}", column) for i, column in enumerate(columns)]
    expressions = [field.name if field.null is None else f"iif(null_{field.name}, NULL, {field.name})" for field in fields]
    return _image(sorted(fields, key=lambda field: field.texts is not None), rows), expressions


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
    filled = column.fill_null(False if pa.types.is_boolean(column.type) else 0) if column.null_count else column
    values = filled.to_numpy(zero_copy_only=False)
    if pa.types.is_floating(column.type):
        kind, size, data = _FLOAT, 8, values.astype(">f8")
    else:
        low, high = int(values.min()), int(values.max())
        kind, size = next(
            (kind, size) for kind, size in _INTEGERS.items() if -(1 << 8 * size - 1) <= low <= high < 1 << 8 * size - 1
        )
        data = values.astype(">i4" if size == 4 else ">i8")
    numbers = data.view(np.uint8).reshape(len(data), -1)[:, -size:]
    return _Field(name, np.full((1, 1), kind, np.uint8), numbers=numbers, null=null)


def _varint(values: IntArray, size: int = 3) -> Bytes:
    """Numbers below 2^(7 * size) in ``size`` bytes each, (n, size): all but the last one carry the high bit."""
    data = np.empty((len(values), size), np.uint8)
    for i in range(size):
        data[:, i] = values >> 7 * (size - 1 - i) & 0x7F
    data[:, :-1] |= 0x80
    return data


def _image(fields: Sequence[_Field], rows: int) -> Bytes | None:
    """A database file, (pages, 65536): header and schema, the root of the table, the leaves. Fields of numbers come first."""
    texts = [field.texts for field in fields if field.texts is not None]
    lengths = sum(
        (pc.binary_length(text).to_numpy().astype(np.int64) for text in texts), np.zeros(rows if texts else 1, np.int64)
    )
    parts = _parts(fields, rows, lengths)
    if parts is None or int(lengths.max()) > _LONGEST:
        return None
    image, lasts = _ragged_leaves(parts, texts, lengths) if texts else _even_leaves(parts, rows)
    if len(lasts) > _MOST_PAGES:
        return None
    names = [field.name for field in fields] + [f"null_{field.name}" for field in fields if field.null is not None]
    image[0] = _head(tuple(names))
    image[0, 28:32] = _big(len(image), 4)
    if len(lasts) > 1:
        _fill_root(image[1], _FIRST_ROWID + lasts - 1)
    return image


def _parts(fields: Sequence[_Field], rows: int, lengths: IntArray) -> list[Bytes] | None:
    """The bytes of the rows in front of their texts, piece by piece: (n, k), or (1, k) when all rows have the same. None when
    there are too many fields."""
    types = [field.types for field in fields]
    types += [np.where(field.null, _ONE, _ZERO).astype(np.uint8)[:, None] for field in fields if field.null is not None]
    numbers = [field.numbers for field in fields if field.numbers is not None]
    header = 1 + _width(types)
    if header > 127:
        return None
    rowids = _varint(_FIRST_ROWID + np.arange(rows, dtype=np.int64), 4)
    return [_varint(header + _width(numbers) + lengths), rowids, np.full((1, 1), header, np.uint8), *types, *numbers]


def _width(parts: Sequence[Bytes]) -> int:
    return sum(part.shape[-1] for part in parts)


def _lay(room: Bytes, parts: Sequence[Bytes]) -> None:
    at = 0
    for part in parts:
        room[..., at : at + part.shape[-1]] = part
        at += part.shape[-1]


def _empty_image(leaves: int) -> tuple[Bytes, Bytes]:
    """A whole image, and the part of it that its leaves take; a single leaf is the root itself."""
    above = 1 if leaves == 1 else 2
    image = np.zeros((above + leaves, _PAGE), np.uint8)
    return image, image[above:]


def _even_leaves(parts: Sequence[Bytes], rows: int) -> tuple[Bytes, IntArray]:
    """All rows have one length: written where they belong, since memory that is touched first costs more than all else."""
    width = _width(parts)
    per = (_PAGE - _PAGE_HEADER) // (width + 2)
    image, leaves = _empty_image(-(-rows // per))
    full = rows // per
    if full:
        _fill_leaf(leaves[0], np.zeros(per * width, np.uint8), width * np.arange(per + 1))
        leaves[1:full, : _PAGE_HEADER + 2 * per] = leaves[0, : _PAGE_HEADER + 2 * per]
        room = np.lib.stride_tricks.as_strided(leaves[0, _PAGE - per * width :], (full, per, width), (_PAGE, width, 1))
        _lay(room, [part if len(part) == 1 else part[: full * per].reshape(full, per, -1) for part in parts])
    if rest := rows - full * per:
        cells = np.empty((rest, width), np.uint8)
        _lay(cells, [part if len(part) == 1 else part[full * per :] for part in parts])
        _fill_leaf(leaves[-1], cells.reshape(-1), width * np.arange(rest + 1))
    return image, np.minimum(per * np.arange(1, len(leaves) + 1), rows)


def _ragged_leaves(parts: Sequence[Bytes], texts: Sequence[pa.BinaryArray], lengths: IntArray) -> tuple[Bytes, IntArray]:
    """Rows with texts: Arrow joins the pieces of each, and every leaf takes as many as fit."""
    rows, width = len(lengths), _width(parts)
    fixed = np.empty((rows, width), np.uint8)
    _lay(fixed, parts)
    heads = pa.Array.from_buffers(pa.binary(width), rows, [None, pa.py_buffer(fixed)]).cast(pa.binary())
    ends = np.concatenate([[0], np.cumsum(width + lengths)])
    cells = np.frombuffer(pc.binary_join_element_wise(heads, *texts, b"").buffers()[2], np.uint8)
    firsts = _page_starts(ends)
    lasts = np.append(firsts[1:], rows)
    image, leaves = _empty_image(len(firsts))
    for page, first, last in zip(leaves, firsts, lasts, strict=True):
        _fill_leaf(page, cells, ends[first : last + 1])
    return image, lasts


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
