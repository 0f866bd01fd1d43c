"""Which edges may be written side by side.

Creating a relationship locks both its nodes, so two sessions that write edges of common nodes wait for each other or
deadlock. Sources and targets are therefore split into groups of about equal degree; a *cell* holds the edges from one group
to one other, and no two cells that run at a time share a group. A worker that is done takes the next cell whose groups are
free, so that nobody waits for the end of a round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kgrecall.types import IntArray

_HEAD = 1_000
"""Nodes of highest degree that are packed one by one; the rest is small enough to be poured."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cell:
    """Rows that one session writes in order, and the groups of nodes that it needs for itself."""

    rows: IntArray
    groups: frozenset[int]


def balanced_groups(degree: IntArray, num_groups: int) -> IntArray:
    """A group for every node, such that the groups have about the same sum of degrees.

    The heaviest nodes go one by one to the lightest group (longest processing time first), the others fill up what is left.
    Shapes: ``degree`` int64 (n,) -> int64 (n,) in 0 .. num_groups - 1.
    """
    group = np.zeros(len(degree), np.int64)
    order = np.argsort(-degree, kind="stable")
    load = np.zeros(num_groups, np.int64)
    for node in order[:_HEAD]:
        group[node] = lightest = int(load.argmin())
        load[lightest] += degree[node]
    rest = order[_HEAD:]
    room = np.maximum(degree.sum() / num_groups - load, 0)
    filled = np.cumsum(degree[rest])
    group[rest] = np.minimum(np.searchsorted(np.cumsum(room), filled), num_groups - 1)
    return group


def plan_cells(source: IntArray, target: IntArray, num_groups: int, *, one_label: bool) -> list[Cell]:
    """Cut edges into cells, in the given order of rows within each.

    Shapes: ``source``, ``target`` int64 (n,): numbers of the end nodes; with ``one_label`` they number the same nodes.
    """
    if one_label:
        size = int(max(source.max(initial=-1), target.max(initial=-1))) + 1
        group = balanced_groups(np.bincount(source, minlength=size) + np.bincount(target, minlength=size), num_groups)
        of_source, of_target = group[source], group[target]
    else:
        of_source = balanced_groups(np.bincount(source), num_groups)[source]
        of_target = balanced_groups(np.bincount(target), num_groups)[target] + num_groups
    cell = of_source * 2 * num_groups + of_target
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    parts = np.split(order, starts[1:]) if len(order) else []
    return [Cell(rows, frozenset((int(of_source[rows[0]]), int(of_target[rows[0]])))) for rows in parts]


def run_cells(cells: Sequence[Cell], num_workers: int, work: Callable[[int, IntArray], T]) -> list[T]:
    """``work(worker, rows)`` for every cell, on threads, never two with a common group at a time.

    The first failure stops what has not begun and is raised when the running cells are done.
    """
    schedule = _Schedule(cells)

    def drain(worker: int) -> list[T]:
        results = []
        while (cell := schedule.take()) is not None:
            try:
                results.append(work(worker, cell.rows))
            except BaseException:
                schedule.stop()
                raise
            finally:
                schedule.release(cell)
        return results

    with ThreadPoolExecutor(num_workers, thread_name_prefix="kgrecall-write") as threads:
        try:
            futures = [threads.submit(drain, worker) for worker in range(num_workers)]
            return [result for future in futures for result in future.result()]
        except BaseException:
            schedule.stop()
            raise


class _Schedule:
    """Hands out cells, the largest that may run first."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._waiting = sorted(cells, key=lambda cell: -len(cell.rows))
        self._busy: set[int] = set()
        self._changed = threading.Condition()

    def take(self) -> Cell | None:
        """The next cell whose groups are free; waits for one; None when all are handed out."""
        with self._changed:
            while self._waiting:
                for i, cell in enumerate(self._waiting):
                    if not cell.groups & self._busy:
                        self._busy |= cell.groups
                        return self._waiting.pop(i)
                self._changed.wait()
            return None

    def release(self, cell: Cell) -> None:
        with self._changed:
            self._busy -= cell.groups
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()
