"""Channel weights chosen on validation data by coordinate search over cached hits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from kgrecall.kernels import tier
from kgrecall.recall.base import Hits
from kgrecall.recall.fusion.merged_lists import MergedLists, Values, merge_lists
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.types import FloatArray, IntArray

_STEPS = (0.0, 0.25, 0.5, 0.7, 0.85, 1.2, 1.5, 2.0, 4.0)
_MAX_PASSES = 8
_LEAST_GAIN = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class FittedFusion:
    """The chosen configuration, its measure on each validation query (float64 (q,)), the mean that equal weights reach, and its
    measure on each query of a visitor (float64 (v,)), where any are practised."""

    config: FusionConfig
    values: Values
    equal_weights: float
    visitors: Values = field(default_factory=lambda: np.zeros(0))

    @property
    def value(self) -> float:
        """The mean over the validation queries."""
        return float(self.values.mean())


def fit_weights(
    hits: Mapping[str, Hits],
    truth_indptr: IntArray,
    truth_pos: IntArray,
    *,
    config: FusionConfig | None = None,
    measure: Literal["ndcg", "recall"] = "ndcg",
    k: int = 20,
    caution: float = 1.0,
) -> FittedFusion:
    """Weights that maximise NDCG@k or Recall@k of the fused list.

    Coordinate ascent from equal weights: each channel in turn tries some multiples of its weight, until a pass brings nothing.
    A step is taken when the mean gain over the queries exceeds ``caution`` times its standard error: equal weights are hard
    to beat, and a search that follows every gain on a few hundred queries fits their noise. Deterministic. The lists are
    merged once; all multiples of a weight are tried in one pass over them.

    Args:
        hits: per channel, over the same q validation queries (seen items excluded), deep enough (100 or more each).
        truth_indptr, truth_pos: the held-out items of query i are ``truth_pos[truth_indptr[i]:truth_indptr[i + 1]]``;
            queries without any are left out.
        config: method and calibration; its weights are replaced.

    Raises:
        ConfigError: no channel, or no query with a held-out item.
    """
    config = config or FusionConfig(method="score")
    return weigh(merge_lists(hits, truth_indptr, truth_pos, config), list(hits), config, measure=measure, k=k, caution=caution)


def weigh(
    lists: MergedLists,
    names: Sequence[str],
    config: FusionConfig,
    *,
    measure: Literal["ndcg", "recall"] = "ndcg",
    k: int = 20,
    caution: float = 1.0,
) -> FittedFusion:
    """:func:`fit_weights` on lists that are merged already, of the channels ``names``."""

    tier.load()  # what a build chooses depends on what is installed, not on what was asked before
    value = partial(lists.recall_by if measure == "recall" else lists.ndcg_by, k=k)
    weights = np.ones(len(names), np.float32)
    values = value(weights[None])[0]
    equal = float(values.mean())
    for _ in range(_MAX_PASSES):
        before = values
        for channel in range(len(names)):
            weights, values = _best_step(value, weights, values, channel, caution)
        if values is before:
            break
    weights = weights / weights.max()
    chosen = {name: round(float(w), 6) for name, w in zip(names, weights, strict=True)}
    return FittedFusion(config.model_copy(update={"weights": chosen}), values, equal)


def _best_step(
    value: Callable[[FloatArray], Values], weights: FloatArray, values: Values, channel: int, caution: float
) -> tuple[FloatArray, Values]:
    """The best multiple of one channel's weight, or what there was when none is surely better."""
    base = weights[channel] if weights[channel] > 0 else 0.25 * weights.max()
    best, best_gain = (weights, values), 0.0
    trials = np.tile(weights, (len(_STEPS), 1))
    trials[:, channel] = base * np.array(_STEPS, np.float32)
    trials = trials[trials.any(axis=1)]
    for trial, found in zip(trials, value(trials), strict=True):
        gain = found - values
        if gain.mean() > max(best_gain, _LEAST_GAIN, caution * gain.std() / np.sqrt(len(gain))):
            best, best_gain = (trial, found), float(gain.mean())
    return best
