from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from kgrecall.recall.channels.sparse_rows import SparseRows, is_in, power, row_and_column_sums, scaled, transposed

dense = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=st.sampled_from([0, 0, 1, 2, -1, 0.5]))


@given(dense, st.data())
def test_weighted_sums_are_the_positive_part_of_the_dense_product(matrix: np.ndarray, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, matrix.shape[0] - 1), max_size=6))
    weights = np.array(
        data.draw(st.lists(st.sampled_from([1.0, 0.25, 3.0]), min_size=len(rows), max_size=len(rows))), np.float32
    )
    drop = np.array(data.draw(st.lists(st.integers(0, matrix.shape[1] - 1), max_size=3)), np.int32)
    pad = data.draw(st.sampled_from([0, 100_000]))  # far more columns than entries: the other way of adding up
    wide = np.concatenate([matrix, np.zeros((len(matrix), pad), np.float32)], axis=1)

    columns, values = SparseRows(csr_array(wide)).weighted_sum(np.array(rows, np.int32), weights, drop)

    expected = weights @ wide[rows] if rows else np.zeros(wide.shape[1])
    expected[drop] = 0
    assert len(set(columns.tolist())) == len(columns)
    found = np.zeros(wide.shape[1])
    found[columns] = values
    np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-6)
    assert (values > 0).all()


@pytest.mark.parametrize("row_length", [3, 200])
def test_short_and_long_rows_are_gathered_alike(row_length: int) -> None:
    rng = np.random.default_rng(0)
    matrix = np.zeros((10, 400), np.float32)
    for row in matrix:
        row[rng.choice(400, row_length, replace=False)] = rng.random(row_length)
    rows, weights = np.array([3, 3, 9, 0], np.int32), np.array([1, 2, 3, 4], np.float32)
    columns, values = SparseRows(csr_array(matrix)).weighted_sum(rows, weights)
    np.testing.assert_allclose(values, (weights @ matrix[rows])[columns], rtol=1e-5)


@given(st.lists(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_membership(values: list[int], wanted: set[int]) -> None:
    found = is_in(np.array(values, np.int32), np.array(sorted(wanted), np.int32))
    assert found.tolist() == [value in wanted for value in values]


def test_rows_and_values_at() -> None:
    rows = SparseRows(csr_array(np.array([[0, 5, 7], [1, 0, 0], [0, 0, 0]], np.float32)))
    columns, values = rows.row(0)
    assert (columns.tolist(), values.tolist()) == ([1, 2], [5, 7])
    assert rows.values_at(np.array([0, 1, 2, 0]), 1).tolist() == [5, 0, 0, 5]
    assert rows.lengths.tolist() == [2, 1, 0]


def test_rows_need_not_be_sorted() -> None:
    rows = SparseRows(csr_array((np.array([7.0, 5.0]), np.array([2, 1]), np.array([0, 2])), shape=(1, 3)))
    assert rows.values_at(np.array([0]), 1).tolist() == [5]
    columns, values = rows.weighted_sum(np.array([0]), np.ones(1, np.float32))
    assert dict(zip(columns.tolist(), values.tolist(), strict=True)) == {1: 5, 2: 7}


def test_a_memory_mapped_matrix_serves(tmp_path: pytest.TempPathFactory) -> None:
    path = f"{tmp_path}/values.npy"
    np.save(path, np.array([7.0, 5.0], np.float32))
    matrix = csr_array((np.load(path, mmap_mode="r"), np.array([1, 2]), np.array([0, 2])), shape=(1, 3))
    _, values = SparseRows(matrix).weighted_sum(np.array([0]), np.ones(1, np.float32))
    assert values.tolist() == [7, 5]


def test_scaling_and_sums() -> None:
    matrix = csr_array(np.array([[1, 2], [0, 4]], np.float32))
    by = scaled(matrix, by_row=np.array([1, 10], np.float32), by_column=np.array([3, 1], np.float32))
    np.testing.assert_array_equal(by.toarray(), [[3, 2], [0, 40]])
    np.testing.assert_array_equal(transposed(matrix).toarray(), [[1, 0], [2, 4]])
    rows, columns = row_and_column_sums(matrix)
    assert (rows.tolist(), columns.tolist()) == ([3, 4], [1, 6])
    np.testing.assert_allclose(power(np.array([4.0, 0.0]), -0.5), [0.5, 0])
