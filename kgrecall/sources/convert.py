"""Raw cells to the Arrow type of a property, a whole column at a time, with a reason for every cell that does not fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from kgrecall.mapping import DecimalMark, TimeUnit
from kgrecall.schema import PropertyType
from kgrecall.sources.cells import Cells, ListCells, as_text, joined, list_cells, plain, positions, without
from kgrecall.sources.notation import written_plainly
from kgrecall.sources.numerals import Numerals
from kgrecall.sources.quarantine import Reason
from kgrecall.sources.times import convert_times
from kgrecall.types import IntArray

MAX_ID_BYTES = 1024
MAX_TEXT_BYTES = 1 << 20
_EXACT_INTEGERS = 2.0**53
_BRACKETS = "[]() \t\n"
_TRUE = ("true", "t", "yes", "y", "1", "1.0", "on", "ja", "oui", "si", "sí", "是")
_FALSE = ("false", "f", "no", "n", "0", "0.0", "off", "nein", "non", "否")


def convert(
    array: pa.Array,
    kind: PropertyType,
    *,
    null_values: Sequence[str] = ("",),
    separator: str | None = None,
    unit: TimeUnit = "s",
    timezone: str | None = None,
    form: str | None = None,
    decimal: DecimalMark | None = None,
) -> Cells:
    """Convert one column.

    Args:
        array: raw cells (n,) of any Arrow type.
        kind: what the schema wants; the result has type ``ARROW_TYPES[kind]``.
        null_values: texts that mean "no value".
        separator: where lists in text cells are cut; lists of numbers may stand in brackets, as Python and NumPy print them.
        unit: of times.
        timezone: of times without an offset.
        form: strptime format of times, in place of a unit.
        decimal: of numbers as people write them; None: plain numbers alone.

    Returns:
        (n,) values, null where a cell is empty or bad. A list with one bad element is bad as a whole.
    """
    if kind in ("strings", "numbers"):
        around = _BRACKETS if kind == "numbers" else ""
        return _convert_list(list_cells(array, separator, null_values, around=around), kind, decimal)
    cells = plain(array, null_values)
    converted = convert_times(cells.values, unit, timezone, form) if kind == "time" else _plain(cells.values, kind, decimal)
    return Cells(converted.values, joined(cells.problems, converted.problems))


def convert_ids(
    array: pa.Array, *, null_values: Sequence[str] = ("",), prefix: str = "", numerals: Numerals | None = None
) -> Cells:
    """Convert a column to ids: string (n,); an empty or blank cell is MISSING_ID. ``numerals`` as in :func:`as_text`."""
    cells = plain(array, null_values)
    ids = as_text(cells.values, numerals)
    missing = positions(_blank(ids)) if types.is_string(cells.values.type) else positions(ids.is_null())
    for found in cells.problems.values():
        missing = np.setdiff1d(missing, found)
    too_long = _longer(ids, MAX_ID_BYTES) if types.is_string(cells.values.type) else np.empty(0, np.int64)
    if prefix:
        ids = pc.binary_join_element_wise(prefix, ids, "")
    problems = joined(cells.problems, {Reason.MISSING_ID: missing, Reason.TOO_LONG: too_long})
    for found in problems.values():
        ids = without(ids, found)
    return Cells(ids, problems)


def _longer(text: pa.StringArray, limit: int) -> IntArray:
    """Where a text has more bytes than this."""
    if text.nbytes <= limit:
        return np.empty(0, np.int64)
    return positions(pc.greater(pc.binary_length(text), limit))


def _blank(ids: pa.StringArray) -> pa.BooleanArray:
    if not _may_hold_blanks(ids):
        return pc.fill_null(pc.equal(ids, ""), True)
    blank = pc.or_(pc.equal(ids, ""), pc.utf8_is_space(ids))
    return blank if ids.null_count == 0 else pc.fill_null(blank, True)


def _may_hold_blanks(text: pa.StringArray) -> bool:
    """Whether any byte is one of ASCII's up to the space, or of a character beyond ASCII."""
    _, ends, data = text.buffers()
    if not len(text) or data is None:
        return False
    offsets = np.frombuffer(ends, np.int32)[text.offset :]
    used = np.frombuffer(data, np.uint8)[offsets[0] : offsets[len(text)]]
    return bool(len(used)) and bool(used.min() <= ord(" ") or used.max() >= 128)


