"""Which notation the times and the numbers of a text column are written in, where it is not that of computers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.mapping import DecimalMark
from kgrecall.sources.cells import Cells
from kgrecall.sources.convert import convert

MOST_ODD = 0.02
"""The share of cells that may be mistakes, or words for "unknown"."""
_FIRST = 1_000
_YEARS = (-2_208_988_800_000, 4_102_444_800_000)
"""1900 to 2100, in milliseconds: what lies outside was hardly meant."""
_DATES = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%m.%d.%Y", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%b %d %Y", "%d. %b %Y", "%d %B %Y", "%B %d, %Y", "%B %d %Y", "%d. %B %Y"),
)
_SHORT_DATES = ("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d-%b-%y", "%d %b %y")
_CLOCKS = ("", "%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%H:%M:%S %z", "%H:%M %z")
_WHOLE = (
    *("%a, %d %b %Y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S UTC", "%a, %d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %z %Y"),
    *("%a %b %d %H:%M:%S %Y", "%d/%b/%Y:%H:%M:%S %z"),
)
_THOUSANDS = r"[.,'’ \x{a0}\x{202f}]0\d\d(?:\D|$)|\p{Sc}|\p{L}"
"""What a list of ids does not have: groups of digits that begin with a zero, or a currency."""


@dataclass(frozen=True, slots=True)
class TimeGuess:
    """``odd``: the distinct texts that are no such times; ``twin``: the format with day and month the other way round, where
    it fits as well."""

    form: str
    odd: tuple[str, ...]
    twin: str | None

    @property
    def naive(self) -> bool:
        """Whether no zone is told."""
        return "%z" not in self.form


@dataclass(frozen=True, slots=True)
class NumberGuess:
    """``values`` float64 (n,), null where odd; ``example``: a text that reads as another number with the other mark."""

    decimal: DecimalMark
    values: pa.DoubleArray
    odd: tuple[str, ...]
    example: str | None


def mistakes(values: pa.StringArray, cells: Cells) -> tuple[str, ...] | None:
    """The distinct cells that could not be converted; None when they are too many to be mistakes."""
    rows = np.concatenate([np.empty(0, np.int64), *cells.problems.values()])
    if len(rows) > MOST_ODD * len(values):
        return None
    return tuple(pc.unique(values.take(pa.array(rows))).to_pylist())


def guess_times(values: pa.StringArray, *, named: bool) -> TimeGuess | None:
    """The strptime format of nearly all values; None where none of the usual ones fits.

    Where day and month may change places the day comes first, but behind a slash with a 12-hour clock.

    Args:
        values: texts (n,) without nulls.
        named: the column is called a time, so that years of two digits are no version numbers.
    """
    shapes = [_shape(text) for text in values.slice(0, _FIRST).to_pylist()]
    usual, count = Counter(shapes).most_common(1)[0]
    forms = _forms(named).get(usual, ())
    if not forms or count < (1 - MOST_ODD) * len(shapes) - 1:
        return None
    texts = pc.unique(values)
    missed, form = min(((_misses(texts, form), form) for form in forms), key=lambda found: found[0])
    odd = mistakes(values, _read(values, form))
    if odd is None or missed > len(odd):
        return None
    twin = _twin(form)
    return TimeGuess(form, odd, twin if twin != form and _misses(texts, twin) <= missed else None)


def _shape(text: str) -> str:
    """``31.12.2025 13:45`` -> ``d.d.d d:d``, a zone behind a clock -> ``z``, words -> ``a``."""
    with_zone = re.sub(r"(:\d\d? ?)[+-]\d\d:?\d\d", r"\1%z", text.strip())
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", with_zone).replace("%z", "\0")).replace("0", "d").replace("\0", "z")


@cache
def _forms(named: bool) -> dict[str, list[str]]:
    """Shape -> formats of it, the likelier first."""
    forms: dict[str, list[str]] = {}
    for form in (*_WHOLE, *_put_together(named)):
        digits = re.sub(r"%[dmYyHIMSfj]", "0", form)
        forms.setdefault(_shape(re.sub(r"%[aAbBp]", "a", digits).replace("%z", "+00:00")), []).append(form)
    return forms


def _put_together(named: bool) -> Iterator[str]:
    for clock in _CLOCKS:
        dates: tuple[str, ...] = (*_DATES, *_SHORT_DATES) if named else _DATES
        if "%p" in clock:  # who writes 1:45 PM writes 12/31/2025, too
            dates = tuple(sorted(dates, key=lambda date: not date.startswith("%m/")))
        for date in dates:
            yield f"{date} {clock}".strip()
            if clock:
                yield f"{date}, {clock}"


def _twin(form: str) -> str:
    if "%m" not in form or form.startswith("%Y"):
        return form
    return form.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")


def _read(texts: pa.StringArray, form: str) -> Cells:
    return convert(texts, "time", timezone="UTC", form=form)


def _misses(texts: pa.StringArray, form: str) -> int:
    """How many texts are no time of these centuries."""
    times = _read(texts, form).values
    low, high = _YEARS
    told = pc.sum(pc.and_(pc.greater_equal(times, low), pc.less(times, high))).as_py() or 0
    return len(texts) - int(told)


def guess_numbers(values: pa.StringArray) -> NumberGuess | None:
    """Which mark stands before the fractions of nearly all values; None where they are no numbers.

    Where both would do (``1,299``) the one that makes thousands is meant, unless the texts may be lists (``101,205``).
    """
    found: list[NumberGuess] = []
    marks: tuple[DecimalMark, ...] = (".", ",")
    for decimal in marks:
        cells = convert(values, "number", decimal=decimal)
        odd = mistakes(values, cells)
        if odd is not None:
            found.append(NumberGuess(decimal, cells.values, odd, None))
    if len(found) < 2:
        return found[0] if found else None
    one, other = found
    differ = pc.fill_null(pc.not_equal(one.values, other.values), False)
    if not pc.any(differ).as_py():
        return one
    if not pc.any(pc.match_substring_regex(values, _THOUSANDS)).as_py():
        return None
    larger = max(found, key=lambda guess: float(pc.sum(pc.abs(guess.values)).as_py()))
    example = values.filter(differ)[0].as_py()
    return NumberGuess(larger.decimal, larger.values, larger.odd, example)


def may_be_thousands(values: pa.StringArray) -> str | None:
    """A text such as ``1.299`` where plain numbers look like thousands set apart by dots; None where they do not."""
    dotted = values.filter(pc.match_substring(values, "."))
    grouped = pc.all(pc.match_substring_regex(dotted, r"^[1-9]\d{0,2}(?:\.\d{3})+$"), min_count=0).as_py()
    short = pc.all(pc.match_substring_regex(values, r"^\s*\d{1,3}(?:\.|$)"), min_count=0).as_py()
    return dotted[0].as_py() if grouped and short and pc.count_distinct(dotted).as_py() >= 3 else None
