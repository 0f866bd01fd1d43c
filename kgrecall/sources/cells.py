"""One column's cells: what they became, and which could not be converted; and the first step, from any Arrow type to plain
values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from kgrecall.sources.numerals import Numerals
from kgrecall.sources.quarantine import Reason
from kgrecall.types import BoolArray, IntArray

Problems = Mapping[Reason, IntArray]
"""Reason -> positions (ascending) of the cells that it concerns."""
_EXACT_INTEGERS = 2.0**53


@dataclass(frozen=True, slots=True)
class Cells:
    """``values`` (n,), null at the positions that ``problems`` names."""

    values: pa.Array
    problems: Problems = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)


def positions(mask: pl.Series | BoolArray | pa.BooleanArray) -> IntArray:
    """Where a mask is true; null counts as false."""
    if isinstance(mask, pa.Array):
        if not pc.any(mask, min_count=0).as_py():  # the usual case, and much cheaper than unpacking the bits
            return np.empty(0, np.int64)
        mask = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    if isinstance(mask, pl.Series):
        mask = mask.fill_null(False).to_numpy()
    return np.flatnonzero(mask)


def joined(*parts: Problems) -> dict[Reason, IntArray]:
    """The problems of several steps of one column, empty ones left out."""
    result: dict[Reason, IntArray] = {}
    for part in parts:
        for reason, found in part.items():
            if len(found):
                result[reason] = np.union1d(result[reason], found) if reason in result else found
    return result


def without(array: pa.Array, found: IntArray) -> pa.Array:
    """The array with null at some positions."""
    if len(found) == 0:
        return array
    mask = np.zeros(len(array), np.bool_)
    mask[found] = True
    return pc.if_else(pa.array(mask), pa.scalar(None, array.type), array)


def is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def plain(array: pa.Array, null_values: Sequence[str] = ()) -> Cells:
    """A column of scalars: dictionaries decoded, bytes as UTF-8, lists of one element unwrapped, ``null_values`` as null.

    The result is of type string, boolean, a number or a point in time.
    """
    array = _without_wrapping(array)
    if is_list(array.type):
        return _unwrapped(array, null_values)
    if not _is_plain(array.type) and not _holds_bytes(array.type):
        try:
            array = array.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return Cells(pa.nulls(len(array), pa.string()), joined({Reason.NOT_A_SCALAR: positions(array.is_valid())}))
    problems: Problems = {}
    if _holds_bytes(array.type):
        array, problems = _utf8(array)
        for text in null_values:
            array = without(array, positions(pc.equal(array, text)))
    elif words := [text for text in null_values if text]:
        array = without(array, positions(pc.is_in(as_text(array), pa.array(words))))
    return Cells(array, problems)


def _without_wrapping(array: pa.Array) -> pa.Array:
    """Dictionaries decoded, UUIDs as text, other extension types as what they are stored as, and decimals of more than 38
    digits as text."""
    if isinstance(array.type, pa.BaseExtensionType):
        if array.type.extension_name == "arrow.uuid":
            return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
        array = array.storage
    if types.is_dictionary(array.type):
        words = array.dictionary.cast(pa.string()) if types.is_string_view(array.type.value_type) else array.dictionary
        array = words.take(array.indices)  # a view cannot be taken from
    return array.cast(pa.string()) if types.is_decimal256(array.type) else array


def _is_plain(kind: pa.DataType) -> bool:
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return bool(number or types.is_boolean(kind) or types.is_timestamp(kind) or types.is_date(kind))


def _holds_bytes(kind: pa.DataType) -> bool:
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    data = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return bool(text or data or types.is_fixed_size_binary(kind))


def _unwrapped(array: pa.Array, null_values: Sequence[str]) -> Cells:
    """Lists of exactly one element as scalars; null and empty lists as null."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    first = np.full(len(array), -1, np.int64)
    single = np.flatnonzero(lengths == 1)
    flat = pc.list_flatten(array)
    first[single] = (np.cumsum(lengths) - lengths)[single]
    cells = plain(flat.take(pa.array(first, mask=first < 0)), null_values)
    return Cells(cells.values, joined(cells.problems, {Reason.NOT_A_SCALAR: np.flatnonzero(lengths > 1)}))


