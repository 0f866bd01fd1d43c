"""Which of several records with one key stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.schema import EdgeTypeSpec
from kgrecall.store.latest import codes, event_times, in_order_of, last_of_equal


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 5)), max_size=40))
def test_against_a_dictionary(records: list[tuple[int, int, int]]) -> None:
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for row, (a, b, time) in enumerate(records):
        best[a, b] = max(best.get((a, b), (time, row)), (time, row))
    a, b, time = (np.array([record[i] for record in records], np.int64) for i in range(3))
    assert last_of_equal([a, b], time).tolist() == [best[key][1] for key in sorted(best)]


_INT64 = st.integers(-(2**63), 2**63 - 1)
_ROW = st.tuples(st.one_of(st.integers(-3, 3), _INT64), st.sampled_from([0.5, 1.5]), st.one_of(st.integers(0, 2), _INT64))


@given(st.lists(_ROW, max_size=40), st.booleans())
def test_the_order_is_that_of_rows(rows: list[tuple[int, float, int]], fraction_first: bool) -> None:
    columns = [np.array([row[i] for row in rows], dtype) for i, dtype in enumerate((np.int64, np.float64, np.int64))]
    if fraction_first:
        columns.insert(0, columns[1])
    expected = sorted(range(len(rows)), key=lambda i: tuple(column[i] for column in columns))
    assert in_order_of(columns).tolist() == expected


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.uint32])
def test_whole_numbers_of_any_width(kind: type[np.integer[Any]]) -> None:
    numbers = np.random.default_rng(0).integers(np.iinfo(kind).min, np.iinfo(kind).max, 999).astype(kind)
    assert in_order_of([numbers]).tolist() == np.argsort(numbers, kind="stable").tolist()


def test_without_times_the_last_given_stands() -> None:
    assert last_of_equal([np.array([5, 3, 5, 3])]).tolist() == [3, 2]


def test_equal_values_have_equal_codes() -> None:
    for values in (["b", "a", "b"], [2.5, 1.0, 2.5], [7, 8, 7], [[1, 2], [2], [1, 2]]):
        numbers = codes(pa.array(values))
        assert numbers[0] == numbers[2] != numbers[1]


def test_times_decide_only_outside_the_key() -> None:
    columns = {"at": pa.array([3, None], pa.int64())}
    spec = EdgeTypeSpec(source="A", target="B", properties={"at": "time"}, time="at")
    times = event_times(spec, columns)
    assert times is not None
    assert times.tolist() == [3, np.iinfo(np.int64).min]
    assert event_times(spec, {}) is None
    assert event_times(spec.model_copy(update={"key": ("at",)}), columns) is None
