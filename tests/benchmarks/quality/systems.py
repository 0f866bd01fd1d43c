"""What is compared: a system is a name, a search space and a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kgrecall.evaluate import Rank, Score, rank_by_score
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.folds import Cut
from kgrecall.types import FloatArray, IntArray, Interactions

Params = Mapping[str, Any]
Suggest = Callable[[Any], dict[str, Any]]
"""``suggest(trial)`` asks an Optuna trial for one point of the search space."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a system may look at.

    ``train``: the events to learn from. ``exclude``: the events whose items are never shown to their user (train, and
    validation when test is measured). ``snapshot``: the graph, cut to ``train``. ``cut``: what is asked is what came after one
    moment, or the end of each history; a system may choose its settings on a part cut in the same way. ``valid``: events beside
    ``train`` on which settings may be chosen, where there are any.
    """

    train: Interactions
    exclude: Interactions
    snapshot: GraphSnapshot
    cut: Cut = "moment"
    valid: Interactions | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted system: how it ranks, and the bytes that serving needs beside the interactions.

    ``shared``: it was fitted for another system before, so that this fit cost nothing.
    """

    rank: Rank
    num_bytes: int
    shared: bool = False


@dataclass(frozen=True, slots=True)
class System:
    """A baseline, a peer or one of ours.

    ``fit(problem, params, seed)``; ``suggest`` is None when there is nothing to choose; ``start``: what a practitioner would
    try first, the first point of every search; ``random``: run with several seeds.
    """

    name: str
    fit: Callable[[Problem, Params, int], Fitted]
    suggest: Suggest | None = None
    start: Params = field(default_factory=dict)
    random: bool = False


def fitted_by_score(problem: Problem, score: Score, num_bytes: int) -> Fitted:
    """Rank by a baseline's scores; equal scores, and users without a history, are ordered by popularity.

    Without it, ties would fall back to the order of the ids, which is sometimes the order of popularity (released files are
    often numbered by first appearance) and sometimes not.
    """
    tie_break = popularity(problem.train)
    tie_break *= np.float32(1e-6) / max(float(tie_break.max()), 1.0)

    def score_with_ties(user_pos: IntArray) -> FloatArray:
        scores = score(user_pos).astype(np.float32, copy=False)
        scale = np.abs(scores).max(axis=1, keepdims=True)
        return scores + np.where(scale > 0, scale, np.float32(1)) * tie_break

    return Fitted(rank_by_score(score_with_ties, history=problem.exclude), num_bytes)


def popularity(interactions: Interactions) -> FloatArray:
    """Events per item, float32 (num_items,)."""
    return np.bincount(interactions.item_pos, minlength=interactions.num_items).astype(np.float32)
