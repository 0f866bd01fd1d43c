"""Precision and recall at every length of the list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from kgrecall.evaluate.evaluator import evaluate
from kgrecall.evaluate.measures import Precision, Recall, Values
from kgrecall.evaluate.ranking import Rank
from kgrecall.types import IntArray, Interactions


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Means over users at each cut, ascending. Shapes: ``k`` int64 (n,), ``precision`` and ``recall`` float64 (n,)."""

    k: IntArray
    precision: Values
    recall: Values


def precision_recall_curve(
    rank: Rank, truth: Interactions, cuts: Iterable[int], *, users: IntArray | None = None, block: int = 1024
) -> PrecisionRecallCurve:
    """Precision and recall at every cut (``range(1, 101)``), from one pass over the users.

    Raises:
        ConfigError: no cut, a cut < 1, or no user with relevant items.
    """
    k = sorted(set(cuts))
    precision, recall = [Precision(cut) for cut in k], [Recall(cut) for cut in k]
    evaluation = evaluate(rank, truth, [*precision, *recall], users=users, block=block)
    return PrecisionRecallCurve(
        np.array(k, np.int64),
        np.array([evaluation[measure] for measure in precision]),
        np.array([evaluation[measure] for measure in recall]),
    )
