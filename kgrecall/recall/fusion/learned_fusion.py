"""The learned fusion of a build: a network for known items, one for visitors, one for new items, and the scale they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from kgrecall.recall.fusion.combiner import Combiner, Network, together
from kgrecall.recall.fusion.combiner_fit import FittedNetwork, fit_for_new_items, fit_network, odds_of
from kgrecall.recall.fusion.combiner_weights import CombinerWeights, NetworkWeights, NewItemWeights, VisitorWeights
from kgrecall.recall.fusion.fusion_weights import FittedFusion
from kgrecall.recall.fusion.merged_lists import MergedLists, Values
from kgrecall.recall.fusion.new_items import Populations
from kgrecall.recall.fusion.surroundings import Surroundings
from kgrecall.types import FloatArray

_LEAST_WEIGHT = 0.02
"""Every channel proposes; what its proposals are worth is for the networks to say."""
_ENOUGH_NEW = 100
"""Fewer queries than a network of known items needs: without a network of their own, new items would be judged as unwanted."""
_ENOUGH_VISITORS = 100
"""Fewer, too: what so few teach stands only if it tells others better."""
_ENOUGH_MET = 30
"""Lists that hold known and new items and something right: two numbers are learned from them."""
_ROUNDS, _RIDGE = 20, 1e-3
_LARGEST_LIFT, _HALVINGS = 8.0, 8


def fit_learned(
    fitted: FittedFusion,
    lists: Populations,
    names: Sequence[str],
    around: Surroundings,
    crowd: Iterable[tuple[MergedLists, Surroundings]] = (),
) -> FittedFusion | None:
    """Networks that start from fitted weights; None with too few queries to learn from.

    The second network is for items that nobody has chosen; the first one is what it would be without them.

    Args:
        crowd: lists of known items alone that teach the first network, too.
    """
    first = _at_least([fitted.config.weight(name) for name in names], 1.0)
    known = fit_network(lists.taught, first, around, crowd=crowd)
    if known is None:
        return None
    of_main = np.isin(lists.taught.queries, lists.known.queries)
    changes: dict[str, object] = {"weights": _named(names, first), "new_weights": {}}
    visitor, visitors = _of_visitors(known, lists, first, around)
    combiner = CombinerWeights(channels=tuple(names), known=known.weights, visitor=visitor, floor=0)
    new = None
    if lists.enough:
        own = [fitted.config.new_weight(name) for name in names]
        own_first = _into_the_cut(_at_least(own, max(own)), first, lists)
        found = fit_for_new_items(lists.new, own_first, around, enough=_ENOUGH_NEW)
        new = None if found is None else _beside(combiner, found, lists, around)
        if new is not None:
            changes["new_weights"] = _named(names, own_first)
    combiner = combiner.model_copy(update={"new": new})
    odds = odds_of(lists.every, around, Combiner(combiner).log_odds)
    floor = float(odds[odds > -np.inf].min())
    changes["combiner"] = combiner.model_copy(update={"floor": round(floor, 7)})
    return FittedFusion(fitted.config.model_copy(update=changes), known.values[of_main], fitted.equal_weights, visitors)


def _of_visitors(
    known: FittedNetwork, lists: Populations, first: FloatArray, around: Surroundings
) -> tuple[VisitorWeights | None, Values]:
    """A network that visitors alone have taught, None unless it serves others better than ``known`` does by more than a
    standard error, and how well visitors are served."""
    own = fit_network(lists.visiting, first, around, enough=_ENOUGH_VISITORS)
    by_known = known.values[np.isin(lists.taught.queries, lists.visiting.queries)]
    if own is None:
        return None, by_known
    gain = own.values - by_known
    if gain.mean() <= gain.std() / np.sqrt(len(gain)):
        return None, by_known
    longest = float(around.history[lists.visiting.queries].max())
    return VisitorWeights(network=own.weights, most=round(np.expm1(longest))), own.values


def _beside(combiner: CombinerWeights, new: NetworkWeights, lists: Populations, around: Surroundings) -> NewItemWeights | None:
    """The offset and the part of the history with the greatest likelihood of what was chosen from lists of both kinds.

    As in training, a query's candidates share its held-out items by the softmax of their log odds. What known candidates come
    to together is 1 here, so that two numbers are left, found by Newton's method. Where new items then have less than their
    share of the places, since each is hard to predict, they are lifted with the length of the history: who has none to speak of
    is shown what is known to be good. None where new items hardly ever meet known ones in a list: how they compete is unknown.
    """
    every, unmet = lists.every, lists.unmet
    odds = odds_of(every, around, Combiner(combiner).log_odds)
    own = odds_of(every, around, Network(new).judge)
    level = together(np.where(unmet, -np.inf, odds).astype(np.float32))
    mass = together(np.where(unmet, own, -np.inf).astype(np.float32), own.shape[1])
    share = (every.relevant & unmet).sum(axis=1) / np.maximum(every.relevant.sum(axis=1), 1)
    asked = every.relevant.any(axis=1) & (mass > -np.inf) & (level > -np.inf)
    if int(asked.sum()) < _ENOUGH_MET:
        return None
    history = around.history[every.queries]
    offset, slope = _logistic(mass[asked], history[asked], share[asked])
    own = own + (level + np.float32(offset))[:, None]
    usual = float(np.median(history[lists.main])) or 1.0
    lift = _least(lambda x: lists.shown(lists.totals(odds, own + (slope + x / usual) * history[:, None])) >= lists.due)
    history_slope = round(slope + lift / usual, 7)
    return NewItemWeights(network=new, offset=offset, history=history_slope, level=round(float(np.median(level[asked])), 7))


def _least(enough: Callable[[float], bool]) -> float:
    """The least lift from 0 to 8 that is enough, by halving; 8 where none is."""
    if enough(0.0):
        return 0.0
    low, high = 0.0, _LARGEST_LIFT
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _logistic(given: FloatArray, history: FloatArray, share: FloatArray) -> tuple[float, float]:
    """b and c of ``share ~ sigmoid(given + b + c history)``, c held small by a ridge."""
    x = np.stack([np.ones(len(given)), history], axis=1)
    found = np.zeros(2)
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(given + x @ found, -30, 30)))
        gradient = x.T @ (share - p) / len(x) - _RIDGE * np.array([0, found[1]])
        hessian = (x * (p * (1 - p))[:, None]).T @ x / len(x) + _RIDGE * np.eye(2)
        found += np.clip(np.linalg.solve(hessian, gradient), -2, 2)
    return round(float(found[0]), 7), round(float(found[1]), 7)


def _into_the_cut(own: FloatArray, first: FloatArray, lists: Populations) -> FloatArray:
    """Weights of new items, scaled so that as many of them as of known ones are among the candidates that the networks see."""
    there = lists.every.positions >= 0
    known, new = lists.every.scores[there & ~lists.unmet] @ first, lists.every.scores[lists.unmet] @ own
    scale = np.median(known[known > 0]) / np.median(new[new > 0]) if (known > 0).any() and (new > 0).any() else 1.0
    return own * np.float32(scale)


def _at_least(weights: Sequence[float], largest: float) -> FloatArray:
    return np.maximum(np.array(weights, np.float32), np.float32(_LEAST_WEIGHT * largest))


def _named(names: Sequence[str], weights: FloatArray) -> dict[str, float]:
    return {name: round(float(weight), 6) for name, weight in zip(names, weights, strict=True)}
