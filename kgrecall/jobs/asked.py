"""What every channel answers to the validation queries, and which answers were right: all that fusion is fitted on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.jobs.folds import Fold
from kgrecall.recall.base import Hits
from kgrecall.recall.combiner import Surroundings, log_length, log_popularity
from kgrecall.recall.combiner_fit import fit_combiner
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.fusion_weights import FittedFusion, weigh
from kgrecall.recall.merged_lists import MergedLists, Values, merge_lists
from kgrecall.recall.rank_fusion import FusionConfig
from kgrecall.types import IntArray

HITS = 200
_LEAST_WEIGHT = 0.02
"""Learned fusion: every channel proposes; what its proposals are worth is for the network to say."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """q validation queries of one or more folds.

    Shapes: ``hits`` per channel, over q queries; ``truth_indptr`` int64 (q + 1,), ``truth_pos`` int64: their held-out items.
    """

    hits: dict[str, Hits]
    truth_indptr: IntArray
    truth_pos: IntArray
    around: Surroundings

    @classmethod
    def of(cls, folds: Sequence[Fold], engines: Sequence[RecallEngine]) -> Asked:
        """Ask the engine of each fold, built from its training events, about the fold's users."""
        names = [name for name in engines[0].channel_names if all(name in engine.channel_names for engine in engines)]
        pairs = list(zip(folds, engines, strict=True))
        found = [engine.channel_hits(fold.users, min(HITS, fold.train.num_items)) for fold, engine in pairs]
        lengths = [np.minimum(np.diff(e.histories.indptr)[fold.users], e.config.max_history) for fold, e in pairs]
        truths = [_truth(fold) for fold in folds]
        return cls(
            {name: _stacked([hits[name] for hits in found]) for name in names},
            _indptr(np.concatenate([counts for counts, _ in truths])),
            np.concatenate([items for _, items in truths]),
            Surroundings(
                np.stack([log_popularity(engine.popularity) for engine in engines]),
                np.repeat(np.arange(len(folds)), [len(fold.users) for fold in folds]),
                log_length(_indptr(np.concatenate(lengths))),
            ),
        )

    def merged(self, config: FusionConfig, names: Sequence[str]) -> MergedLists:
        """The lists of some channels, calibrated by ``config``."""
        return merge_lists({name: self.hits[name] for name in names}, self.truth_indptr, self.truth_pos, config)

    def fit(self, config: FusionConfig, names: Sequence[str] | None = None) -> FittedFusion | None:
        """The weights of one method on some channels, all when not named; None where ``learned`` has too few queries.

        The value of a learned combiner is that of queries it was not trained on, so that it wins only when it generalises.
        """
        names = tuple(self.hits) if names is None else tuple(names)
        lists = self.merged(config, names)
        fitted = weigh(lists, names, config)
        if config.method != "learned":
            return fitted
        first = np.array([max(fitted.config.weight(name), _LEAST_WEIGHT) for name in names], np.float32)
        combiner = fit_combiner(lists, names, first, self.around)
        if combiner is None:
            return None
        weights = {name: round(float(weight), 6) for name, weight in zip(names, first, strict=True)}
        learned = config.model_copy(update={"weights": weights, "combiner": combiner.weights})
        return FittedFusion(learned, float(combiner.values.mean()), fitted.equal_weights)

    def needed(self, config: FusionConfig, keep: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The channels that the fused list misses, and a sentence on each of the others.

        The channel that is missed least goes first, until each that is left adds at least half a standard error of its gain
        in NDCG@20; with weights fitted once. Those to ``keep`` stay whatever they add.
        """
        names, notes = list(self.hits), list[str]()
        lists = self.merged(config, names)
        fitted = weigh(lists, names, config).config
        weights = {name: fitted.weight(name) for name in names}
        while True:
            now = _ndcg(lists, weights)
            gains = {name: now - _ndcg(lists, {**weights, name: 0.0}) for name in names if name not in keep}
            worst = min(gains, key=lambda name: gains[name].mean(), default=None)
            if worst is None or len(names) == 1 or gains[worst].mean() > 0.5 * gains[worst].std() / np.sqrt(len(now)):
                return tuple(names), tuple(notes)
            lost = gains[worst].mean()
            notes.append(f"The channel {worst} was dropped: it added {lost:+.4f} to a validation NDCG@20 of {now.mean():.4f}.")
            names.remove(worst)
            weights[worst] = 0.0


def _ndcg(lists: MergedLists, weights: Mapping[str, float]) -> Values:
    totals = lists.scores @ np.array(list(weights.values()), np.float32)
    return lists.ndcg(np.where(totals > 0, totals, -np.inf), 20)


def _truth(fold: Fold) -> tuple[IntArray, IntArray]:
    """How many held-out items each user of a fold has, and which."""
    order = np.argsort(fold.truth.user_pos, kind="stable")
    counts = np.bincount(np.searchsorted(fold.users, fold.truth.user_pos), minlength=len(fold.users))
    return counts, fold.truth.item_pos[order]


def _indptr(counts: IntArray) -> IntArray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _stacked(hits: Sequence[Hits]) -> Hits:
    return Hits(np.concatenate([h.positions for h in hits]), np.concatenate([h.scores for h in hits]))
