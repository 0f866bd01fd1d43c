"""Cut a list of events into train, valid and test. Every event goes into exactly one part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from kgrecall.errors import ConfigError, Shown
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.orders import order_by
from kgrecall.types import BoolArray, IntArray, Interactions


@dataclass(frozen=True, slots=True)
class Split:
    """Three parts of one list of events, each in the order of that list."""

    train: Interactions
    valid: Interactions
    test: Interactions


def split_by_time(interactions: Interactions, *, valid: float = 0.1, test: float = 0.1) -> Split:
    """One cut in time for all users: the model is asked about a future that nobody's training events reach into.

    The cuts stand at the quantiles of all event times. Events of the same time stay together, in the later part, so that valid
    and test may be somewhat larger than asked for; those of the earliest time always stay in train, as a default date that many
    events share, so that they may be smaller. Events without a time belong to train.

    Args:
        valid, test: shares of the events, together below 1.

    Raises:
        ConfigError: the shares are impossible, the events have no times, or all have the same.
    """
    _check_shares(interactions, valid, test)
    time = _times(interactions)
    ordered = np.sort(time[time != MISSING_TIME])
    n = len(ordered)
    num_test, num_valid = round(test * n), round(valid * n)
    if num_test + num_valid > 0 and ordered[0] == ordered[-1]:
        raise ConfigError(
            "interactions.time",
            expected="different times, so that some events come before the others",
            got=Shown(f"1 different time in {n} events"),
            remedy="Use split_random, or split_last.",
        )
    in_test = time >= _cut(ordered, n - num_test)
    in_valid = (time >= _cut(ordered, n - num_test - num_valid)) & ~in_test
    return _parts(interactions, in_valid, in_test)


def split_last(interactions: Interactions, *, valid: int = 1, test: int = 1) -> Split:
    """The last events of each user: the latest ``test`` for test, the ``valid`` before them for valid.

    Equal times are ordered by item position. A user always keeps an event in train: with too few events test is served
    first, then valid. The graph is not cut at one time: other users' later events can be seen in training.

    Args:
        valid, test: events per user, 0 or more.

    Raises:
        ConfigError: a count is negative, or the events have no times.
    """
    for name, count in (("valid", valid), ("test", test)):
        if count < 0:
            raise ConfigError(name, expected="a count of 0 or more", got=count, remedy="Say how many events per user.")
    _check_any(interactions)
    return _last_of_users(interactions, lambda _: valid, lambda _: test)


def split_by_user(interactions: Interactions, *, valid: float = 0.1, test: float = 0.1) -> Split:
    """The latest share of each user's events: for models that are judged on what each user did last.

    As :func:`split_last`, with rounded shares instead of counts.

    Args:
        valid, test: shares of each user's events, together below 1.

    Raises:
        ConfigError: the shares are impossible, or the events have no times.
    """
    _check_shares(interactions, valid, test)
    return _last_of_users(
        interactions,
        lambda per_user: np.rint((valid + test) * per_user) - np.rint(test * per_user),
        lambda per_user: np.rint(test * per_user),
    )


def split_random(interactions: Interactions, *, valid: float = 0.1, test: float = 0.1, seed: int) -> Split:
    """Events drawn at random. It lets the future into training; use it where there are no times.

    Args:
        valid, test: shares of the events, together below 1.
        seed: equal seeds give equal parts.

    Raises:
        ConfigError: the shares are impossible.
    """
    _check_shares(interactions, valid, test)
    n = len(interactions)
    place = np.random.default_rng(seed).permutation(n)
    num_test, num_valid = round(test * n), round(valid * n)
    return _parts(interactions, (place >= num_test) & (place < num_test + num_valid), place < num_test)


def new_pairs(events: Interactions, seen: Interactions) -> Interactions:
    """The events whose user-item pair is not in ``seen``, the first of each pair.

    Where items of the past are not recommended again, these are the events that can be predicted at all.
    """
    pairs = _pairs(events)
    _, first = np.unique(pairs, return_index=True)
    first.sort()
    return events.take(first[~np.isin(pairs[first], _pairs(seen))])


def joined(first: Interactions, second: Interactions) -> Interactions:
    """Two lists of events of one graph, one after the other; without times where one of them has none."""
    time = None if first.time is None or second.time is None else np.concatenate([first.time, second.time])
    return replace(
        first,
        user_pos=np.concatenate([first.user_pos, second.user_pos]),
        item_pos=np.concatenate([first.item_pos, second.item_pos]),
        weight=np.concatenate([first.weight, second.weight]),
        time=time,
    )


def _pairs(events: Interactions) -> IntArray:
    return events.user_pos * events.num_items + events.item_pos


def _cut(ordered: IntArray, first: int) -> int | float:
    """The time from which on events are cut off, later than the earliest; infinity when none are."""
    if first >= len(ordered):
        return np.inf
    return int(ordered[max(first, np.searchsorted(ordered, ordered[0], side="right"))])


def _last_of_users(
    interactions: Interactions, valid: Callable[[IntArray], IntArray | int], test: Callable[[IntArray], IntArray | int]
) -> Split:
    """``valid`` and ``test`` tell how many events go there, given how many the user of an event has, int64 (n,)."""
    time = _times(interactions)
    order = order_by(interactions.user_pos, time, interactions.item_pos)
    user = interactions.user_pos[order]
    per_user = np.bincount(user, minlength=interactions.num_users)
    before = np.cumsum(per_user) - per_user
    from_end = np.empty(len(order), np.int64)
    from_end[order] = (before + per_user)[user] - 1 - np.arange(len(order))
    mine = per_user[interactions.user_pos]
    num_test, num_valid = test(mine), valid(mine)
    in_test = from_end < np.minimum(num_test, mine - 1)
    in_valid = (from_end < np.minimum(num_test + num_valid, mine - 1)) & ~in_test
    return _parts(interactions, in_valid, in_test)


def _parts(interactions: Interactions, in_valid: BoolArray, in_test: BoolArray) -> Split:
    train = interactions.take(~(in_valid | in_test))
    return Split(train, interactions.take(in_valid), interactions.take(in_test))


def _times(interactions: Interactions) -> IntArray:
    if interactions.time is None:
        raise ConfigError(
            "interactions.time",
            expected="a time per event",
            got=Shown("none"),
            remedy="Name the time property in the mapping file, or use split_random.",
        )
    return interactions.time


def _check_any(interactions: Interactions) -> None:
    if len(interactions) == 0:
        raise ConfigError(
            "interactions",
            expected="at least one event",
            got=Shown("none"),
            remedy='Ingest a relation with role = "interaction" first.',
        )


def _check_shares(interactions: Interactions, valid: float, test: float) -> None:
    _check_any(interactions)
    if not (valid >= 0 and test >= 0 and valid + test < 1):
        raise ConfigError(
            "valid, test",
            expected="shares of 0 or more that leave something for train",
            got=(valid, test),
            remedy="For instance valid=0.1, test=0.1.",
        )
