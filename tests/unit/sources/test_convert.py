"""Cells to typed columns: every kind, every reason, against plain Python."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.schema import PropertyType
from kgrecall.sources.cells import list_cells, plain
from kgrecall.sources.convert import MAX_ID_BYTES, MAX_TEXT_BYTES, convert, convert_ids
from kgrecall.sources.quarantine import Reason
from kgrecall.sources.tables import ARROW_TYPES


def converted(cells: list[Any] | pa.Array, kind: PropertyType, **how: Any) -> tuple[list[Any], dict[str, list[int]]]:
    array = cells if isinstance(cells, pa.Array) else pa.array(cells)
    result = convert(array, kind, **how)
    assert result.values.type == ARROW_TYPES[kind]
    assert len(result) == len(array)
    return result.values.to_pylist(), {str(reason): found.tolist() for reason, found in result.problems.items()}


@pytest.mark.parametrize(
    ("kind", "good", "values", "bad"),
    [
        ("integer", ["7", " -3 ", "+4", ""], [7, -3, 4, None], {"x": "not_an_integer", "2.5": "not_an_integer"}),
        ("integer", ["2.0", "1e3"], [2, 1000], {"0x10": "not_an_integer", "1_0": "not_an_integer"}),
        ("integer", [str(2**63 - 1)], [2**63 - 1], {str(2**63): "out_of_range", "nan": "not_finite"}),
        ("number", ["7", " -3.5 ", "1e-3", ".5"], [7.0, -3.5, 0.001, 0.5], {"x": "not_a_number", "1,5": "not_a_number"}),
        ("number", ["", "1"], [None, 1.0], {"NaN": "not_finite", "-Infinity": "not_finite", "1e999": "not_finite"}),
        ("boolean", ["TRUE", " f", "Yes", "0", ""], [True, False, True, False, None], {"2": "not_a_boolean"}),
        ("string", ["007", " x ", "", "NaN"], ["007", " x ", None, "NaN"], {"x" * (MAX_TEXT_BYTES + 1): "too_long"}),
        ("text", ["é" * (MAX_TEXT_BYTES // 2)], ["é" * (MAX_TEXT_BYTES // 2)], {}),
        ("image", ["a/b.png"], ["a/b.png"], {}),
    ],
)
def test_text_cells(kind: PropertyType, good: list[str], values: list[Any], bad: dict[str, str]) -> None:
    result, problems = converted([*good, *bad], kind)
    assert result == [*values, *[None] * len(bad)]
    expected: dict[str, list[int]] = {}
    for i, reason in enumerate(bad.values()):
        expected.setdefault(reason, []).append(len(good) + i)
    assert problems == expected


@pytest.mark.parametrize(
    ("array", "kind", "values", "problems"),
    [
        (pa.array([1.0, 2.5, None, math.nan]), "integer", [1, None, None, None], {"not_an_integer": [1], "not_finite": [3]}),
        (pa.array([2**63], pa.uint64()), "integer", [None], {"out_of_range": [0]}),
        (pa.array([True, False]), "integer", [1, 0], {}),
        (pa.array([Decimal("1.50")]), "number", [1.5], {}),
        (pa.array([1, None], pa.int8()), "number", [1.0, None], {}),
        (pa.array([math.inf, 1.0], pa.float32()), "number", [None, 1.0], {"not_finite": [0]}),
        (pa.array([1, 0, 2]), "boolean", [True, False, None], {"not_a_boolean": [2]}),
        (pa.array([1.0, 2.5, math.nan]), "string", ["1", "2.5", None], {}),
        (pa.array([7, None]), "string", ["7", None], {}),
        (pa.array([dt.date(2024, 2, 29)]), "string", ["2024-02-29"], {}),
        (pa.array([dt.date(2024, 2, 29)]), "number", [None], {"not_a_number": [0]}),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "string", ["a", "b", "a"], {}),
        (pa.array(["a"], pa.large_string()), "text", ["a"], {}),
        (pa.array(["a"], pa.string_view()), "text", ["a"], {}),
        (pa.array([b"\xc3\xa9", b"\xff", None]), "string", ["é", None, None], {"bad_encoding": [1]}),
        (pa.array([b"\xff", b"a"]).view(pa.string()), "text", [None, "a"], {"bad_encoding": [0]}),
        (pa.array([["a"], ["a", "b"], [], None]), "string", ["a", None, None, None], {"not_a_scalar": [1]}),
        (pa.array([{"a": 1}, None]), "string", [None, None], {"not_a_scalar": [0]}),
        (pa.nulls(2), "integer", [None, None], {}),
        (pa.array(["x", "1", "2"])[1:], "integer", [1, 2], {}),
    ],
)
def test_typed_cells(array: pa.Array, kind: PropertyType, values: list[Any], problems: dict[str, list[int]]) -> None:
    assert converted(array, kind) == (values, problems)


def test_null_values_are_declared() -> None:
    assert converted(["NA", "", "1"], "integer", null_values=("NA",)) == ([None, None, 1], {"not_an_integer": [1]})
    assert converted(["NA", ""], "string", null_values=("NA",)) == ([None, ""], {})


@pytest.mark.parametrize(
    ("cells", "kind", "separator", "values", "problems"),
    [
        (["a|b", " c | |d ", "", "|", None], "strings", "|", [["a", "b"], ["c", "d"], None, [], None], {}),
        (["a|b"], "strings", None, [["a|b"]], {}),
        ([["a", None], [], None], "strings", None, [["a"], [], None], {}),
        (["1;2.5", "1;x", "nan"], "numbers", ";", [[1.0, 2.5], None, None], {"not_a_number": [1], "not_finite": [2]}),
        ([[1, 2], [3]], "numbers", None, [[1.0, 2.0], [3.0]], {}),
        (["[1, -2.5e-1]", " (1,2) ", "[]"], "numbers", ",", [[1.0, -0.25], [1.0, 2.0], []], {}),
        (["[ 1.5 2.\n  3. ]", "[1 x]"], "numbers", " ", [[1.5, 2.0, 3.0], None], {"not_a_number": [1]}),
        (["[a, b]"], "strings", ",", [["[a", "b]"]], {}),
        ([5, None], "strings", "|", [["5"], None], {}),
        ([[b"a", b"\xff"], [b"b"]], "strings", None, [None, ["b"]], {"bad_encoding": [0]}),
    ],
)
def test_lists(
    cells: list[Any], kind: PropertyType, separator: str | None, values: list[Any], problems: dict[str, list[int]]
) -> None:
    assert converted(cells, kind, separator=separator) == (values, problems)


def test_fixed_size_and_sliced_lists() -> None:
    vectors = pa.array([[1.0, 2.0], None, [5.0, 6.0]], pa.list_(pa.float64(), 2))
    assert converted(vectors, "numbers") == ([[1.0, 2.0], None, [5.0, 6.0]], {})
    assert converted(pa.array([["a"], ["b", "c"], ["d"]])[1:], "strings") == ([["b", "c"], ["d"]], {})
    assert list_cells(pa.array([["a"], ["b", "c"]])[1:], None).parents.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("array", "ids", "problems"),
    [
        (pa.array(["007", " x", "\u202eabc", "a\0b"]), ["007", " x", "\u202eabc", "a\0b"], {}),
        (pa.array(["", "  ", None]), [None, None, None], {"missing_id": [0, 1, 2]}),
        (pa.array([7, None]), ["7", None], {"missing_id": [1]}),
        (pa.array([7.0, 7.5, math.nan, 1e20]), ["7", "7.5", None, "1e+20"], {"missing_id": [2]}),
        (pa.array(["x" * MAX_ID_BYTES, "é" * MAX_ID_BYTES]), ["x" * MAX_ID_BYTES, None], {"too_long": [1]}),
        (pa.array([b"\xff", b"", b"a"]), [None, None, "a"], {"bad_encoding": [0], "missing_id": [1]}),
        (pa.array([["a", "b"], ["c"]]), [None, "c"], {"not_a_scalar": [0]}),
    ],
)
def test_ids(array: pa.Array, ids: list[str | None], problems: dict[str, list[int]]) -> None:
    cells = convert_ids(array)
    assert cells.values.type == pa.string()
    assert cells.values.to_pylist() == ids
    assert {str(reason): found.tolist() for reason, found in cells.problems.items()} == problems


def test_ids_with_a_prefix() -> None:
    cells = convert_ids(pa.array(["1", ""]), prefix="b:")
    assert cells.values.to_pylist() == ["b:1", None]
    assert cells.problems.keys() == {Reason.MISSING_ID}


@given(st.lists(st.text(alphabet="0123456789.eE+-ainfNIty ", max_size=8), max_size=20))
def test_numbers_read_as_python_reads_them(cells: list[str]) -> None:
    values, problems = converted(pa.array(cells, pa.string()), "number")
    for i, (cell, value) in enumerate(zip(cells, values, strict=True)):
        try:
            expected = float(cell)
        except ValueError:
            assert i in problems.get("not_a_number", []) or cell == ""
        else:
            assert value == expected if math.isfinite(expected) else i in problems["not_finite"]


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1).map(str), st.text("0123456789+-. ", max_size=6)), max_size=20))
def test_integers_read_as_python_reads_them(cells: list[str]) -> None:
    values, problems = converted(pa.array(cells, pa.string()), "integer")
    for i, (cell, value) in enumerate(zip(cells, values, strict=True)):
        try:
            expected = int(cell) if "." not in cell else float(cell)
        except ValueError:
            expected = None
        if expected is not None and expected == int(expected):
            assert value == int(expected)
        else:
            assert value is None
            assert cell == "" or any(i in found for found in problems.values())


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1)), max_size=20))
def test_text_stays_as_it_is(cells: list[str | None]) -> None:
    assert converted(pa.array(cells, pa.string()), "text") == (cells, {})
    encoded = pa.array([None if cell is None else cell.encode() for cell in cells], pa.binary())
    assert plain(encoded).values.to_pylist() == cells


@given(st.lists(st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text("ab", min_size=1)), max_size=3)), max_size=9))
def test_lists_keep_their_rows(cells: list[list[str | None] | None]) -> None:
    expected = [None if cell is None else [part for part in cell if part is not None] for cell in cells]
    array = pa.array(cells, pa.list_(pa.string()))
    assert converted(array, "strings") == (expected, {})
    lists = list_cells(array, None)
    assert np.bincount(lists.parents, minlength=len(cells)).tolist() == [len(cell or ()) for cell in expected]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int32(), pa.int64(), pa.uint64()])
@pytest.mark.parametrize("ends", [(0, 3), (-128, 127), (7, 7)])
def test_many_narrow_integers_are_written_as_each_alone(kind: pa.DataType, ends: tuple[int, int]) -> None:
    least, greatest = max(ends[0], 0 if pa.types.is_unsigned_integer(kind) else ends[0]), ends[1]
    numbers = [None, *np.random.default_rng(0).integers(least, greatest + 1, 2_000).tolist(), least, greatest]
    cells = convert_ids(pa.array(numbers, kind).slice(1))
    assert cells.values.to_pylist() == list(map(str, numbers[1:]))
    absent = convert_ids(pa.array(numbers, kind))
    assert absent.values.to_pylist() == [None, *map(str, numbers[1:])]
    assert {reason: rows.tolist() for reason, rows in absent.problems.items()} == {Reason.MISSING_ID: [0]}


@given(st.lists(st.one_of(st.none(), st.text("a \u00a0\u2003\t\x1f\x7fé", max_size=3)), max_size=9), st.integers(0, 3))
def test_blank_ids_are_missing(cells: list[str | None], start: int) -> None:
    found = convert_ids(pa.array(cells, pa.string()).slice(min(start, len(cells)), 5))
    part = cells[start : start + 5]
    blank = [i for i, cell in enumerate(part) if not (cell or "").strip()]
    assert found.values.to_pylist() == [None if i in blank else cell for i, cell in enumerate(part)]
    assert {reason: rows.tolist() for reason, rows in found.problems.items()} == ({Reason.MISSING_ID: blank} if blank else {})


def test_wide_integers_keep_every_digit() -> None:
    wide = [-(2**63), 0, 2**63 - 1]
    assert convert_ids(pa.array(wide)).values.to_pylist() == list(map(str, wide))
    assert convert_ids(pa.nulls(3, pa.int64())).values.to_pylist() == [None] * 3
