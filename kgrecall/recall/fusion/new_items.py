"""How an item that nobody has chosen yet competes with known ones: weights of its own, fitted on items that were hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kgrecall.recall.fusion.fusion_weights import weigh
from kgrecall.recall.fusion.merged_lists import MergedLists
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.fusion.surroundings import Surroundings
from kgrecall.recall.fusion.weighted_sums import best_places
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
    (``known`` of main queries, ``visiting`` of visitors, ``taught`` of both) and of ``new`` ones (of all queries), each for
    the queries that have held-out items of the kind. ``unmet`` bool (q, u): which candidates of ``every`` are new; ``main``
    bool (q,): which of its queries are main ones."""

    every: MergedLists
    known: MergedLists
    visiting: MergedLists
    taught: MergedLists
    new: MergedLists
    unmet: BoolArray
    main: BoolArray

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
        of_all, kind = kind, kind[lists.queries]
        unmet = np.isnan(around.of(lists.queries[:, None], lists.positions))
        told = new[around.source[lists.queries][:, None], np.maximum(lists.positions, 0)]
        every = lists.among(~unmet | told, np.where(kind == CURIOUS, 0, lists.num_true))
        return cls(
            every,
            lists.among(~unmet, np.where(kind == MAIN, counts[0], 0)),
            lists.among(~unmet, np.where(kind == VISITOR, counts[0], 0)),
            lists.among(~unmet, np.where(kind == CURIOUS, 0, counts[0])),
            lists.among(unmet & told, counts[1]),
            np.isnan(around.of(every.queries[:, None], every.positions)) & (every.positions >= 0),
            of_all[every.queries] == MAIN,
        )

    @property
    def enough(self) -> bool:
        """Whether anything can be learned of new items."""
        return int(self.new.relevant.any(axis=1).sum()) >= _LEAST_QUERIES

    @property
    def due(self) -> float:
        """The share of new items in what was chosen next or in the candidates, whichever is smaller, of main queries."""
        unmet, there = self.unmet[self.main], self.every.positions[self.main] >= 0
        right = self.every.relevant[self.main]
        return float(min((unmet & right).sum() / max(1, right.sum()), unmet.sum() / max(1, there.sum())))

    def totals(self, known: FloatArray, new: FloatArray) -> FloatArray:
        """Each candidate of ``every`` by what it is: float32 (q, u), minus infinity on padding."""
        return np.where(self.every.positions >= 0, np.where(self.unmet, new, known), -np.inf)

    def shown(self, totals: FloatArray) -> float:
        """The share of new items among the 20 best of a main query."""
        main = totals[self.main]
        best = np.argsort(-main, axis=1, kind="stable")[:, :_K]
        listed = np.take_along_axis(main, best, axis=1) > -np.inf
        return float((np.take_along_axis(self.unmet[self.main], best, axis=1) & listed).sum() / max(1, listed.sum()))


def with_new_items(config: FusionConfig, lists: Populations, names: Sequence[str]) -> FusionConfig:
    """The fusion with weights for new items: first those that order them best among themselves, then the scale at which they
    compete with known ones. Unchanged where too few new items are found to learn from."""
    if not lists.enough:
        return config
    fitted = weigh(lists.new, names, config).config
    own = np.array([fitted.weight(name) for name in names], np.float32)
    known = lists.every.scores @ np.array([config.weight(name) for name in names], np.float32)
    scale = _scale(lists, known, lists.every.scores @ own)
    return config.model_copy(
        update={"new_weights": {name: round(scale * float(w), 6) for name, w in zip(names, own, strict=True)}}
    )


def _scale(lists: Populations, known: FloatArray, new: FloatArray) -> float:
    """The scale with the best NDCG@20 of known and new items in one list, or that from which on new items have their share of
    the places, if it is larger: what is hard to predict would else never be shown (calibrated lists: Steck, RecSys 2018)."""
    scores = np.stack([np.where(lists.unmet, 0, known), np.where(lists.unmet, new, 0)], axis=-1).astype(np.float32)
    weights = np.array([(1.0, scale) for scale in SCALES], np.float32)
    best = int(np.argmax(replace(lists.every, scores=scores).ndcg_by(weights, _K).mean(axis=1)))
    main = np.flatnonzero(lists.main)
    places = best_places(scores[main], lists.every.positions[main], weights, _K)
    shown = (lists.unmet[main[:, None], places] & (places >= 0)).sum(axis=(1, 2)) / np.maximum(
        1, (places >= 0).sum(axis=(1, 2))
    )
    fair = np.flatnonzero(shown >= lists.due)
    return SCALES[max(best, int(fair[0]) if len(fair) else len(SCALES) - 1)]