def _convert_list(lists: ListCells, kind: PropertyType, decimal: DecimalMark | None) -> Cells:
    inner = _plain(lists.flat, "number" if kind == "numbers" else "string", decimal)
    by_row = {reason: np.unique(lists.parents[found]) for reason, found in inner.problems.items()}
    problems = joined(lists.problems, by_row)
    flat = inner.values
    if kind == "numbers":
        flat = flat.cast(pa.float32(), safe=False)
        infinite = positions(pc.invert(pc.is_finite(flat)))  # larger than 32 bits can say
        unusable = {Reason.NOT_A_NUMBER: lists.holes, Reason.NOT_FINITE: np.unique(lists.parents[infinite])}
        problems = joined(problems, unusable)
    values = lists.pack(flat)
    for found in problems.values():
        values = without(values, found)
    return Cells(values, problems)


def _plain(values: pa.Array, kind: PropertyType, decimal: DecimalMark | None) -> Cells:
    match kind:
        case "integer":
            return _integers(written_plainly(values, decimal))
        case "number":
            return _numbers(written_plainly(values, decimal))
        case "boolean":
            return _booleans(values)
        case _:
            return _texts(as_text(values))


def _texts(text: pa.StringArray) -> Cells:
    too_long = _longer(text, MAX_TEXT_BYTES)
    return Cells(without(text, too_long), joined({Reason.TOO_LONG: too_long}))


def _parsed(raw: pl.Series, kind: type[pl.Int64 | pl.Float64]) -> pl.Series:
    """Numbers, null where a cell is none. Blanks around them are allowed."""
    numbers = _cast(raw, kind)
    if raw.dtype == pl.String and numbers.null_count() > raw.null_count():
        numbers = raw.str.strip_chars().cast(kind, strict=False)
    return numbers


def _cast(raw: pl.Series, kind: type[pl.Int64 | pl.Float64]) -> pl.Series:
    castable = raw.dtype == pl.String or raw.dtype.is_numeric() or raw.dtype in (pl.Boolean, pl.Null)
    return raw.cast(kind, strict=False) if castable else pl.Series([None] * len(raw), dtype=kind)


def _numbers(raw: pl.Series) -> Cells:
    number = _parsed(raw, pl.Float64)
    values, finite = number.to_arrow(), pc.is_finite(number.to_arrow())
    if number.null_count() == raw.null_count() and pc.all(finite, min_count=0).as_py():
        return Cells(values)
    problems = {
        Reason.NOT_A_NUMBER: positions(number.is_null() & raw.is_not_null()),
        Reason.NOT_FINITE: positions(pc.invert(finite)),
    }
    return Cells(without(values, problems[Reason.NOT_FINITE]), joined(problems))


def _integers(raw: pl.Series) -> Cells:
    fractions = raw.dtype.is_float() or raw.dtype.is_decimal()
    integer = pl.Series([None] * len(raw), dtype=pl.Int64) if fractions else _parsed(raw, pl.Int64)
    if integer.null_count() == raw.null_count():
        return Cells(integer.to_arrow())
    number = _parsed(raw, pl.Float64)  # "1995.0": columns of integers with gaps are often exported so
    odd = integer.is_null() & raw.is_not_null()
    whole = (number == number.floor()) & number.is_finite()
    near = number.abs() < _EXACT_INTEGERS
    problems = {
        Reason.NOT_AN_INTEGER: positions(odd & (number.is_null() | (number.is_finite() & ~whole))),
        Reason.NOT_FINITE: positions(odd & ~number.is_finite()),
        Reason.OUT_OF_RANGE: positions(odd & whole & ~near),
    }
    usable = (odd & whole & near).fill_null(False)
    values = integer.zip_with(~usable, number.set(~usable, None).cast(pl.Int64))
    return Cells(values.to_arrow(), joined(problems))


def _booleans(values: pa.Array) -> Cells:
    if types.is_boolean(values.type):
        return Cells(values)
    text = pc.utf8_lower(pc.utf8_trim_whitespace(as_text(values)))
    yes = pc.is_in(text, pa.array(_TRUE))
    known = pc.or_(yes, pc.is_in(text, pa.array(_FALSE)))
    bad = positions(pc.and_(text.is_valid(), pc.invert(known)))
    return Cells(pc.if_else(known, yes, pa.scalar(None, pa.bool_())), joined({Reason.NOT_A_BOOLEAN: bad}))
