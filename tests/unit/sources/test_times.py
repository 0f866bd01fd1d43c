"""Times of any notation: against the standard library, and at the edges of clocks."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.errors import SchemaError
from kgrecall.sources.times import convert_times, detect_unit

_BERLIN = "Europe/Berlin"


def milliseconds(year: int, *rest: int, zone: dt.tzinfo = dt.UTC) -> int:
    return int(dt.datetime(year, *rest, tzinfo=zone).timestamp() * 1000)  # type: ignore[misc, arg-type]


def read(
    cells: list[Any] | pa.Array, unit: Any = "iso8601", timezone: str | None = None
) -> tuple[list[Any], dict[str, list[int]]]:
    result = convert_times(cells if isinstance(cells, pa.Array) else pa.array(cells), unit, timezone)
    assert result.values.type == pa.int64()
    return result.values.to_pylist(), {str(reason): found.tolist() for reason, found in result.problems.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29T12:30:15Z", milliseconds(2024, 2, 29, 12, 30, 15)),
        ("2024-02-29 12:30:15.1234567+02:00", milliseconds(2024, 2, 29, 10, 30, 15) + 123),
        ("2024-02-29T12:30-0330", milliseconds(2024, 2, 29, 16, 0)),
        ("20240229T123015Z", milliseconds(2024, 2, 29, 12, 30, 15)),
        (" 2024/02/29 12:30:15,5 UTC ", milliseconds(2024, 2, 29, 12, 30, 15) + 500),
        ("1969-12-31T23:59:59Z", -1000),
        ("2024-02-29T12:30:15+05", milliseconds(2024, 2, 29, 7, 30, 15)),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
    ],
)
def test_iso_with_an_offset(text: str, expected: int) -> None:
    assert read([text, None]) == ([expected, None], {})


def test_text_that_is_no_time() -> None:
    cells = ["soon", "2023-02-29T00:00:00Z", "2024-01-01T25:00:00Z", "2024-13-01T00:00:00Z", "29.02.2024", "2024-1-1T00:00Z"]
    assert read(cells) == ([None] * 6, {"not_a_time": [0, 1, 2, 3, 4, 5]})


def test_naive_times_need_a_zone() -> None:
    cells = ["2024-07-01T12:00:00", "2024-07-01", "20240701", "2024-07-01T12:00:00+00:00"]
    noon = milliseconds(2024, 7, 1, 12)
    assert read(cells) == ([None, None, None, noon], {"naive_time": [0, 1, 2]})
    midnight = milliseconds(2024, 7, 1, zone=zoneinfo.ZoneInfo(_BERLIN))
    assert read(cells, timezone=_BERLIN) == ([noon - 7_200_000, midnight, midnight, noon], {})


def test_clock_changes() -> None:
    cells = ["2024-10-27T02:30:00", "2024-03-31T02:30:00", "2024-03-31T03:30:00"]
    values, problems = read(cells, timezone=_BERLIN)
    assert values == [milliseconds(2024, 10, 27, 0, 30), None, milliseconds(2024, 3, 31, 1, 30)]
    assert problems == {"not_a_time": [1]}


@pytest.mark.parametrize(
    ("cells", "unit", "expected", "problems"),
    [
        ([" 1700000000 ", "1700000000.25", None], "s", [1_700_000_000_000, 1_700_000_000_250, None], {}),
        ([1_700_000_000_123], "ms", [1_700_000_000_123], {}),
        ([1_700_000_000_123_999], "us", [1_700_000_000_123], {}),
        ([-1.5, 0.0], "s", [-1500, 0], {}),
        (["17", "-007", None], "ms", [17, -7, None], {}),
        (["17", "1e3", " 5"], "s", [17_000, 1_000_000, 5_000], {}),
        (["17", "253402300800", "x"], "s", [17_000, None, None], {"out_of_range": [1], "not_a_time": [2]}),
        ([-62_135_596_800, None, 253_402_300_799], "s", [-62_135_596_800_000, None, 253_402_300_799_000], {}),
        ([0, 253_402_300_800, -(2**63)], "s", [0, None, None], {"out_of_range": [1, 2]}),
        (pa.array([7, 2**64 - 1], pa.uint64()), "ms", [7, None], {"out_of_range": [1]}),
        (pa.array([-7, 7], pa.int8()), "s", [-7000, 7000], {}),
        (["x", "nan", "1e18", "-1e18"], "s", [None] * 4, {"not_a_time": [0], "not_finite": [1], "out_of_range": [2, 3]}),
        (["1e400"], "s", [None], {"not_finite": [0]}),
    ],
)
def test_numbers(cells: list[Any] | pa.Array, unit: str, expected: list[Any], problems: dict[str, list[int]]) -> None:
    assert read(cells, unit) == (expected, problems)


def test_typed_times() -> None:
    moment = dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)
    noon = milliseconds(2024, 7, 1, 12)
    aware = pa.array([moment, None], pa.timestamp("ns", _BERLIN))
    assert read(aware) == ([noon, None], {})
    naive = pa.array([moment.replace(tzinfo=None), None], pa.timestamp("us"))
    assert read(naive) == ([None, None], {"naive_time": [0]})
    assert read(naive, timezone=_BERLIN) == ([noon - 7_200_000, None], {})
    assert read(pa.array([dt.date(2024, 7, 1)]), timezone="UTC") == ([noon - 12 * 3_600_000], {})
    skipped = pa.array([dt.datetime(2024, 3, 31, 2, 30)], pa.timestamp("s"))
    assert read(skipped, timezone=_BERLIN) == ([None], {"not_a_time": [0]})


def test_an_unknown_zone() -> None:
    with pytest.raises(SchemaError, match="an IANA zone"):
        read(["2024-01-01"], timezone="Europe/Nowhere")


@pytest.mark.parametrize(
    ("cells", "unit"),
    [
        ([1_700_000_000, float("nan"), 1_700_000_000.5], "s"),
        (["1700000000", "nan", "inf"], "s"),
        ([float("nan")], None),
        (["881250949", "x", "881250950"], "s"),
        ([1.7e9], "s"),
        (["1700000000000"], "ms"),
        ([1_700_000_000_000_000], "us"),
        (["2024-01-01T00:00:00Z", "17"], "iso8601"),
        (["20240131", "19990101"], "iso8601"),
        (["20240131", "20240199"], "iso8601"),
        ([None], None),
        ([], None),
    ],
)
def test_units_are_told_from_values(cells: list[Any], unit: str | None) -> None:
    assert detect_unit(pa.array(cells, pa.string() if not cells else None)) == unit
    assert detect_unit(pa.array([dt.datetime(2024, 1, 1)])) == "iso8601"


_OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))


@given(
    st.lists(st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1), timezones=_OFFSETS), max_size=8), st.sampled_from("T ")
)
def test_what_python_writes(moments: list[dt.datetime], separator: str) -> None:
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    expected = [
        (moment.replace(microsecond=moment.microsecond // 1000 * 1000) - epoch) // dt.timedelta(milliseconds=1)
        for moment in moments
    ]
    assert read(pa.array([moment.isoformat(separator) for moment in moments], pa.string())) == (expected, {})
    typed = pa.array(moments, pa.timestamp("us", "UTC"))
    assert read(typed)[0] == expected
