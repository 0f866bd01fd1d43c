"""Times of any notation as int64 milliseconds since 1970-01-01 UTC."""

from __future__ import annotations

import zoneinfo

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from kgrecall.errors import SchemaError
from kgrecall.mapping import TimeUnit
from kgrecall.sources.cells import Cells, Problems, joined, positions, without
from kgrecall.sources.quarantine import Reason

_ISO = (
    r"^\s*(\d{4})[-/]?(\d\d)[-/]?(\d\d)"
    r"(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?)?\s*$"
)
_COMPACT = r"^\s*(?:19|20)\d\d(?:0[1-9]|1[0-2])\d\d(?:(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?)?\s*$"
_MILLISECONDS: dict[TimeUnit, float] = {"s": 1000.0, "ms": 1.0, "us": 0.001}
_FACTORS: dict[TimeUnit, int] = {"s": 1000, "ms": 1}
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999
"""0001-01-01 and the end of 9999, in milliseconds."""
_PER_MILLISECOND = {"D": (86_400_000, 1), "s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}
"""Milliseconds of so many of each of Arrow's units."""
_YEAR_100 = -59_011_459_200_000


def detect_unit(values: pa.Array) -> TimeUnit | None:
    """The unit that makes the median of numbers a time between 1973 and 2286; ``iso8601`` when most are no numbers.

    Eight, twelve or fourteen digits that are mostly dates of this and the last century (20240131, 20240131173000) are no
    counts. None when there is no finite value to judge by. Typed times need no unit: any answer will do.
    """
    if types.is_temporal(values.type):
        return "iso8601" if len(values) > values.null_count else None
    series = pl.Series(values=pl.from_arrow(values)).drop_nulls()
    if series.is_empty():
        return None
    if not (series.dtype == pl.String or series.dtype.is_numeric()):
        return "iso8601"
    number = _numbers(series).drop_nulls()
    if 2 * len(number) <= len(series):
        return "iso8601"
    finite = number.filter(number.is_finite())
    if finite.is_empty():
        return None
    if 2 * int(_digits(series).str.contains(_COMPACT).sum()) > len(series):
        return "iso8601"
    middle = abs(float(np.median(finite.to_numpy())))
    return "s" if middle < 1e10 else "ms" if middle < 1e13 else "us"


def convert_times(values: pa.Array, unit: TimeUnit, timezone: str | None, form: str | None = None) -> Cells:
    """Plain values to int64 milliseconds.

    Args:
        values: text or numbers in ``unit``, or Arrow timestamps and dates (whose unit is their own).
        unit: of text and numbers.
        timezone: IANA zone of times without an offset. A local hour that a clock change repeats is the earlier one; one that
            it skips is no time.
        form: the strptime format of text and numbers, in place of a unit.

    Raises:
        SchemaError: there is no such zone.
    """
    if timezone is not None:
        check_zone(timezone)
    if types.is_timestamp(values.type) or types.is_date(values.type):
        return _typed(values, timezone)
    series = pl.Series(values=pl.from_arrow(values))
    if form is not None:
        return _formatted(_digits(series), form, timezone)
    if unit == "iso8601":
        return _iso(_digits(series), timezone)
    if unit in _FACTORS and (exact := _multiplied(series, _FACTORS[unit])) is not None:
        return Cells(exact)
    return _counted(series, unit)


def _multiplied(series: pl.Series, factor: int) -> pa.Int64Array | None:
    """Whole numbers of units, or their plain digits, as milliseconds; None where there is anything else or out of range."""
    if not (series.dtype.is_integer() or series.dtype == pl.String):
        return None
    whole = series.cast(pl.Int64, strict=False)
    if whole.null_count() > series.null_count():
        return None
    values = whole.to_arrow()
    ends = pc.min_max(values)
    least, greatest = ends["min"].as_py(), ends["max"].as_py()
    if least is not None and not _FIRST <= least * factor <= greatest * factor <= _LAST:
        return None
    return pc.multiply(values, factor)


def _counted(series: pl.Series, unit: TimeUnit) -> Cells:
    """Numbers of units since 1970."""
    number = _numbers(series)
    milliseconds = pc.multiply(number.to_arrow(), _MILLISECONDS[unit])
    whole = pc.floor(milliseconds) if unit == "us" else pc.round(milliseconds)
    within = pc.and_(pc.greater_equal(whole, _FIRST), pc.less_equal(whole, _LAST))
    if number.null_count() == series.null_count() and pc.all(within, min_count=0).as_py():
        return Cells(whole.cast(pa.int64()))
    finite = pc.is_finite(whole)
    outside = positions(pc.and_(finite, pc.invert(within)))
    infinite = positions(pc.invert(finite))
    values = without(without(whole, outside), infinite).cast(pa.int64())
    absent = positions(number.is_null() & series.is_not_null())
    return Cells(values, joined({Reason.NOT_A_TIME: absent, Reason.NOT_FINITE: infinite, Reason.OUT_OF_RANGE: outside}))


def check_zone(timezone: str) -> None:
    """Raises SchemaError when the zone is not in the system's database."""
    try:
        zoneinfo.ZoneInfo(timezone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise SchemaError(
            "timezone", expected='an IANA zone such as "Europe/Berlin" or "UTC"', got=timezone, remedy="Mend the mapping file."
        ) from error


def _digits(series: pl.Series) -> pl.Series:
    """Text; of whole numbers their digits, even where gaps have made them floating-point."""
    if series.dtype.is_float():
        whole = series.cast(pl.Int64, strict=False)
        return whole.cast(pl.String).zip_with((whole.cast(pl.Float64) == series).fill_null(False), series.cast(pl.String))
    return series.cast(pl.String)


def _numbers(series: pl.Series) -> pl.Series:
    text = series.str.strip_chars() if series.dtype == pl.String else series
    return text.cast(pl.Float64, strict=False)


def _typed(values: pa.Array, timezone: str | None) -> Cells:
    """Arrow's own times. One with a zone is an instant, whatever zone it would be shown in."""
    moment, problems = _in_milliseconds(values)
    if types.is_timestamp(values.type) and values.type.tz is not None:
        return Cells(moment.to_arrow(), problems)
    if timezone is None:
        return Cells(pa.nulls(len(values), pa.int64()), joined({Reason.NAIVE_TIME: positions(values.is_valid())}))
    result = _from_local(moment, timezone)
    return Cells(result.to_arrow(), joined(problems, {Reason.NOT_A_TIME: positions(result.is_null() & moment.is_not_null())}))


def _in_milliseconds(values: pa.Array) -> tuple[pl.Series, Problems]:
    """int64 milliseconds as the clock shows them, null outside the years 1 to 9999."""
    days = types.is_date32(values.type)
    count = values.cast(pa.int32()).cast(pa.int64()) if days else values.cast(pa.int64())
    unit = "D" if days else "ms" if types.is_date64(values.type) else values.type.unit
    series = pl.Series(values=pl.from_arrow(count))
    per, of = _PER_MILLISECOND[unit]
    low, high = max(_FIRST * of // per, -(2**63)), min(_LAST * of // per, 2**63 - 1)
    outside = ((series < low) | (series > high)).fill_null(False)
    return series.set(outside, None) * per // of, joined({Reason.OUT_OF_RANGE: positions(outside)})


def _formatted(text: pl.Series, form: str, timezone: str | None) -> Cells:
    """Text in a strptime format. A year that falls short of three digits is none: ``31.12.25`` is not of the year 25."""
    text = text.str.strip_chars()
    moment = text.str.to_datetime(form.replace(".%f", "%.f"), strict=False, time_unit="ms").dt.epoch("ms")
    moment = moment.set((moment < _YEAR_100).fill_null(False), None)
    absent = positions(moment.is_null() & text.is_not_null())
    if "%z" in form.replace("%%", ""):
        return Cells(moment.to_arrow(), joined({Reason.NOT_A_TIME: absent}))
    if timezone is None:
        told = positions(moment.is_not_null())
        return Cells(pa.nulls(len(text), pa.int64()), joined({Reason.NOT_A_TIME: absent, Reason.NAIVE_TIME: told}))
    result = _from_local(moment, timezone)
    return Cells(result.to_arrow(), joined({Reason.NOT_A_TIME: positions(result.is_null() & text.is_not_null())}))


def _from_local(moment: pl.Series, timezone: str) -> pl.Series:
    """Milliseconds of a clock on the wall in that zone to milliseconds UTC; null where the clock skips them."""
    local = moment.cast(pl.Datetime("ms")).dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return local.dt.epoch("ms")


def _iso(text: pl.Series, timezone: str | None) -> Cells:
    parts = text.str.extract_groups(_ISO).struct.unnest()
    year, month, day, hour, minute, second, fraction, offset = (parts.to_series(i) for i in range(8))
    clock = pl.select(
        pl.concat_str([year, month, day, hour.fill_null("00"), minute.fill_null("00"), second.fill_null("00")], separator=" ")
    ).to_series()
    moment = clock.str.to_datetime("%Y %m %d %H %M %S", strict=False, time_unit="ms")
    moment = (moment.dt.epoch("ms") + (fraction + "00").str.slice(0, 3).cast(pl.Int64).fill_null(0)).alias("moment")
    naive = moment.is_not_null() & offset.is_null()
    shift = _offset_minutes(offset) * 60_000
    utc = moment - shift
    problems = {Reason.NOT_A_TIME: positions(moment.is_null() & text.is_not_null())}
    if naive.any() and timezone is None:
        problems[Reason.NAIVE_TIME] = positions(naive)
    elif naive.any() and timezone is not None:
        utc = utc.zip_with(~naive, _from_local(moment, timezone))
        problems[Reason.NOT_A_TIME] = positions(utc.is_null() & text.is_not_null())
    result = utc.to_arrow()
    for found in problems.values():
        result = without(result, found)
    return Cells(result, joined(problems))


def _offset_minutes(offset: pl.Series) -> pl.Series:
    """``+02:00`` -> 120; nothing, Z and UTC -> 0."""
    digits = offset.str.replace(":", "")
    signed = digits.str.extract(r"^([+-]\d\d)").cast(pl.Int64).fill_null(0)
    minutes = digits.str.extract(r"^[+-]\d\d(\d\d)$").cast(pl.Int64).fill_null(0)
    negative = digits.str.starts_with("-").fill_null(False)
    return signed * 60 + minutes.zip_with(~negative, -minutes)
