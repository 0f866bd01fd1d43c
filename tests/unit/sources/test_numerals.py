"""Remembered texts of whole numbers."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.sources import numerals
from kgrecall.sources.numerals import Numerals

_NEAR = st.lists(st.one_of(st.none(), st.integers(-40, 40)), max_size=60)
_FAR = st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=5)


@given(st.lists(st.one_of(_NEAR, _FAR), max_size=8))
def test_columns_are_written_as_each_number_alone(columns: list[list[int | None]]) -> None:
    memory = Numerals()
    for column in columns:
        texts = memory.texts_of(pa.array(column, pa.int64()))
        assert texts.to_pylist() == [None if number is None else str(number) for number in column]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.uint32(), pa.uint64()])
def test_every_type_shares_the_memory(kind: pa.DataType) -> None:
    memory = Numerals()
    memory.texts_of(pa.array(range(5, 100)))
    column = pa.array([9, None, 120, 0] * 9, kind)
    assert memory.texts_of(column).to_pylist() == ["9", None, "120", "0"] * 9


def test_the_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerals, "_MOST", 8)
    memory = Numerals()
    for start in (0, 5, 10_000, 3):
        column = list(range(start, start + 6))
        assert memory.texts_of(pa.array(column)).to_pylist() == list(map(str, column))
    assert len(memory._texts) == 6
    assert memory.texts_of(pa.array([7, 6] * 3)).to_pylist() == ["7", "6"] * 3
    assert len(memory._texts) == 8
