"""How an item that nobody has chosen yet competes with known ones: weights of its own, fitted on items that were hidden."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrecall.recall.combiner import Surroundings
from kgrecall.recall.fusion_weights import weigh
from kgrecall.recall.merged_lists import MergedLists
from kgrecall.recall.rank_fusion import FusionConfig
from kgrecall.types import BoolArray, FloatArray, IntArray

MAIN, CURIOUS, VISITOR = 0, 1, 2
"""Kinds of queries: of a known user about what comes next; of one about new items alone; of somebody with a short history."""
SCALES = tuple(float(2.0**power) for power in np.arange(-6, 6.5, 0.5))
"""What a new item's weights are multiplied by, beside those of known ones."""
_LEAST_QUERIES = 30
_K = 20


@dataclass(frozen=True, slots=True, eq=False)
class Populations:
    """Lists of all candidates that can be told right or wrong, and what they hold of items that somebody has chosen
    (``known`` of main queries, ``taught`` of visitors, too) and of ``new`` ones (of all queries), each for the queries that
    have held-out items of the kind. ``unmet`` bool (q, u): which candidates of ``every`` are new."""

    every: MergedLists
    known: MergedLists
    taught: MergedLists
    new: MergedLists
    unmet: BoolArray

    @classmethod
    def of(
        cls,
        lists: MergedLists,
        around: Surroundings,
        new: BoolArray,
        truth_indptr: IntArray,
        truth_pos: IntArray,
        kind: NDArray[np.int8],
    ) -> Populations:
        """Tell the candidates apart.

        Args:
            lists: merged from queries whose held-out items are ``truth_pos[truth_indptr[i]:truth_indptr[i + 1]]``.
            new: bool (sources, num_items): items that nobody had chosen and that were chosen later; of other unmet items there
                is no telling if they are right, and they are left out.
            kind: int8 (queries,): main, curious or visitor.
        """
        row = np.repeat(np.arange(len(truth_indptr) - 1), np.diff(truth_indptr))
        unmet_truth = np.isnan(around.of(row, truth_pos.astype(np.int32)))
        counts = [np.bincount(row[of], minlength=len(kind))[lists.queries] for of in (~unmet_truth, unmet_truth)]
        kind = kind[lists.queries]
        unmet = np.isnan(around.of(lists.queries[:, None], lists.positions))
        told = new[around.source[lists.queries][:, None], np.maximum(lists.positions, 0)]
        every = lists.among(~unmet | told, np.where(kind == CURIOUS, 0, lists.num_true))
        return cls(
            every,
            lists.among(~unmet, np.where(kind == MAIN, counts[0], 0)),
            lists.among(~unmet, np.where(kind == CURIOUS, 0, counts[0])),
            lists.among(unmet & told, counts[1]),
            np.isnan(around.of(every.queries[:, None], every.positions)) & (every.positions >= 0),
        )

    @property
    def enough(self) -> bool:
        """Whether anything can be learned of new items."""
        return int(self.new.relevant.any(axis=1).sum()) >= _LEAST_QUERIES

    def best_scale(self, known: FloatArray, new: Callable[[float], FloatArray], scales: Sequence[float]) -> float:
        """The scale with the best NDCG@20 of known and new items in one list, the first of equals.

        Args:
            known: float32 (q, u), totals of all candidates of ``every`` as known items.
            new: the same as new items, at a scale.
        """
        values = [
            self.every.ndcg(np.where(self.every.positions >= 0, np.where(self.unmet, new(s), known), -np.inf), _K).mean()
            for s in scales
        ]
        return scales[int(np.argmax(values))]


def with_new_items(config: FusionConfig, lists: Populations, names: Sequence[str]) -> FusionConfig:
    """The fusion with weights for new items: first those that order them best among themselves, then the scale at which they
    best compete with known ones. Unchanged where too few new items are found to learn from."""
    if not lists.enough:
        return config
    fitted = weigh(lists.new, names, config).config
    own = np.array([fitted.weight(name) for name in names], np.float32)
    known = lists.every.scores @ np.array([config.weight(name) for name in names], np.float32)
    totals = lists.every.scores @ own
    scale = lists.best_scale(known, lambda s: totals * np.float32(s), SCALES)
    return config.model_copy(
        update={"new_weights": {name: round(scale * float(w), 6) for name, w in zip(names, own, strict=True)}}
    )
