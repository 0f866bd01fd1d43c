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
from kgrecall.sources.cells import Cells, joined, positions, without
from kgrecall.sources.quarantine import Reason

_ISO = (
    r"^\s*(\d{4})[-/]?(\d\d)[-/]?(\d\d)"
    r"(?:[T ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?)?\s*$"
)
_MILLISECONDS: dict[TimeUnit, float] = {"s": 1000.0, "ms": 1.0, "us": 0.001}
_FACTORS: dict[TimeUnit, int] = {"s": 1000, "ms": 1}
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999
"""0001-01-01 and the end of 9999, in milliseconds."""


def detect_unit(values: pa.Array) -> TimeUnit | None:
    """The unit that makes the median of numbers a time between 1973 and 2286; ``iso8601`` when most are no numbers.

    Eight digits that start with 19 or 20 are compact dates (20240131), not seconds of the year 1970. None when there is no
    finite value to judge by. Typed times need no unit: any answer will do.
    """
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
    middle = abs(float(np.median(finite.to_numpy())))
    if series.dtype == pl.String and 19_000_101 <= middle <= 20_991_231 and bool(series.str.contains(_ISO).all()):
        return "iso8601"
    return "s" if middle < 1e10 else "ms" if middle < 1e13 else "us"


def convert_times(values: pa.Array, unit: TimeUnit, timezone: str | None) -> Cells:
    """Plain values to int64 milliseconds.

    Args:
        values: text or numbers in ``unit``, or Arrow timestamps and dates (whose unit is their own).
        unit: of text and numbers.
        timezone: IANA zone of times without an offset. A local hour that a clock change repeats is the earlier one; one that
            it skips is no time.

    Raises:
        SchemaError: there is no such zone.
    """
    if timezone is not None:
        check_zone(timezone)
    if types.is_timestamp(values.type) or types.is_date(values.type):
        return _typed(values, timezone)
    series = pl.Series(values=pl.from_arrow(values))
    if unit == "iso8601":
        return _iso(series.cast(pl.String), timezone)
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


def _numbers(series: pl.Series) -> pl.Series:
    text = series.str.strip_chars() if series.dtype == pl.String else series
    return text.cast(pl.Float64, strict=False)


def _typed(values: pa.Array, timezone: str | None) -> Cells:
    aware = types.is_timestamp(values.type) and values.type.tz is not None
    series = pl.Series(values=pl.from_arrow(values))
    moment = (series.cast(pl.Datetime("ms")) if series.dtype == pl.Date else series).dt.epoch("ms")
    if aware:
        return Cells(moment.to_arrow())
    if timezone is None:
        return Cells(pa.nulls(len(values), pa.int64()), joined({Reason.NAIVE_TIME: positions(values.is_valid())}))
    result = _from_local(moment, timezone)
    return Cells(result.to_arrow(), joined({Reason.NOT_A_TIME: positions(result.is_null() & moment.is_not_null())}))


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
