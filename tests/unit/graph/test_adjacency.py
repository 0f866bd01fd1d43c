from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.errors import ShapeError
from kgrecall.graph.adjacency import MISSING_TIME, Adjacency, gather, group
from kgrecall.types import IntArray

TYPE = ("User", "RATED", "Item")
SHAPE = (4, 3)
edge = st.tuples(
    st.integers(0, 3), st.integers(0, 2), st.sampled_from([0.5, 1.0, 4.0]), st.sampled_from([MISSING_TIME, -5, 0, 7])
)
edges = st.lists(edge, max_size=25)


def build(rows: list[tuple[Any, ...]], *, timed: bool = True) -> Adjacency:
    columns = [np.array([row[c] for row in rows], dtype) for c, dtype in enumerate((np.int64, np.int64, np.float32, np.int64))]
    source, target, weight, time = columns
    return Adjacency.from_edges(
        TYPE, source, target, weight, time if timed else None, num_sources=SHAPE[0], num_targets=SHAPE[1]
    )


def listed(adjacency: Adjacency) -> list[tuple[Any, ...]]:
    time = adjacency.time.tolist() if adjacency.time is not None else [None] * adjacency.num_edges
    return list(zip(adjacency.sources().tolist(), adjacency.indices.tolist(), adjacency.weight.tolist(), time, strict=True))


def dense(rows: list[tuple[Any, ...]]) -> np.ndarray[Any, Any]:
    matrix = np.zeros(SHAPE, np.float32)
    for source, target, weight, _ in rows:
        matrix[source, target] += weight
    return matrix


@given(edges)
def test_edges_come_out_sorted_by_source_target_time_weight(rows: list[tuple[Any, ...]]) -> None:
    assert listed(build(rows)) == sorted(rows, key=lambda row: (row[0], row[1], row[3], row[2]))


@given(edges, st.randoms())
def test_the_order_of_the_input_does_not_count(rows: list[tuple[Any, ...]], random: Any) -> None:
    shuffled = random.sample(rows, len(rows))
    for name in ("indptr", "indices", "weight", "time", "rev_indptr", "rev_indices", "rev_edge"):
        assert np.array_equal(getattr(build(rows), name), getattr(build(shuffled), name))


@given(edges)
def test_matrices_add_up_parallel_edges(rows: list[tuple[Any, ...]]) -> None:
    adjacency = build(rows)
    assert np.array_equal(adjacency.forward().toarray(), dense(rows))
    assert np.array_equal(adjacency.backward().toarray(), dense(rows).T)
    for matrix in (adjacency.forward(), adjacency.backward()):
        assert matrix.has_canonical_format
        assert matrix.dtype == np.float32
        assert matrix.nnz == len({row[:2] for row in rows})


@given(edges)
def test_reverse_rows_hold_the_same_edges(rows: list[tuple[Any, ...]]) -> None:
    adjacency = build(rows)
    forward = listed(adjacency)
    seen = []
    for target in range(SHAPE[1]):
        row = slice(adjacency.rev_indptr[target], adjacency.rev_indptr[target + 1])
        for source, place in zip(adjacency.rev_indices[row], adjacency.rev_edge[row], strict=True):
            assert forward[place][:2] == (source, target)
            seen.append(int(place))
    assert sorted(seen) == list(range(len(rows)))


@given(edges, st.lists(st.booleans(), min_size=25, max_size=25))
def test_keep_is_building_from_what_is_left(rows: list[tuple[Any, ...]], chosen: list[bool]) -> None:
    adjacency = build(rows)
    left = [row for row, kept in zip(listed(adjacency), chosen, strict=False) if kept]
    kept = adjacency.keep(np.array(chosen[: len(rows)], np.bool_))
    for name in ("indptr", "indices", "weight", "time", "rev_indptr", "rev_indices", "rev_edge"):
        assert np.array_equal(getattr(kept, name), getattr(build(left), name))


def test_dtypes_and_an_untimed_relation() -> None:
    adjacency = build([(0, 1, 2.0, 0)], timed=False)
    assert adjacency.time is None
    names = ("indptr", "indices", "weight", "rev_indptr", "rev_indices", "rev_edge")
    kinds = [getattr(adjacency, name).dtype.name for name in names]
    assert kinds == ["int64", "int32", "float32", "int64", "int32", "int64"]


@pytest.mark.parametrize(("source", "target"), [(-1, 0), (4, 0), (0, -1), (0, 3)])
def test_positions_out_of_range_are_refused(source: int, target: int) -> None:
    with pytest.raises(ShapeError, match="positions from 0 to"):
        build([(source, target, 1.0, 0)])


def test_lengths_must_agree() -> None:
    two, one = np.zeros(2, np.int64), np.ones(1, np.float32)
    with pytest.raises(ShapeError, match="arrays of one length"):
        Adjacency.from_edges(TYPE, two, two, one, None, num_sources=1, num_targets=1)


@given(st.lists(st.integers(0, 5), max_size=30))
def test_group_is_a_stable_sort(keys: list[int]) -> None:
    indptr, order = group(np.array(keys, np.int64), 6)
    assert order.tolist() == sorted(range(len(keys)), key=lambda i: keys[i])
    assert indptr.tolist() == [sum(key < k for key in keys) for k in range(7)]


@given(edges, st.lists(st.integers(0, 3), max_size=6))
def test_gather_walks_over_rows_in_order(rows: list[tuple[Any, ...]], asked: list[int]) -> None:
    indptr: IntArray = build(rows).indptr
    which, entry = gather(indptr, np.array(asked, np.int64))
    expected = [(i, e) for i, row in enumerate(asked) for e in range(indptr[row], indptr[row + 1])]
    assert list(zip(which.tolist(), entry.tolist(), strict=True)) == expected
