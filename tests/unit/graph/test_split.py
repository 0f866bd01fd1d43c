from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kgrecall.errors import ConfigError
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.split import Split, new_pairs, split_by_time, split_by_user, split_last, split_random
from kgrecall.types import Interactions

event = st.tuples(st.integers(0, 4), st.integers(0, 6), st.sampled_from([MISSING_TIME, *range(12)]))
events = st.lists(event, min_size=1, max_size=60)
shares = st.sampled_from([(0.1, 0.1), (0.0, 0.3), (0.3, 0.0), (0.4, 0.4), (0.0, 0.0)])


def interactions(rows: list[tuple[int, int, int]], *, timed: bool = True) -> Interactions:
    """Events whose weight is their row number, so that each can be told from the others."""
    user, item, time = (np.array([row[c] for row in rows], np.int64) for c in range(3))
    weight = np.arange(1, len(rows) + 1, dtype=np.float32)
    return Interactions(user, item, weight, time if timed else None, 5, 7)


def times(part: Interactions) -> list[int]:
    assert part.time is not None
    return part.time.tolist()


def assert_partition(whole: Interactions, split: Split) -> None:
    parts = (split.train, split.valid, split.test)
    assert sorted(w for part in parts for w in part.weight.tolist()) == whole.weight.tolist()
    for part in parts:
        rows = part.weight.astype(np.int64) - 1
        assert np.all(np.diff(rows) > 0), "each part keeps the order of the list"
        for name in ("user_pos", "item_pos", "time"):
            mine, all_ = getattr(part, name), getattr(whole, name)
            assert (mine is None and all_ is None) or np.array_equal(mine, all_[rows])
        assert (part.num_users, part.num_items) == (whole.num_users, whole.num_items)


@given(events, shares)
def test_split_by_time_partitions_at_two_moments(rows: list[tuple[int, int, int]], share: tuple[float, float]) -> None:
    whole = interactions(rows)
    known = sorted(t for _, _, t in rows if t != MISSING_TIME)
    try:
        split = split_by_time(whole, valid=share[0], test=share[1])
    except ConfigError:
        assert len(set(known)) == 1
        assert round(share[1] * len(known)) + round(share[0] * len(known)) > 0
        return
    assert_partition(whole, split)
    assert max(times(split.train), default=-np.inf) < min(times(split.valid), default=np.inf)
    assert max(times(split.train), default=-np.inf) < min(times(split.test), default=np.inf)
    assert max(times(split.valid), default=-np.inf) < min(times(split.test), default=np.inf)
    later = [t for t in known if t > known[0]]
    assert len(split.test) >= min(round(share[1] * len(known)), len(later))
    held_out = round(share[0] * len(known)) + round(share[1] * len(known))
    assert len(split.valid) + len(split.test) >= min(held_out, len(later))
    assert times(split.train).count(known[0]) == known.count(known[0]) if known else not times(split.valid)


def test_split_by_time_known_answer() -> None:
    rows = [(0, i % 7, t) for i, t in enumerate([0, 9, 1, 8, 2, 7, 3, 6, 4, 5])]
    split = split_by_time(interactions(rows), valid=0.2, test=0.1)
    assert times(split.test) == [9]
    assert times(split.valid) == [8, 7]
    assert times(split.train) == [0, 1, 2, 3, 6, 4, 5]


def test_ties_go_to_the_later_part_whole() -> None:
    split = split_by_time(interactions([(0, i % 7, t) for i, t in enumerate([0, 0, 5, 5, 5, 9])]), valid=0, test=0.34)
    assert times(split.test) == [5, 5, 5, 9]


def test_a_date_that_most_events_share_as_a_default_stays_in_train() -> None:
    split = split_by_time(interactions([(0, i % 7, t) for i, t in enumerate([0] * 18 + [3, 5])]), valid=0.1, test=0.2)
    assert times(split.train) == [0] * 18
    assert times(split.test) == [3, 5]
    assert not len(split.valid)


def test_one_moment_cannot_be_cut() -> None:
    with pytest.raises(ConfigError, match=r"1 different time in 3 events"):
        split_by_time(interactions([(0, 0, 4), (0, 1, 4), (1, 0, 4)]), test=0.4)