def _utf8(array: pa.Array) -> tuple[pa.StringArray, Problems]:
    """Text, checked: files may hold anything under the type string too."""
    array = array.cast(pa.binary())
    try:
        return array.cast(pa.string()), {}
    except pa.ArrowInvalid:
        texts = [_decoded(cell) for cell in array.to_pylist()]
        bad = np.array([i for i, text in enumerate(texts) if text is None and array[i].is_valid], np.int64)
        return pa.array(texts, pa.string()), {Reason.BAD_ENCODING: bad}


def _decoded(cell: bytes | None) -> str | None:
    try:
        return None if cell is None else cell.decode("utf-8")
    except UnicodeDecodeError:
        return None


def as_text(values: pa.Array, numerals: Numerals | None = None) -> pa.StringArray:
    """The text of plain values. Whole numbers lose their ``.0`` (columns of integers with gaps), NaN is null.

    ``numerals``: remembers the texts of whole numbers for the next column.
    """
    if types.is_string(values.type):
        return values
    if types.is_floating(values.type):
        number = pl.Series(values=pl.from_arrow(values.cast(pa.float64())))
        whole = (number == number.floor()) & (number.abs() < _EXACT_INTEGERS)
        integers = number.set(~whole.fill_null(False), None).cast(pl.Int64)
        text = pc.if_else(
            pa.array(whole.fill_null(False).to_numpy()), integers.to_arrow().cast(pa.string()), values.cast(pa.string())
        )
        return without(text, positions(number.is_nan()))
    if types.is_decimal(values.type):
        return pc.replace_substring_regex(values.cast(pa.string()), r"\.0+$", "")
    return (numerals or Numerals()).texts_of(values) if types.is_integer(values.type) else values.cast(pa.string())


@dataclass(frozen=True, slots=True)
class ListCells:
    """Cells that hold lists, flattened.

    ``flat`` (m,) plain values without nulls; ``parents`` int64 (m,), the row of each element, ascending; ``present`` bool
    (n,), rows that hold a list at all, be it empty; ``holes`` int64: rows whose list has elements without a value, which
    ``flat`` does not hold; ``problems`` by row.
    """

    flat: pa.Array
    parents: IntArray
    present: BoolArray
    holes: IntArray
    problems: Problems = field(default_factory=dict)

    def pack(self, flat: pa.Array) -> pa.ListArray:
        """Lists (n,) of converted elements, null where there was none."""
        counts = np.bincount(self.parents, minlength=len(self.present))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(~self.present))


def list_cells(array: pa.Array, separator: str | None, null_values: Sequence[str] = (), *, around: str = "") -> ListCells:
    """Cut cells into elements: text at the separator (blanks around an element and empty elements are dropped), Arrow lists
    as they are; without a separator a cell is a list of one. ``around``: characters that may stand around a text of several."""
    array = _without_wrapping(array)
    problems: Problems = {}
    if not is_list(array.type):
        cells = plain(array, null_values)
        array, problems = cells.values, cells.problems
        if separator is not None and types.is_string(array.type):
            array = pc.split_pattern(pc.utf8_trim(array, around) if around else array, separator)
    present = array.is_valid().to_numpy(zero_copy_only=False)
    holes = np.empty(0, np.int64)
    if is_list(array.type):
        filled = np.flatnonzero(present)
        array = array.filter(pa.array(present)) if array.null_count else array  # what a null hides is no element
        parents = filled[pc.list_parent_indices(array).to_numpy()].astype(np.int64)
        inner = plain(pc.list_flatten(array), null_values)
        holes = np.unique(parents[positions(pc.list_flatten(array).is_null())])
        problems = joined(problems, {reason: np.unique(parents[found]) for reason, found in inner.problems.items()})
        flat = inner.values
    else:
        flat, parents = array, np.arange(len(array), dtype=np.int64)
    if separator is not None and types.is_string(flat.type):
        flat = pc.utf8_trim_whitespace(flat)
    keep = pc.and_(flat.is_valid(), pc.not_equal(flat, "")) if types.is_string(flat.type) else flat.is_valid()
    keep = pc.fill_null(keep, False)
    return ListCells(flat.filter(keep), parents[keep.to_numpy(zero_copy_only=False)], present, holes, problems)
