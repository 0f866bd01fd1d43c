"""What a column holds, judged by its values (and, where values leave it open, by its name)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from kgrecall.mapping import DecimalMark, TimeUnit
from kgrecall.schema import PropertyType
from kgrecall.sources.cells import is_list, plain
from kgrecall.sources.convert import convert
from kgrecall.sources.guess import guess_numbers, guess_times, may_be_thousands, mistakes
from kgrecall.sources.quarantine import Reason
from kgrecall.sources.times import convert_times, detect_unit

NULLS = ("NA", "N/A", "n/a", "NULL", "null", "None", "nan", "NaN", "\\N", "#N/A", "-")
"""Texts that exports write where there is no value."""
_SEPARATORS = ("|", ";", ", ", ",", " / ")
_NUMERIC, _VECTOR_SEPARATORS, _LEAST_DIM = r"^[-+.,;|eE\s\d\[\]()]+$", (",", ";", "|", " "), 4
_TIME_WORDS = frozenset({"time", "timestamp", "ts", "date", "datetime", "at", "on", "since", "created", "updated", "released"})
_TEXT_WORDS = frozenset(
    {"title", "name", "description", "text", "summary", "plot", "overview", "abstract", "headline", "body", "content", "review"}
)
_KEY_WORDS = frozenset({"id", "ids", "code", "codes", "key", "keys"})
"""Their cells may be lists: ``12,5`` is two ids."""
_RECENT: dict[TimeUnit, tuple[float, float]] = {"s": (3e8, 4e9), "ms": (3e11, 4e12), "us": (3e14, 4e15)}
"""From 1979 to 2096: numbers in between may be times."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sample.

    ``kind`` the property type that fits; ``separator`` of lists in text; ``unit`` and ``naive`` (no offset) of times; ``nulls``
    the texts that stand for "no value" here; ``distinct`` among ``filled`` cells that have one; ``positive``: numbers > 0;
    ``worded``: most cells begin with a letter; ``odd``: cells of another kind than the rest, at most 2 % of them; ``form`` the
    strptime format of times and ``decimal`` the mark of numbers that are written for people; ``doubt``: what else its cells may
    mean.
    """

    name: str
    kind: PropertyType
    filled: int
    distinct: int
    rows: int
    nulls: tuple[str, ...] = ()
    separator: str | None = None
    unit: TimeUnit | None = None
    naive: bool = False
    positive: bool = False
    worded: bool = False
    distinct_elements: int = 0
    odd: tuple[str, ...] = ()
    form: str | None = None
    decimal: DecimalMark | None = None
    doubt: str = ""

    @property
    def unique(self) -> bool:
        """Every row has a value of its own."""
        return self.filled > 0 and self.distinct == self.filled == self.rows

    @property
    def words(self) -> tuple[str, ...]:
        return words_of(self.name)


def words_of(name: str) -> tuple[str, ...]:
    """``userId``, ``user_id``, ``USER ID`` -> ("user", "id")."""
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return tuple(re.sub(r"[\W_]+", " ", apart).lower().split())


def describe(name: str, cells: pa.Array, separator: str | None = None) -> Column:
    """Profile a column.

    Args:
        name: its name.
        cells: raw cells (n,) of any type.
        separator: of lists, where the file declares one.
    """
    if is_list(cells.type):
        return _list(name, cells)
    values = plain(cells, ("",)).values
    if not types.is_string(values.type):
        values = values.drop_null()
        return _typed(Column(name, "string", len(values), pc.count_distinct(values).as_py(), len(cells)), values)
    present = set(pc.unique(values).to_pylist())
    nulls = tuple(text for text in NULLS if text in present)
    values = plain(values, nulls).values.drop_null()
    column = Column(name, "string", len(values), pc.count_distinct(values).as_py(), len(cells), nulls)
    return _text(column, values, separator) if len(values) else column


def _list(name: str, cells: pa.Array) -> Column:
    inner = plain(pc.list_flatten(cells)).values
    kind: PropertyType = "numbers" if types.is_floating(inner.type) else "strings"
    filled = len(cells) - cells.null_count
    return Column(name, kind, filled, filled, len(cells), distinct_elements=pc.count_distinct(inner).as_py())


def _typed(column: Column, values: pa.Array) -> Column:
    if types.is_timestamp(values.type) or types.is_date(values.type):
        return replace(column, kind="time", naive=types.is_date(values.type) or values.type.tz is None)
    if types.is_boolean(values.type):
        return replace(column, kind="boolean")
    return _number(column, values)


def _number(column: Column, values: pa.Array) -> Column:
    number = convert(values, "number").values.drop_null().to_numpy()
    unit = detect_unit(values) if len(number) else None
    if unit == "iso8601":
        return replace(column, kind="time", unit=unit, naive=True)
    if unit is not None and unit in _RECENT and (set(column.words) & _TIME_WORDS or _all_recent(number, unit)):
        return replace(column, kind="time", unit=unit)
    whole = not convert(values, "integer").problems
    return replace(column, kind="integer" if whole else "number", positive=bool((number > 0).all()))


def _all_recent(number: NDArray[np.float64], unit: TimeUnit) -> bool:
    """Whether the numbers are times of the last decades, and more than a few different ones."""
    low, high = _RECENT[unit]
    return bool(((number >= low) & (number <= high)).mean() > 0.99 and len(np.unique(number)) > 3)


def _text(column: Column, values: pa.StringArray, separator: str | None) -> Column:
    if detect_unit(values) == "iso8601":
        times = convert_times(values, "iso8601", "UTC")
        if (odd := mistakes(values, times)) is not None:
            naive = Reason.NAIVE_TIME in convert_times(values, "iso8601", None).problems
            return replace(column, kind="time", unit="iso8601", naive=naive, odd=odd)
    codes = pc.any(pc.match_substring_regex(values, r"^0\d")).as_py()  # 00501 is no number
    if not codes and (odd := mistakes(values, convert(values, "number"))) is not None:
        numeric = values if not odd else values.filter(pc.invert(pc.is_in(values, pa.array(odd))))
        return replace(_number(column, numeric), odd=odd, doubt=_of_thousands(column.name, numeric))
    if (human := _for_people(column, values, codes)) is not None:
        return human
    if column.distinct <= 2 and not convert(values, "boolean").problems:
        return replace(column, kind="boolean")
    if (cut := _cuts_vectors(values)) is not None:
        return replace(column, kind="numbers", separator=cut)
    declared = separator is not None and pc.any(pc.match_substring(values, separator)).as_py()
    return _prose(column, values, separator if declared else _separator(values))


def _cuts_vectors(values: pa.StringArray) -> str | None:
    """What cuts every cell into as many numbers, at least four and not all of them whole."""
    if not (pc.all(pc.match_substring_regex(values, _NUMERIC)).as_py() and pc.any(pc.match_substring(values, ".")).as_py()):
        return None
    for separator in _VECTOR_SEPARATORS:
        cells = convert(values, "numbers", separator=separator)
        lengths = pc.unique(pc.list_value_length(cells.values)).to_pylist() if not cells.problems else []
        if len(lengths) == 1 and lengths[0] >= _LEAST_DIM:
            return separator
    return None


def _for_people(column: Column, values: pa.StringArray, codes: bool) -> Column | None:
    """Times and numbers as people write them; None where the values are neither."""
    times = guess_times(values, named=bool(set(column.words) & _TIME_WORDS))
    if times is not None:
        doubt = f"day and month of {column.name} may be the other way round: {times.twin}" if times.twin else ""
        return replace(column, kind="time", form=times.form, naive=times.naive, odd=times.odd, doubt=doubt)
    numbers = None if codes or set(column.words) & _KEY_WORDS else guess_numbers(values)
    if numbers is None:
        return None
    whole = pc.all(pc.equal(numbers.values, pc.floor(numbers.values))).as_py()
    positive = pc.all(pc.greater(numbers.values, 0)).as_py()
    other = "." if numbers.decimal == "," else ","
    doubt = f"{numbers.example!r} in {column.name} is read as thousands; decimal = {other!r} reads a fraction"
    found = replace(column, kind="integer" if whole else "number", positive=positive, decimal=numbers.decimal, odd=numbers.odd)
    return replace(found, doubt=doubt) if numbers.example else found


def _of_thousands(name: str, values: pa.StringArray) -> str:
    example = may_be_thousands(values)
    return "" if example is None else f"{example!r} in {name} is read as a fraction; decimal = ',' reads thousands"


def _prose(column: Column, values: pa.StringArray, separator: str | None) -> Column:
    named = bool(set(column.words) & _TEXT_WORDS)
    if separator is not None and not (separator == " " and named):
        elements = _elements(pl.Series(values=pl.from_arrow(values)), separator)
        return replace(column, kind="strings", separator=separator, distinct_elements=elements.n_unique())
    worded = float(pc.mean(pc.match_substring_regex(values, r"^\p{L}").cast(pa.int8())).as_py()) > 0.5
    address = pc.any(pc.starts_with(values, "http")).as_py()
    spaces = float(np.mean(pc.count_substring(values, " ").to_numpy()))
    wordy = spaces >= 2 and column.distinct > 0.5 * column.filled
    return replace(column, kind="text" if not address and (wordy or named) else "string", worded=worded and not address)


def _separator(values: pa.StringArray) -> str | None:
    """What cuts at least a fifth of the cells into short elements that come again and again."""
    series = pl.Series(values=pl.from_arrow(values))
    for separator in _SEPARATORS:
        if series.str.contains(separator, literal=True).sum() < 0.2 * len(series):
            continue
        elements = _elements(series, separator)
        if elements.cast(pl.Float64, strict=False).null_count() < 0.5 * len(elements):
            continue  # 1,234,567
        reused = 1 - elements.n_unique() / max(len(elements), 1)
        length = elements.str.len_chars().sum() / max(len(elements), 1)
        if reused >= (0.7 if "," in separator else 0.4) and length <= 25:
            return separator
    return None


def _elements(series: pl.Series, separator: str) -> pl.Series:
    elements = series.str.split(separator).explode().str.strip_chars()
    return elements.filter(elements != "")
