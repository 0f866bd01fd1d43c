"""Training of the learned combiner on validation lists: a few hundred numbers, numpy alone, a few CPU seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.recall.combiner import Combiner, Surroundings, by_content, features
from kgrecall.recall.combiner_weights import CombinerWeights
from kgrecall.recall.merged_lists import MergedLists, Values
from kgrecall.types import BoolArray, FloatArray, IntArray

CUT = 200
"""Candidates of a query that the network is shown: the best by the weighted sum."""
ENOUGH_QUERIES = 300
"""With fewer queries that hold a hit, no network is trained."""
_UNMET = 0.2
"""Share of the items that are taken for new ones in a second copy of the lists."""
_LEAST_SPREAD = 1e-5
_FOLDS = 3
_UNITS, _EPOCHS, _BATCH = 16, 12, 64
_RATE, _DECAY = 5e-3, 1e-4
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class FittedCombiner:
    """A network trained on all queries, and the NDCG of each query by a network that did not see it: float64 (queries,)."""

    weights: CombinerWeights
    values: Values


def fit_combiner(
    lists: MergedLists, names: Sequence[str], first: FloatArray, around: Surroundings, *, k: int = 20, seed: int = 0
) -> FittedCombiner | None:
    """Train a network to put held-out items first; None with fewer than 300 queries to learn from.

    The loss is the cross entropy between the softmax over a query's candidates and its held-out items (ListNet: Cao et al.,
    ICML 2007), minimised by Adam (Kingma & Ba, ICLR 2015). The values come from several networks, each asked only about queries
    that it was not trained on: they may be compared with other ways of fusing. Deterministic.

    Args:
        lists: of the channels ``names``, calibrated as they will be served.
        first: float32 (channels,): weights > 0 of the sum that chooses the candidates.
        around: of all queries that ``lists`` was merged from.
    """
    known = lists.head(first, CUT)
    if int(known.relevant.any(axis=1).sum()) < ENOUGH_QUERIES:
        return None
    inputs = network_inputs(known, names, first, around)
    lesson = _lesson(lists, known, inputs, names, first, around, seed)
    fold = _parts(around.source[lists.queries], seed)
    values = np.zeros(len(fold))
    for part in range(fold.max() + 1):
        asked = np.flatnonzero(fold == part)
        network = Combiner(_trained(lesson, fold != part, names, first, seed))
        values[asked] = known.take(asked).ndcg(network.log_odds(inputs[asked]), k)
    return FittedCombiner(_trained(lesson, fold >= 0, names, first, seed), values)


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
    """What a network learns from, once or twice per query. Shapes: (n, candidates, features), (n, candidates) bool twice, and
    ``query`` int64 (n,): which query a list belongs to."""

    inputs: FloatArray
    valid: BoolArray
    relevant: BoolArray
    query: IntArray


def _lesson(
    lists: MergedLists,
    known: MergedLists,
    inputs: FloatArray,
    names: Sequence[str],
    first: FloatArray,
    around: Surroundings,
    seed: int,
) -> _Lesson:
    """The lists, and once more with a fifth of the items as they would look had nobody chosen them.

    Held-out items have nearly all been chosen before, by others: from those alone the network would learn that an item which
    only its attributes speak for is never right. Items that really are new count as wrong in the first copy, where nobody can
    have held them out, and not at all in the second: between the two lies how readily they are shown.
    """
    every = np.arange(len(known.queries))
    if not by_content(names).any():
        return _Lesson(inputs, known.positions >= 0, known.relevant, every)
    num_items = around.popularity.shape[1]
    unmet: BoolArray = np.less(np.random.default_rng(seed).random(num_items), _UNMET)
    new = _unmet_lists(lists, unmet, names).head(first, CUT)
    popularity = np.where(unmet, np.float32(np.nan), around.popularity)
    second = network_inputs(new, names, first, Surroundings(popularity, around.source, around.history))
    return _Lesson(
        np.concatenate([inputs, second]),
        np.concatenate([known.positions >= 0, _met(new, around)]),
        np.concatenate([known.relevant, new.relevant]),
        np.concatenate([every, every]),
    )


def _met(lists: MergedLists, around: Surroundings) -> BoolArray:
    """Candidates that somebody has chosen: the others cannot be held out, and there is no telling if they are right."""
    chosen = ~np.isnan(around.popularity[around.source[lists.queries][:, None], np.maximum(lists.positions, 0)])
    return chosen & (lists.positions >= 0)


def _unmet_lists(lists: MergedLists, unmet: BoolArray, names: Sequence[str]) -> MergedLists:
    """The lists had nobody chosen some of the items: channels that know items by who chose them do not find these."""
    hidden = unmet[np.maximum(lists.positions, 0)][..., None] & ~by_content(names)
    scores, found = np.where(hidden, np.float32(0), lists.scores), lists.found & ~hidden
    listed = found.any(axis=-1)
    positions = np.where(listed, lists.positions, np.int32(-1))
    return MergedLists(lists.queries, positions, scores, found, lists.relevant & listed, lists.num_true)


def network_inputs(lists: MergedLists, names: Sequence[str], first: FloatArray, around: Surroundings) -> FloatArray:
    """What the network is shown of each candidate: float32 (queries, candidates, features)."""
    shape = lists.positions.shape
    flat = features(
        lists.scores.reshape(-1, len(first)),
        lists.found.reshape(-1, len(first)),
        first,
        around.popularity[around.source[lists.queries][:, None], np.maximum(lists.positions, 0)].ravel(),
        np.repeat(around.history[lists.queries], shape[1]),
        by_content(names),
    )
    return flat.reshape(*shape, -1)


def _trained(lesson: _Lesson, queries: BoolArray, names: Sequence[str], first: FloatArray, seed: int) -> CombinerWeights:
    """The network of some of the queries, the scaling of its inputs folded into its weights."""
    learnable = np.flatnonzero(queries[lesson.query] & lesson.relevant.any(axis=1))
    shown = lesson.inputs[learnable][lesson.valid[learnable]]
    mean, spread = shown.mean(axis=0), shown.std(axis=0)
    spread = np.where(spread > _LEAST_SPREAD, spread, np.inf).astype(np.float32)  # what never varied has no say
    rng = np.random.default_rng(seed)
    network = _Network(shown.shape[-1], rng)
    steps = _EPOCHS * -(-len(learnable) // _BATCH)
    for _ in range(_EPOCHS):
        rng.shuffle(learnable)
        for start in range(0, len(learnable), _BATCH):
            batch = learnable[start : start + _BATCH]
            network.learn((lesson.inputs[batch] - mean) / spread, lesson.valid[batch], lesson.relevant[batch], steps)
    hidden, bias, out, direct = network.parameters
    hidden = hidden / spread[:, None]
    weights = CombinerWeights(
        channels=tuple(names),
        first=_row(first),
        hidden=tuple(_row(row) for row in hidden),
        bias=_row(bias - mean @ hidden),
        out=_row(out),
        direct=_row(direct / spread),
        floor=0.0,
    )
    return weights.model_copy(update={"floor": float(Combiner(weights).log_odds(shown).min())})


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
