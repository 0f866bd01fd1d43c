"""Which of several records with one key stands."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.schema import EdgeTypeSpec
from kgrecall.store.latest import codes, event_times, last_of_equal


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 5)), max_size=40))
def test_against_a_dictionary(records: list[tuple[int, int, int]]) -> None:
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for row, (a, b, time) in enumerate(records):
        best[a, b] = max(best.get((a, b), (time, row)), (time, row))
    a, b, time = (np.array([record[i] for record in records], np.int64) for i in range(3))
    assert last_of_equal([a, b], time).tolist() == [best[key][1] for key in sorted(best)]


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
