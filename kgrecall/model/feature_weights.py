"""What each relation, the texts and own vectors are worth for placing items that nobody has chosen: learned on items held out.

A fifth of the items is left out of the regression ``X(w)`` of :mod:`kgrecall.model.ridge`, placed by it, ``Y = F_w X(w)``, and
ranked among themselves for the users who chose some of them:

    min over w, l, t of   L = - mean_u mean_{i chosen by u} log softmax_i(z_u . y_i / t)

All weights get their gradient from one further solve (implicit differentiation: Bengio, "Gradient-based optimization of
hyperparameters", Neural Computation 2000). With G = dL/dY on held-out rows, Z = (M + l I)^-1 F_w^T G and R = C (V - F_w X):

    dL/dw = <G, F' X> + <R, F' Z> - <C F_w Z, F' X>,  F' = dF_w/dw;        dL/dl = - <X, Z>

For each relation w are a weight and the power of an entity's degree that its edges are divided by: how much less hubs say.
A search of one weight after the other finds no better ones, in five times the time. What is learned is a property of the
graph and the choices, not of a model: vectors of 32 leading singular directions tell it as well as trained ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import optimize, sparse
from torch.nn import functional

from kgrecall.graph.singular import item_factors
from kgrecall.model.features import FeatureBlocks, FeatureWeights
from kgrecall.model.ridge import ridge, ridge_solve
from kgrecall.types import BoolArray, FloatArray, IntArray

_DIM, _PARTS, _ROUNDS = 32, 5, 20
_LEAST_ITEMS, _MOST_ITEMS = 100, 10_000
"""Fewer items teach nothing that would hold for others; more teach nothing new."""
_HELD_OUT, _MOST_FOLDS, _MOST_USERS = 600, 3, 1500
"""As many fifths are held out, one after the other, as make so many items."""
_TEMPERATURE = 0.15
_STEPS = 8
_WEIGHT, _PENALTY, _WARMTH = (-7.0, 3.5), (-5.0, 3.0), (-4.0, 1.0)
"""Bounds of the logarithms."""
_HUB_SCALE = 3.0
"""Powers stand three times as large in the search: they act on logarithms of degrees, and would run ahead of the weights."""
_HUB_POWER = (0.0, _HUB_SCALE)
_Point = np.ndarray[tuple[int], np.dtype[np.float64]]
"""The logarithm of each relation's weight followed by three times its hub power, then the logarithms of the weights of the
dense parts, the penalty and the temperature."""


def learned_weights(blocks: FeatureBlocks, history: sparse.csr_array, start: FeatureWeights, *, seed: int) -> FeatureWeights:
    """Weights under which held-out items are ranked best; ``start`` where fewer than 100 items can teach them.

    Args:
        blocks: of all items.
        history: csr (num_users, num_items).
        start: where the search begins.
    """
    items = _teachers(blocks, history, start, seed)
    if len(items) < _LEAST_ITEMS:
        return start
    search = _Search(blocks.take(items), sparse.csr_array(history[:, items]), start, seed)
    if not search.folds:
        return start
    found = optimize.minimize(
        search.loss,
        search.point(start),
        jac=True,
        method="L-BFGS-B",
        bounds=[_WEIGHT, _HUB_POWER] * len(blocks.relations) + [_WEIGHT] * len(blocks.dense) + [_PENALTY, _WARMTH],
        options={"maxiter": _STEPS, "maxfun": 2 * _STEPS},
    )
    return search.weights(found.x)


def _teachers(blocks: FeatureBlocks, history: sparse.csr_array, start: FeatureWeights, seed: int) -> IntArray:
    """Items with interactions of which something is known, at most 10,000, in random order."""
    degree = np.bincount(history.indices, minlength=blocks.num_items)
    able = np.flatnonzero((degree > 0) & blocks.weighed(start).present())
    return np.random.default_rng(seed).permutation(able)[:_MOST_ITEMS]


@dataclass(frozen=True, slots=True)
class _Fold:
    """``held``: bool (num_items,); ``users`` float32 (q, d); ``wanted`` float32 (q, items held out), rows that add up to 1."""

    held: BoolArray
    users: FloatArray
    wanted: FloatArray


class _Search:
    def __init__(self, blocks: FeatureBlocks, history: sparse.csr_array, start: FeatureWeights, seed: int) -> None:
        self.blocks, self.start = blocks, start
        degree = np.bincount(history.indices, minlength=blocks.num_items)
        self.confidence = (np.sqrt(degree) / np.sqrt(degree).mean()).astype(np.float32)
        factors = item_factors(history, _DIM, seed)
        self.vectors = _unit(factors)
        self.folds = tuple(_folds(history, factors, seed))

    def point(self, weights: FeatureWeights) -> _Point:
        """Where the search finds these weights."""
        pairs = [(np.log(weights.relations[name]), _HUB_SCALE * weights.hub_powers[name]) for name in self.blocks.relations]
        dense = [np.log(weights.dense[name]) for name in self.blocks.dense]
        return np.array([*np.ravel(pairs), *dense, np.log(weights.penalty), np.log(_TEMPERATURE)])

    def weights(self, point: _Point) -> FeatureWeights:
        """What a point of the search stands for."""
        names, values = [*self.blocks.relations], [float(value) for value in np.exp(point)]
        pairs = 2 * len(names)
        powers = dict(zip(names, (point[1:pairs:2] / _HUB_SCALE).tolist(), strict=True))
        dense = dict(zip(self.blocks.dense, values[pairs:-2], strict=True))
        return FeatureWeights(dict(zip(names, values[0:pairs:2], strict=True)), powers, dense, values[-2])

    def loss(self, point: _Point) -> tuple[float, _Point]:
        """The loss and its gradient, means over the folds."""
        weights = self.weights(point)
        found = [self._of_fold(fold, weights, point) for fold in self.folds]
        return float(np.mean([value for value, _ in found])), np.mean([gradient for _, gradient in found], axis=0)

    def _of_fold(self, fold: _Fold, weights: FeatureWeights, point: _Point) -> tuple[float, _Point]:
        features, temperature = self.blocks.weighed(weights), float(np.exp(point[-1]))
        confidence = np.where(fold.held, 0.0, self.confidence).astype(np.float32)
        x = ridge(features, self.vectors, confidence, weights.penalty, rounds=_ROUNDS)
        placed = features.apply(x)
        loss, upstream, by_temperature = _ranking_loss(fold, placed[fold.held], temperature)
        at_items = np.zeros_like(placed)
        at_items[fold.held] = upstream
        right = features.adjoint(at_items)
        unit = float(np.abs(right).max()) or 1.0  # conjugate gradients in float32: keep the numbers near 1
        z = ridge_solve(features, right / np.float32(unit), confidence, weights.penalty, rounds=_ROUNDS)
        back = confidence[:, None] * features.apply(z)
        left_over = confidence[:, None] * (self.vectors - placed)
        by_weight = [
            np.vdot(at_items, ahead) + unit * (np.vdot(left_over, adjoint) - np.vdot(back, ahead))
            for ahead, adjoint in zip(self.blocks.images(x, weights), self.blocks.images(z, weights), strict=True)
        ]
        by_penalty = -unit * weights.penalty * np.vdot(x, z)
        gradient = np.array([*by_weight, by_penalty, by_temperature], np.float64)
        gradient[1 : 2 * len(self.blocks.relations) : 2] /= _HUB_SCALE
        return loss, gradient


def _folds(history: sparse.csr_array, factors: FloatArray, seed: int) -> Iterator[_Fold]:
    """Fifths of the items, which are in random order, and users who chose some of them, placed by the rest of their history."""
    rng, num_items = np.random.default_rng(seed), history.shape[1]
    part = np.arange(num_items) % _PARTS
    for number in range(min(_MOST_FOLDS, -(-_HELD_OUT * _PARTS // num_items))):
        held = part == number
        chosen, rest = history[:, np.flatnonzero(held)], history @ (factors * ~held[:, None])
        able = np.flatnonzero((np.diff(chosen.indptr) > 0) & rest.any(axis=1))
        if len(able) > _MOST_USERS:
            able = np.sort(rng.choice(able, _MOST_USERS, replace=False))
        wanted = (chosen[able].toarray() > 0).astype(np.float32)
        if len(able):
            yield _Fold(held, _unit(rest[able]), wanted / wanted.sum(axis=1, keepdims=True))


def _ranking_loss(fold: _Fold, placed: FloatArray, temperature: float) -> tuple[float, FloatArray, float]:
    """The loss of these vectors, its gradient by them, and by the logarithm of the temperature.

    Vectors longer than 1 count with length 1: what is uncertain may lie nearer to zero, nothing further out than known items.
    """
    length = np.linalg.norm(placed, axis=1, keepdims=True)
    long = length > 1
    targets = np.where(long, placed / np.maximum(length, 1.0), placed)
    scores = fold.users @ targets.T / np.float32(temperature)
    scores -= scores.max(axis=1, keepdims=True)
    mass = np.exp(scores)
    total = mass.sum(axis=1, keepdims=True)
    loss = float(-((scores - np.log(total)) * fold.wanted).sum() / len(fold.users))
    by_score = (mass / total - fold.wanted) / len(fold.users)
    by_target = by_score.T @ fold.users / np.float32(temperature)
    across = by_target - targets * (by_target * targets).sum(axis=1, keepdims=True)
    return loss, np.where(long, across / np.maximum(length, 1.0), by_target), -float((by_score * scores).sum())


def _unit(vectors: FloatArray) -> FloatArray:
    """Rows scaled to length 1; zero rows stay zero."""
    out: FloatArray = functional.normalize(torch.from_numpy(vectors), dim=1).numpy()
    return out
