"""What every channel answers to the validation queries, and which answers were right: all that fusion is fitted on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kgrecall.graph.split import joined
from kgrecall.jobs.folds import Fold
from kgrecall.recall.base import Hits
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.fusion.fusion_weights import FittedFusion, weigh
from kgrecall.recall.fusion.learned_fusion import fit_learned
from kgrecall.recall.fusion.merged_lists import MergedLists, Values, merge_lists
from kgrecall.recall.fusion.new_items import CURIOUS, MAIN, VISITOR, Populations, with_new_items
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.fusion.surroundings import Surroundings, log_length, log_popularity
from kgrecall.recall.histories import Histories
from kgrecall.types import BoolArray, FloatArray, IntArray, Interactions

HITS = 200
_BLOCK = 4000
"""Queries of a crowd whose lists are merged at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """q validation queries of one or more folds.

    Shapes: ``hits`` per channel, over q queries; ``truth_indptr`` int64 (q + 1,), ``truth_pos`` int64: their held-out items;
    ``new`` bool (folds, num_items): see :class:`~kgrecall.jobs.folds.Fold`; ``kind`` int8 (q,): see
    :mod:`kgrecall.recall.fusion.new_items`. ``crowd``: main queries of further users, in blocks, that teach the network of
    known items alone.
    """

    hits: dict[str, Hits]
    truth_indptr: IntArray
    truth_pos: IntArray
    around: Surroundings
    new: BoolArray
    kind: NDArray[np.int8]
    crowd: tuple[Asked, ...] = ()

    @classmethod
    def of(cls, folds: Sequence[Fold], engine_of: Callable[[Fold], RecallEngine], *, crowd: bool = True) -> Asked:
        """Ask the engine of each fold, built from its training events, about the fold's users.

        Args:
            engine_of: builds an engine, or gives one; it is let go before the next fold's.
            crowd: ask the crowd, too; only a learned fusion has a use for it.
        """
        asked = [_Group.both(fold, engine_of(fold), crowd=crowd) for fold in folds]
        groups = [group for group, _ in asked]
        names = [name for name in groups[0].hits if all(name in group.hits for group in groups)]
        further = (cls._of([fold], [block], names) for fold, (_, blocks) in zip(folds, asked, strict=True) for block in blocks)
        return replace(cls._of(folds, groups, names), crowd=tuple(further))

    @classmethod
    def _of(cls, folds: Sequence[Fold], groups: Sequence[_Group], names: Sequence[str]) -> Asked:
        """The queries of one group of each fold."""
        return cls(
            {name: _stacked([group.hits[name] for group in groups]) for name in names},
            _indptr(np.concatenate([group.num_true for group in groups])),
            np.concatenate([group.truth for group in groups]),
            Surroundings(
                np.stack([group.popularity for group in groups]),
                np.repeat(np.arange(len(folds)), [len(group.kind) for group in groups]),
                log_length(_indptr(np.concatenate([group.lengths for group in groups]))),
                np.concatenate([group.kind for group in groups]) == VISITOR,
            ),
            np.stack([fold.new for fold in folds]),
            np.concatenate([group.kind for group in groups]),
        )

    @property
    def num_queries(self) -> int:
        """Those of the crowd, too."""
        return len(self.kind) + sum(len(block.kind) for block in self.crowd)

    def only(self, names: Collection[str]) -> Asked:
        """What these channels answer."""
        hits = {name: hits for name, hits in self.hits.items() if name in names}
        return replace(self, hits=hits, crowd=tuple(block.only(names) for block in self.crowd))

    def merged(self, config: FusionConfig, names: Sequence[str]) -> MergedLists:
        """The lists of some channels, calibrated by ``config``."""
        return merge_lists({name: self.hits[name] for name in names}, self.truth_indptr, self.truth_pos, config)

    def populations(self, config: FusionConfig, names: Sequence[str]) -> Populations:
        """The lists of some channels, and what they hold of known and of new items."""
        return Populations.of(self.merged(config, names), self.around, self.new, self.truth_indptr, self.truth_pos, self.kind)

    def fit(self, config: FusionConfig, names: Sequence[str] | None = None) -> FittedFusion | None:
        """The weights of one method on some channels, all when not named; None where ``learned`` has too few queries.

        The value is that of known items: how new ones compete with them is fitted afterwards. That of a learned combiner comes
        from queries it was not trained on, so that it wins only when it generalises.
        """
        names = tuple(self.hits) if names is None else tuple(names)
        lists = self.populations(config, names)
        fitted = weigh(lists.known, names, config)
        (visitors,) = _ndcg(lists.visiting, [{name: fitted.config.weight(name) for name in names}])
        fitted = replace(fitted, config=with_new_items(fitted.config, lists, names), visitors=visitors)
        if config.method != "learned":
            return fitted
        return fit_learned(fitted, lists, names, self.around, self.of_crowd(config, names))

    def of_crowd(self, config: FusionConfig, names: Sequence[str]) -> Iterator[tuple[MergedLists, Surroundings]]:
        """What the lists of each block hold of known items."""
        for block in self.crowd:
            lists = block.merged(config, names)
            met = ~np.isnan(block.around.of(lists.queries[:, None], lists.positions))
            yield lists.among(met, lists.num_true), block.around

    def best(
        self, methods: Sequence[FusionConfig], *, keep: Collection[str] | None = None
    ) -> tuple[FittedFusion, tuple[str, ...]]:
        """The fusion with the best NDCG@20 among these methods, each with its own best weights, and what was left out.

        All queries count alike, those of known users and those of visitors. A learned one stands unless another is better by
        more than a standard error: it is measured on queries that its network did not see, and the others, for known users,
        on those that their weights were fitted on.

        Args:
            keep: drop channels that are not missed, but none of these; None: drop none. The fusion has weights for the
                channels that stay.
        """
        names, notes = self.needed(methods[0], keep) if keep is not None else (tuple(self.hits), ())
        fitted = [found for method in methods if (found := self.fit(method, names)) is not None]
        return max(fitted, key=_worth), notes

    def needed(self, config: FusionConfig, keep: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The channels that the fused list misses, for known items or for new ones among themselves, and a sentence on each of
        the others. Those to ``keep`` stay whatever they add."""
        names = tuple(self.hits)
        lists = self.populations(config, names)
        dropped = _dispensable(lists.known, names, config, keep)
        if lists.enough:
            dropped = {name: dropped[name] for name in _dispensable(lists.new, names, config, keep) if name in dropped}
        return tuple(name for name in names if name not in dropped), tuple(dropped.values())


def _worth(fitted: FittedFusion) -> float:
    """What a fusion is compared by."""
    values = np.concatenate([fitted.values, fitted.visitors])
    error = values.std() / np.sqrt(len(values)) if fitted.config.method == "learned" else 0.0
    return float(values.mean() + error)


def _dispensable(lists: MergedLists, names: Sequence[str], config: FusionConfig, keep: Collection[str]) -> dict[str, str]:
    """Channels that these lists do not need, and why.

    The channel that is missed least goes first, until each that is left adds at least half a standard error of its gain in
    NDCG@20; with weights fitted once.
    """
    fitted, dropped = weigh(lists, names, config).config, dict[str, str]()
    weights = {name: fitted.weight(name) for name in names}
    while len(dropped) < len(names) - 1:
        tried = [name for name in names if name not in keep and name not in dropped]
        now, *left = _ndcg(lists, [weights, *({**weights, name: 0.0} for name in tried)])
        gains = {name: now - without for name, without in zip(tried, left, strict=True)}
        worst = min(gains, key=lambda name: gains[name].mean(), default=None)
        if worst is None or gains[worst].mean() > 0.5 * gains[worst].std() / np.sqrt(len(now)):
            break
        lost = gains[worst].mean()
        dropped[worst] = f"The channel {worst} was dropped: it added {lost:+.4f} to a validation NDCG@20 of {now.mean():.4f}."
        weights[worst] = 0.0
    return dropped


def _ndcg(lists: MergedLists, weights: Sequence[Mapping[str, float]]) -> Values:
    """Of lists by each of these weights, of what has any: float64 (n, q)."""
    return lists.ndcg_by(np.array([list(each.values()) for each in weights], np.float32), 20, above=0)


_Part = tuple[int, IntArray, Histories, Interactions, dict[str, Hits]]
"""The kind of some queries, who asks, their histories, what is held out, and what every channel answers."""


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Queries of one fold, such as its users, the curious, and the visitors; ``popularity`` as its engine knows it."""

    hits: dict[str, Hits]
    popularity: FloatArray
    kind: NDArray[np.int8]
    lengths: IntArray
    num_true: IntArray
    truth: IntArray

    @classmethod
    def both(cls, fold: Fold, engine: RecallEngine, *, crowd: bool) -> tuple[_Group, list[_Group]]:
        """The queries of a fold, and those of its crowd in blocks, where it is asked."""
        k, stored, told = min(HITS, len(fold.new)), engine.histories, Histories.of(fold.told)
        every, new = joined(fold.truth, fold.fresh), joined(fold.fresh, fold.earlier)
        parts = (
            (MAIN, fold.users, stored, every, engine.channel_hits(fold.users, k)),
            (CURIOUS, fold.curious, stored, new, engine.channel_hits(fold.curious, k, among=fold.new)),
            (VISITOR, fold.visitors, told, every, engine.channel_hits(fold.visitors, k, told=told)),
        )
        others = np.unique(fold.crowd.user_pos) if crowd else np.zeros(0, np.int64)
        blocks = [others[start : start + _BLOCK] for start in range(0, len(others), _BLOCK)]
        further = [(MAIN, users, stored, fold.crowd, engine.channel_hits(users, k)) for users in blocks]
        return cls._of(engine, parts), [cls._of(engine, [part]) for part in further]

    @classmethod
    def _of(cls, engine: RecallEngine, parts: Sequence[_Part]) -> _Group:
        lengths = [np.diff(histories.indptr)[users] for _, users, histories, _, _ in parts]
        truths = [_truth(events, users) for _, users, _, events, _ in parts]
        return cls(
            {name: _stacked([hits[name] for *_, hits in parts]) for name in engine.channel_names},
            log_popularity(engine.popularity),
            np.repeat(np.array([kind for kind, *_ in parts], np.int8), [len(users) for _, users, *_ in parts]),
            np.minimum(np.concatenate(lengths), engine.config.max_history),
            np.concatenate([counts for counts, _ in truths]),
            np.concatenate([items for _, items in truths]),
        )


def _truth(events: Interactions, users: IntArray) -> tuple[IntArray, IntArray]:
    """How many held-out items each of these users has, and which."""
    row = np.full(events.num_users, -1)
    row[users] = np.arange(len(users))
    mine = events.take(row[events.user_pos] >= 0)
    asked = row[mine.user_pos]
    return np.bincount(asked, minlength=len(users)), mine.item_pos[np.argsort(asked, kind="stable")]


def _indptr(counts: IntArray) -> IntArray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _stacked(hits: Sequence[Hits]) -> Hits:
    return Hits(np.concatenate([h.positions for h in hits]), np.concatenate([h.scores for h in hits]))
