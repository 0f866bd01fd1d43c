"""Networks of the learned combiner fitted on validation lists, and how well they serve queries that they never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from kgrecall.recall.fusion.combiner import TOTAL, Items, Network, features
from kgrecall.recall.fusion.combiner_training import Lesson, row_of, trained
from kgrecall.recall.fusion.combiner_weights import NetworkWeights
from kgrecall.recall.fusion.merged_lists import MergedLists, Values
from kgrecall.recall.fusion.surroundings import Surroundings
from kgrecall.threads import in_order, ranges
from kgrecall.types import FloatArray, IntArray

CUT = 200
"""Candidates of a query that a network is shown: the best by the weighted sum."""
ENOUGH_QUERIES = 300
"""With fewer queries that hold a hit, no network of known items is trained."""
_SHARE = 0.5
"""How much of the odds of new items comes from their network, the rest from the weighted sum. The network has met a few hundred
hidden items again and again, and tomorrow's are others. NDCG@20 of new items among themselves and of all items in one list,
engines of builds with a fifth of the items hidden, validation, by the network alone -> half: ml1m-kg .419 and .285 -> .431 and
.291, hetrec-lastfm .558 and .458 -> .558 and .460, amazon-beauty .174 and .053 -> .173 and .054, movielens-100k .231 and .021
-> .228 and .023, lightkg-lastfm .068 and .098 -> .067 and .099."""
_PARTS = 3
_AT_ONCE = 256
"""Queries whose candidates are judged together."""
_ROUNDS, _RIDGE = 40, 1e-3


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
    enough: int = ENOUGH_QUERIES,
    crowd: Iterable[tuple[MergedLists, Surroundings]] = (),
    k: int = 20,
    seed: int = 0,
) -> FittedNetwork | None:
    """Train a network to put held-out items first; None with fewer than ``enough`` queries that hold a hit.

    The values come from several networks, each asked only about queries that it was not trained on: they may be compared with
    other ways of fusing. Those networks do not learn from the crowd, so that the values are cautious. Deterministic.

    Args:
        lists: candidates that are judged alike, calibrated as they will be served.
        first: float32 (channels,): weights > 0 of the sum that chooses the candidates.
        around: of all queries that ``lists`` was merged from.
        crowd: further lists to learn from, which are read one after the other and kept by their heads alone.
    """
    known = lists.head(first, CUT)
    lesson = _lesson(known, first, around)
    if len(lesson.learnable) < enough:
        return None
    more = [_lesson(others.head(first, CUT), first, around_them) for others, around_them in crowd]
    whole, nobody = Lesson.joined([lesson, *more]), np.zeros(0, np.int64)
    fold = _parts(around.source[lists.queries], seed)
    asked = [np.flatnonzero(fold == part) for part in range(fold.max() + 1)]
    lessons = [(whole, nobody), *((lesson, part) for part in asked)]  # the longest first, beside the others
    final, *apart = in_order(lambda given: trained(given[0], first, seed, unseen=given[1]), lessons)
    values = np.zeros(len(fold))
    for part, weights in zip(asked, apart, strict=True):
        values[part] = known.take(part).ndcg(Network(weights).log_odds(lesson.inputs[part]), k)
    return FittedNetwork(final, values)


def fit_for_new_items(
    lists: MergedLists, first: FloatArray, around: Surroundings, *, enough: int, seed: int = 0
) -> NetworkWeights | None:
    """The log odds of new items, half by a network, half by the logarithm of the weighted sum; None with fewer than ``enough``
    queries that hold a hit. Arguments as in :func:`fit_network`.

    It does not look at the length of the history: the loss does not tell how high the odds of one query stand against those of
    another, so that only a network that does not look keeps to one level.
    """
    lesson = _lesson(lists.head(first, CUT), first, around, whose=False)
    if len(lesson.learnable) < enough:
        return None
    return _beside_the_sum(trained(lesson, first, seed), _strength(lesson))


def odds_of(lists: MergedLists, around: Surroundings, judge: Callable[[Items], FloatArray]) -> FloatArray:
    """What a network or a combiner gives each candidate: float32 (q, u), minus infinity on padding.

    A few queries at a time: the inputs of all candidates of all queries would be several times as large as the lists.
    """
    odds = np.full(lists.positions.shape, -np.inf, np.float32)

    def judged(rows: slice) -> tuple[slice, IntArray, IntArray, FloatArray]:
        row, column = np.nonzero(lists.positions[rows] >= 0)
        query, place = lists.queries[rows][row], (row + rows.start, column)
        popularity = around.of(query, lists.positions[place])
        found = lists.found[place]
        items = Items(row, column, lists.scores[place], found, popularity, around.history[query], around.unknown[query])
        return rows, row, column, judge(items) if len(row) else np.zeros(0, np.float32)

    for rows, row, column, values in in_order(judged, ranges(len(odds), _AT_ONCE)):
        odds[rows][row, column] = values
    return odds


def _lesson(lists: MergedLists, first: FloatArray, around: Surroundings, *, whose: bool = True) -> Lesson:
    """What a network is shown of each candidate; the length of the history only where it may know ``whose`` list it is."""
    queries, width, channels = lists.scores.shape
    inputs = features(
        lists.scores.reshape(-1, channels),
        lists.found.reshape(-1, channels),
        first,
        around.of(lists.queries[:, None], lists.positions).ravel(),
        np.repeat(around.history[lists.queries] * np.float32(whose), width),
    )
    return Lesson(inputs.reshape(queries, width, inputs.shape[1]), lists.positions >= 0, lists.relevant)


def _parts(source: IntArray, seed: int) -> IntArray:
    """Which queries are asked of one network, int64 (n,).

    Those of one source together: what holds in one stretch of time need not hold in the next, and a network that saw other
    queries of the same stretch would look better than it will be. Thirds at random where there is one source.
    """
    sources, part = np.unique(source, return_inverse=True)
    if len(sources) > 1:
        return part.astype(np.int64)
    return np.random.default_rng(seed).permutation(len(source)) % _PARTS


def _strength(lesson: Lesson) -> float:
    """a > 0 of the likeliest softmax of ``a`` times the logarithm of the weighted sum, by Newton's method, no step beyond
    double or half; held small by a ridge, for a sum that is never wrong."""
    asked = lesson.learnable
    total = lesson.inputs[asked][..., TOTAL].astype(np.float64)
    valid, right = lesson.valid[asked], lesson.relevant[asked]
    wanted = float(((total * right).sum(axis=1) / right.sum(axis=1)).mean())
    unit = max(float(total[valid].std()), 1e-9)
    a = 1 / unit
    for _ in range(_ROUNDS):
        odds = np.where(valid, a * total, -np.inf)
        share = np.exp(odds - odds.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        mean = (share * total).sum(axis=1)
        spread = float(((share * total**2).sum(axis=1) - mean**2).mean())
        step = (wanted - mean.mean() - _RIDGE * unit**2 * a) / (spread + _RIDGE * unit**2)
        a = float(np.clip(a + step, a / 2, 2 * a))
    return a


def _beside_the_sum(weights: NetworkWeights, strength: float) -> NetworkWeights:
    """A network of which a share counts, and ``strength`` times the logarithm of the weighted sum for the rest: one network
    again."""
    out, direct = _SHARE * np.array(weights.out), _SHARE * np.array(weights.direct)
    direct[TOTAL] += (1 - _SHARE) * strength
    return weights.model_copy(update={"out": row_of(out), "direct": row_of(direct)})
