"""The gate's quick pipeline: closed forms, so that many graphs can be compared in the time of one build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from kgrecall.evaluate.evaluator import evaluate
from kgrecall.evaluate.measures import Measure
from kgrecall.evaluate.ranking import incidence, mask_history, top_positions
from kgrecall.graph.knowledge import item_knowledge
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.split import split_random
from kgrecall.jobs.gate_split import NEW, WARM, Asked, GateSplit
from kgrecall.recall.channels.attributes import AttributesConfig, build_attribute_similarity
from kgrecall.recall.channels.item_knn import build_item_knn, interaction_matrix
from kgrecall.recall.channels.node_space import build_node_space
from kgrecall.recall.channels.sparse_rows import Matrix
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0)
"""What a similarity may count beside item-kNN."""
_VALID_SHARE, _VALID_USERS = 0.1, 500
_TEXT_NEIGHBOURS, _TEXT_BLOCK = 100, 512
_SCORES_AT_ONCE = 1 << 24
_LOTS, _STRIDE = 20_011, 7_919


@dataclass(frozen=True)
class _Side:
    """Events to learn from: their matrix and item-kNN, and the scores that item-kNN gives."""

    split: GateSplit
    matrix: Matrix
    item_knn: Matrix

    @classmethod
    def of(cls, split: GateSplit) -> _Side:
        return cls(split, interaction_matrix(split.train), _unit_mean(build_item_knn(split.train)))


class QuickPipeline:
    """``score = history (W + g S + t T + ...)``: item-kNN W, shared knowledge S, alike texts T and alike vectors, each
    divided by its mean.

    The weights g, t, ... are chosen from :data:`WEIGHTS` on validation events inside of train: once for items that were met,
    and once for items that were not, of which a share is hidden there, too. Relations that do not touch items play no part.
    """

    def __init__(self, split: GateSplit, measure: Measure, *, new_items: float, seed: int) -> None:
        parts = split_random(split.train, valid=0, test=_VALID_SHARE, seed=seed)
        inner = GateSplit.of(parts.train, parts.test, new_items=new_items, max_users=_VALID_USERS, seed=seed)
        self._measure = measure
        self._outer, self._inner = _Side.of(split), _Side.of(inner)

    def fit(self, snapshot: GraphSnapshot, described: Sequence[FloatArray]) -> QuickRanker:
        """The pipeline on one graph; ``described`` float32 (num_items, dim) each: texts, vectors."""
        parts = (knowledge_similarity(snapshot), *map(likeness, described))
        others = [part for part in parts if part is not None]
        warm = self._weights(others, WARM)
        return QuickRanker(self._outer, others, warm, self._weights(others, NEW) or warm)

    def _weights(self, others: Sequence[Matrix], question: str) -> tuple[float, ...]:
        """One similarity after the other: its best weight beside those before it. Empty when nobody can be asked."""
        asked = next((one for one in self._inner.split.asked if one.name == question), None)
        if asked is None:
            return ()
        chosen: tuple[float, ...] = (0.0,) * len(others)
        for place in range(len(others)):
            trials = [(*chosen[:place], weight, *chosen[place + 1 :]) for weight in WEIGHTS]
            values = [self._value(QuickRanker(self._inner, others, trial, trial), asked) for trial in trials]
            chosen = trials[int(np.argmax(values))]
        return chosen

    def _value(self, ranker: QuickRanker, asked: Asked) -> float:
        return evaluate(
            lambda users, k: ranker.rank(users, k, among=asked.among), asked.truth, [self._measure], users=asked.users
        )[self._measure]


class QuickRanker:
    """A fitted pipeline.

    Args:
        weights: of ``others`` where all items compete.
        weights_new: of ``others`` where only some do.
    """

    def __init__(
        self, side: _Side, others: Sequence[Matrix], weights: tuple[float, ...], weights_new: tuple[float, ...]
    ) -> None:
        self._side, self._others, self.weights, self.weights_new = side, others, weights, weights_new
        self._seen = incidence(side.split.train)

    def rank(self, user_pos: IntArray, k: int, *, among: BoolArray | None = None) -> PosArray:
        """Ranked positions, history left out. Shapes: user_pos (q,), among bool (num_items,) or None -> int32 (q, k)."""
        step = max(1, _SCORES_AT_ONCE // self._side.matrix.shape[1])
        blocks = [self._ranked(user_pos[start : start + step], k, among) for start in range(0, len(user_pos), step)]
        return np.concatenate(blocks) if blocks else np.empty((0, k), np.int32)

    def _ranked(self, users: IntArray, k: int, among: BoolArray | None) -> PosArray:
        history = self._side.matrix[users]
        scores = (history @ self._side.item_knn).toarray()
        for part, weight in zip(self._others, self.weights if among is None else self.weights_new, strict=True):
            if weight:
                scores += weight * (history @ part).toarray()
        mask_history(scores, self._seen, users)
        if among is not None:
            scores[:, ~among] = -np.inf
        return drawn_by_lot(scores, users, k)


def drawn_by_lot(scores: FloatArray, user_pos: IntArray, k: int) -> PosArray:
    """As :func:`kgrecall.evaluate.ranking.top_positions`, but equal scores stand in an order drawn by lot, another one for each
    user, and the same whenever that user is asked.

    By position they would stand in the order of their ids, which often is that of their age: an order of worth, where a
    pipeline that knows nothing of new items gives all of them 0.
    """
    n = scores.shape[1]
    lots = np.random.default_rng(_LOTS).permutation(n)
    column = lots[(np.arange(n) + (user_pos[:, None] * _STRIDE) % n) % n]
    top = top_positions(np.take_along_axis(scores, column, axis=1), k)
    return np.where(top >= 0, np.take_along_axis(column, np.maximum(top, 0), axis=1), -1).astype(np.int32)


def knowledge_similarity(snapshot: GraphSnapshot) -> Matrix | None:
    """Items by shared nodes, mean 1, (num_items, num_items); None when no two items share any."""
    knowledge = item_knowledge(snapshot)
    if not knowledge:
        return None
    config = AttributesConfig()
    similarity = build_attribute_similarity(build_node_space(knowledge, config), config)
    return _unit_mean(similarity) if similarity.nnz else None


def likeness(vectors: FloatArray) -> Matrix | None:
    """The most alike of each item by cosine, above the mean of all pairs; mean 1; None where no two are alike."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    mean = unit.sum(axis=0) / max(1, int((length > 0).sum()))
    rows = [_nearest(unit, start, float(mean @ mean)) for start in range(0, len(unit), _TEXT_BLOCK)]
    similarity: Matrix = sp.csr_array(sp.vstack(rows, format="csr"))
    return _unit_mean(similarity) if similarity.nnz else None


def _nearest(unit: FloatArray, start: int, floor: float) -> Matrix:
    scores = unit[start : start + _TEXT_BLOCK] @ unit.T - np.float32(floor)
    scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = 0
    k = min(_TEXT_NEIGHBOURS, scores.shape[1])
    columns = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(scores, columns, axis=1)
    row, place = np.nonzero(values > 0)
    part: Matrix = sp.csr_array((values[row, place], (row, columns[row, place])), shape=scores.shape)
    return part


def _unit_mean(similarity: Matrix) -> Matrix:
    scaled = similarity.copy()
    if scaled.nnz:
        scaled.data = scaled.data / scaled.data.mean()
    return scaled
