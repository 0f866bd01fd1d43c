"""Interactions as events: several relations merged into one list, and a list found again in its relations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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


def locate(relations: Sequence[Adjacency], events: Interactions) -> list[BoolArray]:
    """Which edges of each relation the events are: bool (num_edges,) per relation.

    An event is found by user, item, time and weight. Where k of n equal edges are asked for, the first k are taken.

    Raises:
        ConfigError: an event is not in the relations.
    """
    user, item, weight, time = _columns(relations)
    asked_time = np.full(len(events), MISSING_TIME) if events.time is None else events.time
    n = len(user)
    columns = [
        np.concatenate([weight, events.weight]),
        np.concatenate([time, asked_time]),
        np.concatenate([item, events.item_pos]),
        np.concatenate([user, events.user_pos]),
    ]
    order = np.lexsort(columns)  # equal ones: edges come before the events that ask for them
    starts = np.ones(len(order), np.bool_)
    starts[1:] = np.any([c[order][1:] != c[order][:-1] for c in columns], axis=0)
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
    return np.split(chosen, np.cumsum([relation.num_edges for relation in relations])[:-1])


def _columns(relations: Sequence[Adjacency]) -> tuple[IntArray, IntArray, FloatArray, IntArray]:
    """user, item, weight and time of all edges, relation after relation."""
    times = [np.full(r.num_edges, MISSING_TIME) if r.time is None else r.time for r in relations]
    return (
        np.concatenate([np.empty(0, np.int64), *(r.sources() for r in relations)]),
        np.concatenate([np.empty(0, np.int64), *(r.indices for r in relations)]),
        np.concatenate([np.empty(0, np.float32), *(r.weight for r in relations)]),
        np.concatenate([np.empty(0, np.int64), *times]),
    )
