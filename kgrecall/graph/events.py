"""Interactions as events: several relations merged into one list, and a list found again in its relations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError, Shown
from kgrecall.graph.adjacency import MISSING_TIME, Adjacency
from kgrecall.types import BoolArray, FloatArray, IntArray, Interactions


def merge(relations: Sequence[Adjacency], *, num_users: int, num_items: int) -> Interactions:
    """The events of all relations, sorted by user, item, time and weight.

    ``time`` is None when no relation has times; otherwise an event without one has :data:`MISSING_TIME`.
    """
    user, item, weight, time = _columns(relations)
    if len(relations) > 1:
        order = np.lexsort((weight, time, item, user))
        user, item, weight, time = user[order], item[order], weight[order], time[order]
    timed = any(relation.time is not None for relation in relations)
    return Interactions(user, item, weight, time if timed else None, num_users, num_items)


def last_time(events: Interactions) -> int | None:
    """When the last of some events happened, int64 ms; None where no time is known."""
    last = MISSING_TIME if events.time is None else int(events.time.max(initial=MISSING_TIME))
    return None if last == MISSING_TIME else last


def locate(relations: Sequence[Adjacency], events: Interactions) -> list[BoolArray]:
    """Which edges of each relation the events are: bool (num_edges,) per relation.

    An event is found by user, item, time and weight. Where k of n equal edges are asked for, the first k are taken.

    Raises:
        ConfigError: an event is not in the relations.
    """
    user, item, weight, time = _columns(relations)
    n = len(user)
    asked_time = np.full(len(events), MISSING_TIME) if events.time is None else events.time
    pair = np.concatenate([user, events.user_pos]) * events.num_items + np.concatenate([item, events.item_pos])
    weight, time = np.concatenate([weight, events.weight]), np.concatenate([time, asked_time])
    order = _sorted(pair, time, weight)
    starts = _changes(pair[order]) | _changes(time[order]) | _changes(weight[order])
    equals = np.cumsum(starts) - 1
    is_edge = order < n
    wanted = np.bincount(equals[~is_edge], minlength=equals[-1] + 1 if len(order) else 0)
    offered = np.bincount(equals[is_edge], minlength=len(wanted))
    unknown = int((wanted - offered).clip(0).sum())
    if unknown:
        raise ConfigError(
            "interactions",
            expected="events of this snapshot",
            got=Shown(f"{unknown} of {len(events)} that are not"),
            remedy="Split snapshot.interactions(), and pass one of the parts unchanged.",
        )
    place_in_run = np.arange(len(order)) - np.flatnonzero(starts)[equals]
    chosen = np.zeros(n, np.bool_)
    chosen[order[is_edge]] = (place_in_run < wanted[equals])[is_edge]
    ends = np.cumsum([0, *(relation.num_edges for relation in relations)])
    return [chosen[start:end] for start, end in pairwise(ends)]


def _sorted(pair: IntArray, time: IntArray, weight: FloatArray) -> IntArray:
    """Stable order by pair, time and weight; edges, which come first, stay before the events that ask for them.

    Most pairs have one edge and at most one event that asks for it: only the others are looked at more closely.
    """
    order = np.argsort(pair, kind="stable")
    run = np.cumsum(_changes(pair[order])) - 1
    busy = np.flatnonzero(np.bincount(run)[run] > 2)
    rows = order[busy]
    order[busy] = rows[np.lexsort((weight[rows], time[rows], pair[rows]))]
    return order


def _changes(column: NDArray[Any]) -> BoolArray:
    """Where a value differs from the one before; the first always does."""
    changes = np.ones(len(column), np.bool_)
    changes[1:] = column[1:] != column[:-1]
    return changes


def _columns(relations: Sequence[Adjacency]) -> tuple[IntArray, IntArray, FloatArray, IntArray]:
    """user, item, weight and time of all edges, relation after relation."""
    times = [np.full(r.num_edges, MISSING_TIME) if r.time is None else r.time for r in relations]
    return (
        np.concatenate([np.empty(0, np.int64), *(r.sources() for r in relations)]),
        np.concatenate([np.empty(0, np.int64), *(r.indices for r in relations)]),
        np.concatenate([np.empty(0, np.float32), *(r.weight for r in relations)]),
        np.concatenate([np.empty(0, np.int64), *times]),
    )
