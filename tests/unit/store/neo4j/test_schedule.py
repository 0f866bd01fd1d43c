"""Cells cover every edge once, never share a node while they run, and carry about the same load."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.store.neo4j.schedule import Cell, balanced_groups, plan_cells, run_cells


@given(
    degrees=st.lists(st.integers(0, 50), min_size=1, max_size=60),
    num_groups=st.integers(1, 6),
)
def test_groups_differ_by_at_most_one_node(degrees: list[int], num_groups: int) -> None:
    degree = np.array(degrees)
    group = balanced_groups(degree, num_groups)
    loads = np.bincount(group, weights=degree, minlength=num_groups)
    assert loads.max() - loads.min() <= degree.max()


def test_a_power_law_is_balanced() -> None:
    degree = (200_000 / np.arange(1, 50_001) ** 0.8).astype(np.int64)
    loads = np.bincount(balanced_groups(degree, 8), weights=degree)
    assert loads.max() / loads.mean() < 1.05
    hashed = np.bincount(np.arange(50_000) % 8, weights=degree)
    assert hashed.max() / hashed.mean() > 1.05, "hashing would not have done"


@given(
    edges=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=80),
    num_groups=st.integers(1, 4),
    one_label=st.booleans(),
)
def test_cells_cover_every_edge_and_share_nodes_only_by_group(
    edges: list[tuple[int, int]], num_groups: int, one_label: bool
) -> None:
    source, target = (np.array([edge[side] for edge in edges], np.int64) for side in (0, 1))
    cells = plan_cells(source, target, num_groups, one_label=one_label)
    assert sorted(row for cell in cells for row in cell.rows) == list(range(len(edges)))
    for cell in cells:
        assert (np.diff(cell.rows) > 0).all(), "the order of rows is kept"
        nodes = _nodes(cell, source, target, one_label)
        for other in cells:
            if nodes & _nodes(other, source, target, one_label):
                assert cell.groups & other.groups


def _nodes(cell: Cell, source: np.ndarray, target: np.ndarray, one_label: bool) -> set[tuple[str, int]]:
    return {("a", int(s)) for s in source[cell.rows]} | {("a" if one_label else "b", int(t)) for t in target[cell.rows]}


def test_no_two_cells_with_a_common_group_run_at_a_time() -> None:
    cells = [Cell(np.array([i]), frozenset({i // 4, 4 + i % 4})) for i in range(16)]
    running: set[int] = set()
    lock = threading.Lock()
    most = 0

    def work(worker: int, rows: np.ndarray) -> int:
        nonlocal most
        groups = cells[rows[0]].groups
        with lock:
            assert not running & groups
            running.update(groups)
            most = max(most, len(running) // 2)
        time.sleep(0.005)
        with lock:
            running.difference_update(groups)
        return int(rows[0])

    assert sorted(run_cells(cells, 3, work)) == list(range(16))
    assert most >= 2, "something ran side by side"


def test_a_failure_stops_what_has_not_begun() -> None:
    cells = [Cell(np.array([i]), frozenset({0})) for i in range(50)]
    seen = []

    def work(worker: int, rows: np.ndarray) -> None:
        seen.append(int(rows[0]))
        if len(seen) == 3:
            raise ValueError("third")

    with pytest.raises(ValueError, match="third"):
        run_cells(cells, 2, work)
    assert len(seen) <= 4
