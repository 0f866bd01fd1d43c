"""Channel weights chosen on validation data by coordinate search over cached hits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError, Shown
from kgrecall.recall.base import Hits
from kgrecall.recall.rank_fusion import FusionConfig
from kgrecall.types import BoolArray, FloatArray, IntArray

_STEPS = (0.0, 0.25, 0.5, 0.7, 0.85, 1.2, 1.5, 2.0, 4.0)
_MAX_PASSES = 8
_LEAST_GAIN = 1e-6
_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FittedFusion:
    """The chosen configuration, the value of its measure on the validation queries, and what equal weights reach."""

    config: FusionConfig
    value: float
    equal_weights: float


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
    merged once; a trial is one matrix product and one partial sort.

    Args:
        hits: per channel, over the same q validation queries (seen items excluded), deep enough (100 or more each).
        truth_indptr, truth_pos: the held-out items of query i are ``truth_pos[truth_indptr[i]:truth_indptr[i + 1]]``;
            queries without any are left out.
        config: method and calibration; its weights are replaced.

    Raises:
        ConfigError: no channel, or no query with a held-out item.
    """
    config = config or FusionConfig(method="score")
    lists = _merge(hits, truth_indptr, truth_pos, config)
    value = _RecallAt(lists, k) if measure == "recall" else _NdcgAt(lists, k)
    weights = np.ones(len(hits), np.float32)
    values = value(weights)
    equal = float(values.mean())
    for _ in range(_MAX_PASSES):
        before = values
        for channel in range(len(hits)):
            weights, values = _best_step(value, weights, values, channel, caution)
        if values is before:
            break
    weights = weights / weights.max()
    chosen = {name: round(float(w), 6) for name, w in zip(hits, weights, strict=True)}
    return FittedFusion(config.model_copy(update={"weights": chosen}), float(values.mean()), equal)


def _best_step(
    value: Callable[[FloatArray], _Values], weights: FloatArray, values: _Values, channel: int, caution: float
) -> tuple[FloatArray, _Values]:
    """The best multiple of one channel's weight, or what there was when none is surely better."""
    base = weights[channel] if weights[channel] > 0 else 0.25 * weights.max()
    best, best_gain = (weights, values), 0.0
    for step in _STEPS:
        trial = weights.copy()
        trial[channel] = base * step
        if not trial.any():
            continue
        found = value(trial)
        gain = found - values
        if gain.mean() > max(best_gain, _LEAST_GAIN, caution * gain.std() / np.sqrt(len(gain))):
            best, best_gain = (trial, found), float(gain.mean())
    return best


@dataclass(frozen=True, slots=True, eq=False)
class _Lists:
    """The union of all channels' hits per query, padded. Shapes: features float32 (q, u, channels), relevant bool (q, u),
    num_true int64 (q,)."""

    features: FloatArray
    relevant: BoolArray
    num_true: IntArray


def _merge(hits: Mapping[str, Hits], truth_indptr: IntArray, truth_pos: IntArray, config: FusionConfig) -> _Lists:
    num_true = np.diff(truth_indptr)
    if not hits or not num_true.any():
        raise ConfigError(
            "fit_weights",
            expected="at least one channel and one query with a held-out item",
            got=Shown(f"{len(hits)} channels, {int((num_true > 0).sum())} such queries"),
            remedy="Cut a validation part from the training interactions first.",
        )
    key, inverse, where = _merge_keys(list(hits.values()))
    row = key >> 32
    counts = np.bincount(row, minlength=len(num_true))
    place = np.arange(len(key)) - np.repeat(np.cumsum(counts) - counts, counts)
    features = np.zeros((len(num_true), max(1, counts.max(initial=0)), len(hits)), np.float32)
    for channel, (name, hit) in enumerate(hits.items()):
        mine = inverse[where[channel] : where[channel + 1]]
        features[row[mine], place[mine], channel] = config.calibrate(name, hit)[hit.positions >= 0]
    true_key = np.repeat(np.arange(len(num_true)), num_true) << 32 | truth_pos
    relevant = np.zeros(features.shape[:2], np.bool_)
    relevant[row, place] = np.isin(key, true_key)
    asked = num_true > 0
    return _Lists(features[asked], relevant[asked], num_true[asked])


class _At:
    """A measure at k, a value per query, as a function of the weights."""

    def __init__(self, lists: _Lists, k: int) -> None:
        self._lists, self._k = lists, min(k, lists.relevant.shape[1])
        self._discount = 1 / np.log2(np.arange(2, k + 2))
        self._ideal = np.concatenate([[0.0], np.cumsum(self._discount)])[np.minimum(lists.num_true, k)]

    def _top(self, weights: FloatArray) -> BoolArray:
        """Relevance of the k best of each query, best first: bool (q, k)."""
        scores = -(self._lists.features @ weights)
        best = np.argpartition(scores, self._k - 1, axis=1)[:, : self._k]
        order = np.argsort(np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        return np.take_along_axis(self._lists.relevant, np.take_along_axis(best, order, axis=1), axis=1)


class _NdcgAt(_At):
    def __call__(self, weights: FloatArray) -> _Values:
        values: _Values = self._top(weights) @ self._discount[: self._k] / self._ideal
        return values


class _RecallAt(_At):
    def __call__(self, weights: FloatArray) -> _Values:
        values: _Values = self._top(weights).sum(axis=1) / self._lists.num_true
        return values


def _merge_keys(hits: Sequence[Hits]) -> tuple[IntArray, NDArray[np.intp], list[int]]:
    """The distinct (row << 32 | position) keys of all hits, the key of each hit, and where each channel's hits begin."""
    keys, where = [], [0]
    for hit in hits:
        row, column = np.nonzero(hit.positions >= 0)
        keys.append(row << 32 | hit.positions[row, column])
        where.append(where[-1] + len(row))
    key, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    return key, inverse, where
