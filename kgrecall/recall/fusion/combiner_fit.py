"""Training of a network of the learned combiner on validation lists: a few hundred numbers, numpy alone, a few CPU seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kgrecall.recall.fusion.combiner import Items, Network, features
from kgrecall.recall.fusion.combiner_weights import NetworkWeights
from kgrecall.recall.fusion.merged_lists import MergedLists, Values
from kgrecall.recall.fusion.surroundings import Surroundings
from kgrecall.types import BoolArray, FloatArray, IntArray

CUT = 200
"""Candidates of a query that a network is shown: the best by the weighted sum."""
ENOUGH_QUERIES = 300
"""With fewer queries that hold a hit, no network of known items is trained."""
_LEAST_SPREAD = 1e-5
_FOLDS = 3
_UNITS, _EPOCHS, _BATCH = 16, 12, 64
_LEAST_STEPS = 200
"""Few queries are gone over more often. NDCG@20 of unseen queries, movielens-100k, 223 known users and 183 visitors: 84 steps
.228 and .343, 200 steps .241 and .367, 400 steps .237 and .378; of 183 visitors alone: 36 steps .398, 200 steps .436."""
_RATE, _DECAY = 5e-3, 1e-4
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class FittedNetwork:
    """A network trained on all queries, and the NDCG of each query by a network that did not see it: float64 (queries,)."""

    weights: NetworkWeights
    values: Values


def fit_network(
    lists: MergedLists,
    first: FloatArray,
    around: Surroundings,
    *,
    whose: bool = True,
    enough: int = ENOUGH_QUERIES,
    k: int = 20,
    seed: int = 0,
) -> FittedNetwork | None:
    """Train a network to put held-out items first; None with fewer than ``enough`` queries that hold a hit.

    The loss is the cross entropy between the softmax over a query's candidates and its held-out items (ListNet: Cao et al.,
    ICML 2007), minimised by Adam (Kingma & Ba, ICLR 2015). The values come from several networks, each asked only about queries
    that it was not trained on: they may be compared with other ways of fusing. Deterministic.

    Args:
        lists: candidates that are judged alike, calibrated as they will be served.
        first: float32 (channels,): weights > 0 of the sum that chooses the candidates.
        around: of all queries that ``lists`` was merged from.
        whose: look at the length of the history. The loss does not tell how high the odds of one query stand against those of
            another, so that only a network that does not look keeps to one level.
    """
    known = lists.head(first, CUT)
    if int(known.relevant.any(axis=1).sum()) < enough:
        return None
    lesson = _Lesson(_inputs(known, first, around, whose), known.positions >= 0, known.relevant)
    fold = _parts(around.source[lists.queries], seed)
    values = np.zeros(len(fold))
    for part in range(fold.max() + 1):
        asked = np.flatnonzero(fold == part)
        network = Network(_trained(lesson, fold != part, first, seed))
        values[asked] = known.take(asked).ndcg(network.log_odds(lesson.inputs[asked]), k)
    return FittedNetwork(_trained(lesson, fold >= 0, first, seed), values)


def odds_of(lists: MergedLists, around: Surroundings, judge: Callable[[Items], FloatArray]) -> FloatArray:
    """What a network or a combiner gives each candidate: float32 (q, u), minus infinity on padding."""
    row, column = np.nonzero(lists.positions >= 0)
    query = lists.queries[row]
    popularity = around.of(query, lists.positions[row, column])
    scores, found = lists.scores[row, column], lists.found[row, column]
    items = Items(row, column, scores, found, popularity, around.history[query], around.unknown[query])
    odds = np.full(lists.positions.shape, -np.inf, np.float32)
    odds[row, column] = judge(items)
    return odds


def _inputs(lists: MergedLists, first: FloatArray, around: Surroundings, whose: bool) -> FloatArray:
    """What a network is shown of each candidate: float32 (queries, candidates, features)."""
    queries, width, channels = lists.scores.shape
    flat = features(
        lists.scores.reshape(-1, channels),
        lists.found.reshape(-1, channels),
        first,
        around.of(lists.queries[:, None], lists.positions).ravel(),
        np.repeat(around.history[lists.queries] * np.float32(whose), width),
    )
    return flat.reshape(queries, width, -1)


def _parts(source: IntArray, seed: int) -> IntArray:
    """Which queries are asked of one network, int64 (n,).

    Those of one source together: what holds in one stretch of time need not hold in the next, and a network that saw other
    queries of the same stretch would look better than it will be. Thirds at random where there is one source.
    """
    sources, part = np.unique(source, return_inverse=True)
    if len(sources) > 1:
        return part.astype(np.int64)
    return np.random.default_rng(seed).permutation(len(source)) % _FOLDS


@dataclass(frozen=True, slots=True, eq=False)
class _Lesson:
    """What a network learns from. Shapes: (queries, candidates, features), (queries, candidates) bool twice."""

    inputs: FloatArray
    valid: BoolArray
    relevant: BoolArray


def _trained(lesson: _Lesson, queries: BoolArray, first: FloatArray, seed: int) -> NetworkWeights:
    """The network of some of the queries, the scaling of its inputs folded into its weights."""
    learnable = np.flatnonzero(queries & lesson.relevant.any(axis=1))
    shown = lesson.inputs[learnable][lesson.valid[learnable]]
    mean, spread = shown.mean(axis=0), shown.std(axis=0)
    spread = np.where(spread > _LEAST_SPREAD, spread, np.inf).astype(np.float32)  # what never varied has no say
    rng = np.random.default_rng(seed)
    network = _Network(shown.shape[-1], rng)
    batches = -(-len(learnable) // _BATCH)
    epochs = max(_EPOCHS, -(-_LEAST_STEPS // batches))
    for _ in range(epochs):
        rng.shuffle(learnable)
        for start in range(0, len(learnable), _BATCH):
            batch = learnable[start : start + _BATCH]
            network.learn((lesson.inputs[batch] - mean) / spread, lesson.valid[batch], lesson.relevant[batch], epochs * batches)
    hidden, bias, out, direct = network.parameters
    hidden = hidden / spread[:, None]
    return NetworkWeights(
        first=_row(first),
        hidden=tuple(_row(row) for row in hidden),
        bias=_row(bias - mean @ hidden),
        out=_row(out),
        direct=_row(direct / spread),
    )


class _Network:
    """One hidden layer beside a linear part, and the state of Adam."""

    def __init__(self, num_features: int, rng: np.random.Generator) -> None:
        self.parameters = [
            rng.normal(0, num_features**-0.5, (num_features, _UNITS)).astype(np.float32),
            np.zeros(_UNITS, np.float32),
            rng.normal(0, 0.1, _UNITS).astype(np.float32),
            np.zeros(num_features, np.float32),
        ]
        self._first_moments = [np.zeros_like(value) for value in self.parameters]
        self._second_moments = [np.zeros_like(value) for value in self.parameters]
        self._step = 0

    def learn(self, inputs: FloatArray, valid: BoolArray, relevant: BoolArray, steps: int) -> None:
        """One step of Adam, its rate falling to 0 over ``steps``. Shapes: (b, u, features), (b, u), (b, u)."""
        self._step += 1
        rate = _RATE * (1 - self._step / (steps + 1))
        for i, gradient in enumerate(self._gradients(inputs, valid, relevant)):
            gradient = gradient + _DECAY * self.parameters[i]
            self._first_moments[i] = _BETA1 * self._first_moments[i] + (1 - _BETA1) * gradient
            self._second_moments[i] = _BETA2 * self._second_moments[i] + (1 - _BETA2) * gradient**2
            mean = self._first_moments[i] / (1 - _BETA1**self._step)
            spread = np.sqrt(self._second_moments[i] / (1 - _BETA2**self._step))
            self.parameters[i] = (self.parameters[i] - rate * mean / (spread + _EPSILON)).astype(np.float32)

    def _gradients(self, inputs: FloatArray, valid: BoolArray, relevant: BoolArray) -> tuple[FloatArray, ...]:
        hidden, bias, out, direct = self.parameters
        flat = inputs.reshape(-1, inputs.shape[-1])
        active = np.maximum(flat @ hidden + bias, 0)
        odds = np.where(valid, (active @ out + flat @ direct).reshape(valid.shape), -np.inf)
        share = np.exp(odds - odds.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        wanted = relevant / relevant.sum(axis=1, keepdims=True)
        error = ((share - wanted) / len(valid)).ravel().astype(np.float32)
        back = error[:, None] * out * (active > 0)
        return flat.T @ back, back.sum(axis=0), active.T @ error, flat.T @ error


def _row(values: FloatArray | IntArray) -> tuple[float, ...]:
    return tuple(round(float(value), 7) for value in values)
