from __future__ import annotations

import numpy as np

from kgrecall.recall.channels.sequence import SequenceConfig, build_sequence
from kgrecall.types import Interactions

PLAIN = SequenceConfig(window=2, decay=0.5, b=0, c=0)


def walked(rows: list[list[int]], num_items: int, *, timed: bool = True) -> Interactions:
    """One user per row, choosing from left to right; the events are given in reverse."""
    users = np.repeat(np.arange(len(rows)), [len(row) for row in rows])[::-1]
    items = np.array([item for row in rows for item in row])[::-1]
    time = np.arange(len(items), dtype=np.int64)[::-1] if timed else None
    return Interactions(users, items, np.ones(len(items), np.float32), time, len(rows), num_items)


def test_followers_by_hand() -> None:
    found = build_sequence(walked([[0, 1, 2, 3], [1, 0]], 4), PLAIN).toarray()
    expected = np.zeros((4, 4))
    expected[0, 1], expected[1, 2], expected[2, 3] = 1, 1, 1
    expected[0, 2], expected[1, 3] = 0.5, 0.5
    expected[1, 0] = 1
    np.testing.assert_array_equal(found, expected)


def test_nobody_follows_from_one_user_to_the_next() -> None:
    assert build_sequence(walked([[0, 1], [2, 3]], 4), PLAIN).toarray()[1].sum() == 0


def test_popular_ends_are_damped() -> None:
    events = walked([[0, 1], [0, 1], [0, 2]], 3)
    found = build_sequence(events, SequenceConfig(b=0.5, c=1)).toarray()
    np.testing.assert_allclose(found[0], [0, 2 * 3**-0.5 / 2, 3**-0.5], rtol=1e-6)


def test_the_k_strongest_followers_stay() -> None:
    found = build_sequence(walked([[0, 1, 2], [0, 1]], 3), PLAIN.model_copy(update={"k": 1})).toarray()
    np.testing.assert_array_equal(found, [[0, 2, 0], [0, 0, 1], [0, 0, 0]])


def test_without_times_nothing_follows() -> None:
    assert build_sequence(walked([[0, 1, 2]], 3, timed=False)).nnz == 0
