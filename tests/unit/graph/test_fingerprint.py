from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.graph.fingerprint import add_column, add_numbers, add_text, new_digest


def of_column(array: pa.Array) -> str:
    digest = new_digest("test")
    add_column(digest, array)
    return digest.hexdigest()


def of_numbers(array: np.ndarray[Any, Any]) -> str:
    digest = new_digest("test")
    add_numbers(digest, array)
    return digest.hexdigest()


COLUMNS = [
    pa.array(["ab", None, "", "c"], pa.string()),
    pa.array([1, None, 3, 4], pa.int64()),
    pa.array([1.5, None, -0.5, 4], pa.float64()),
    pa.array([True, None, False, True], pa.bool_()),
    pa.array([["a", "bc"], None, [], ["d"]], pa.list_(pa.string())),
    pa.array([[1.0, 2.0], None, [], [3.0]], pa.list_(pa.float32())),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: str(c.type))
def test_slices_and_chunks_do_not_count(column: pa.Array) -> None:
    padded = pa.concat_arrays([column, column]).slice(2, 4).slice(2).take(pa.array([0, 1]))
    assert of_column(padded) == of_column(pa.array(column.to_pylist()[:2], column.type))
    longer = pa.concat_arrays([column.slice(3), column, column.slice(1)]).slice(1, 4)
    assert of_column(longer) == of_column(column)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: str(c.type))
def test_values_nulls_order_and_length_count(column: pa.Array) -> None:
    without_null = [column[0].as_py(), column[3].as_py(), column[2].as_py(), column[3].as_py()]
    variants = [
        column,
        column.slice(1),
        pa.array(column.to_pylist()[::-1], column.type),
        pa.array(without_null, column.type),
        pa.array([None, *column.to_pylist()[::2], None], column.type),
    ]
    assert len({of_column(variant) for variant in variants}) == len(variants)


def test_what_lies_under_a_null_does_not_count() -> None:
    mask = np.array([False, True])
    assert of_column(pa.array(np.array([1, 7]), mask=mask)) == of_column(pa.array(np.array([1, 8]), mask=mask))


def test_boundaries_between_values_count() -> None:
    assert of_column(pa.array(["ab", "c"])) != of_column(pa.array(["a", "bc"]))
    assert of_column(pa.array([["a"], ["b"]])) != of_column(pa.array([["a", "b"], []]))
    texts = []
    for parts in (("ab", "c"), ("a", "bc")):
        digest = new_digest("test")
        for part in parts:
            add_text(digest, part)
        texts.append(digest.hexdigest())
    assert texts[0] != texts[1]


def test_byte_order_and_strides_do_not_count_but_dtype_does() -> None:
    numbers = np.arange(6, dtype=np.int32)
    assert of_numbers(numbers) == of_numbers(numbers.astype(">i4")) == of_numbers(np.repeat(numbers, 2)[::2])
    assert of_numbers(numbers) != of_numbers(numbers.astype(np.int64))
    assert of_numbers(numbers[:0]) != of_numbers(numbers[:1])