@given(events, st.integers(0, 3), st.integers(0, 3))
def test_split_last_takes_the_end_of_each_history(rows: list[tuple[int, int, int]], valid: int, test: int) -> None:
    whole = interactions(rows)
    split = split_last(whole, valid=valid, test=test)
    assert_partition(whole, split)
    for user in range(5):
        mine = sum(row[0] == user for row in rows)
        counts = [int((part.user_pos == user).sum()) for part in (split.train, split.valid, split.test)]
        expected_test = min(test, max(mine - 1, 0))
        expected_valid = min(valid, max(mine - 1 - expected_test, 0))
        assert counts == [mine - expected_test - expected_valid, expected_valid, expected_test]
        ordered = [[t for t, u in zip(times(part), part.user_pos, strict=True) if u == user] for part in _parts(split)]
        assert all(max(before) <= min(after) for before, after in pairwise(part for part in ordered if part))


def _parts(split: Split) -> tuple[Interactions, Interactions, Interactions]:
    return split.train, split.valid, split.test


@given(events, shares, st.integers(0, 5))
def test_split_random_partitions_and_repeats_itself(
    rows: list[tuple[int, int, int]], share: tuple[float, float], seed: int
) -> None:
    whole = interactions(rows, timed=False)
    split = split_random(whole, valid=share[0], test=share[1], seed=seed)
    assert_partition(whole, split)
    assert len(split.test) == round(share[1] * len(rows))
    assert len(split.valid) == round(share[0] * len(rows))
    again = split_random(whole, valid=share[0], test=share[1], seed=seed)
    assert np.array_equal(split.test.weight, again.test.weight)


def test_another_seed_draws_other_events() -> None:
    whole = interactions([(0, 0, 0)] * 200)
    one, two = (split_random(whole, seed=seed).test.weight.tolist() for seed in (1, 2))
    assert one != two
    assert np.std(one) > 30, "drawn from everywhere"


@given(events, events)
def test_new_pairs_are_those_that_were_not_seen(rows: list[Any], seen: list[Any]) -> None:
    assume(rows)
    left = new_pairs(interactions(rows), interactions(seen))
    pairs = list(zip(left.user_pos.tolist(), left.item_pos.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == {row[:2] for row in rows} - {row[:2] for row in seen}
    first = [next(i for i, row in enumerate(rows, 1) if row[:2] == pair) for pair in pairs]
    assert left.weight.tolist() == first


@pytest.mark.parametrize(("valid", "test"), [(-0.1, 0.1), (0.1, -0.1), (0.5, 0.5), (float("nan"), 0.1)])
def test_impossible_shares_are_refused(valid: float, test: float) -> None:
    whole = interactions([(0, 0, 0), (0, 1, 1)])
    with pytest.raises(ConfigError, match="valid, test"):
        split_by_time(whole, valid=valid, test=test)
    with pytest.raises(ConfigError, match="valid, test"):
        split_random(whole, valid=valid, test=test, seed=0)


def test_counts_must_not_be_negative() -> None:
    with pytest.raises(ConfigError, match="valid: expected a count of 0 or more, got -1"):
        split_last(interactions([(0, 0, 0)]), valid=-1)


def test_empty_and_untimed_events_are_refused_by_name() -> None:
    for split in (split_by_time, split_last, lambda none: split_random(none, seed=0)):
        with pytest.raises(ConfigError, match="at least one event"):
            split(interactions([]))
    for split in (split_by_time, split_last):
        with pytest.raises(ConfigError, match="a time per event"):
            split(interactions([(0, 0, 0)], timed=False))


@given(events, shares)
def test_split_by_user_cuts_every_history_at_its_own_time(rows: list[tuple[int, int, int]], share: tuple[float, float]) -> None:
    whole = interactions(rows)
    split = split_by_user(whole, valid=share[0], test=share[1])
    assert_partition(whole, split)
    for user in {row[0] for row in rows}:
        of_user = [part.take(part.user_pos == user) for part in (split.train, split.valid, split.test)]
        learned, valid, asked = map(times, of_user)
        n = len(learned) + len(valid) + len(asked)
        assert learned, "a user keeps an event to learn from"
        assert max(learned) <= min(valid + asked, default=np.inf)
        assert max(learned + valid) <= min(asked, default=np.inf)
        assert len(asked) == min(round(share[1] * n), n - 1)


def test_split_by_user_known_answer() -> None:
    rows = [(0, i % 7, t) for i, t in enumerate(range(10))] + [(1, i, 100 + i) for i in range(5)] + [(2, 0, 7)]
    split = split_by_user(interactions(rows), valid=0.2, test=0.2)
    assert times(split.test) == [8, 9, 104]
    assert times(split.valid) == [6, 7, 103]
    assert times(split.train) == [0, 1, 2, 3, 4, 5, 100, 101, 102, 7]
