"""Where a system is good: users by activity, items by how warm they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from kgrecall.errors import ConfigError
from kgrecall.types import BoolArray, IntArray, Interactions


def users_by_activity(history: Interactions, bounds: Sequence[int] = (1, 5, 20)) -> dict[str, IntArray]:
    """All user positions, by the number of their events in the history: ``{"0": ..., "1-4": ..., "5-19": ..., "20+": ...}``.

    Use with :meth:`Evaluation.among`: nothing is ranked again.

    Raises:
        ConfigError: the bounds are not positive and increasing.
    """
    edges = [0, *bounds]
    if any(high <= low for low, high in pairwise(edges)):
        remedy = "Each bound begins a new segment, e.g. (1, 5, 20)."
        raise ConfigError("bounds", expected="positive, increasing integers", got=list(bounds), remedy=remedy)
    counts = np.bincount(history.user_pos, minlength=history.num_users)
    segment = np.searchsorted(edges, counts, side="right") - 1
    names = [*(str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in pairwise(edges)), f"{edges[-1]}+"]
    return {name: np.flatnonzero(segment == i) for i, name in enumerate(names)}


def is_cold_item(history: Interactions, max_events: int = 0) -> BoolArray:
    """bool (num_items,): the items with at most ``max_events`` events in the history."""
    cold: BoolArray = np.bincount(history.item_pos, minlength=history.num_items) <= max_events
    return cold


def truth_by_warmth(truth: Interactions, history: Interactions, max_events: int = 0) -> dict[str, Interactions]:
    """The relevant items split into ``cold`` and ``warm``.

    Evaluate each with the same :class:`~kgrecall.evaluate.ranking.StoredLists`, so that cold and warm items compete in
    one list.
    """
    cold = is_cold_item(history, max_events)[truth.item_pos]
    return {"cold": truth.take(cold), "warm": truth.take(~cold)}
