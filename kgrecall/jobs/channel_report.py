"""What the channels find together, what each of them is worth beside the others, and how much they repeat one another."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kgrecall.evaluate.tables import plain_table
from kgrecall.jobs.asked import Asked
from kgrecall.recall.fusion.combiner import Combiner
from kgrecall.recall.fusion.combiner_fit import odds_of
from kgrecall.recall.fusion.merged_lists import MergedLists, Values
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.fusion.surroundings import Surroundings
from kgrecall.types import BoolArray

_K = 20


@dataclass(frozen=True, slots=True)
class ChannelPart:
    """One channel. ``holds``: share of a query's held-out items among its candidates; ``only``: those that no other channel
    has; ``alone``: NDCG@20 of its own list; ``gain``: what the fused NDCG@20 loses without it, with its standard error."""

    name: str
    holds: float
    only: float
    alone: float
    gain: float
    gain_error: float


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """``ceiling``: share of a query's held-out items among all candidates, before the cut: no fusion reaches more. ``fused``:
    NDCG@20; ``overlap``: how much of channel i's top 50 channel j also found. All are means over ``num_queries`` queries."""

    num_queries: int
    depth: int
    ceiling: float
    fused: float
    parts: tuple[ChannelPart, ...]
    overlap: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, asked: Asked, fusion: FusionConfig) -> ChannelReport:
        """Measure the channels of ``fusion`` on queries whose right answers are known. A channel is taken out of the fused
        list without fitting the others again, so that two that replace each other both seem dispensable: see the overlap."""
        names = tuple(asked.hits)
        lists = asked.merged(fusion, names)
        fused = fused_ndcg(lists, fusion, names, asked.around)
        parts = []
        for i, name in enumerate(names):
            gain = fused - fused_ndcg(without(lists, i), fusion, names, asked.around)
            only: BoolArray = lists.found[..., i] & (lists.found.sum(axis=-1) == 1)
            parts.append(
                ChannelPart(
                    name=name,
                    holds=_share(lists, lists.found[..., i]),
                    only=_share(lists, only),
                    alone=float(lists.ndcg(np.where(lists.found[..., i], lists.scores[..., i], -np.inf), _K).mean()),
                    gain=float(gain.mean()),
                    gain_error=float(gain.std() / np.sqrt(len(gain))),
                )
            )
        depth = max(hits.positions.shape[1] for hits in asked.hits.values())
        ceiling = _share(lists, lists.found.any(axis=-1))
        return cls(len(lists.queries), depth, ceiling, float(fused.mean()), tuple(parts), _overlap(asked))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        header = ["channel", "holds", "only it holds", f"NDCG@{_K} alone", "gain in the fused list", "repeats most"]
        rows = [
            [
                part.name,
                f"{part.holds:.4f}",
                f"{part.only:.4f}",
                f"{part.alone:.4f}",
                f"{part.gain:+.4f} ± {part.gain_error:.4f}",
                self._nearest(i),
            ]
            for i, part in enumerate(self.parts)
        ]
        rows.append(["all", f"{self.ceiling:.4f}", "", f"{self.fused:.4f}", "", ""])
        return plain_table(header, rows)

    def _nearest(self, i: int) -> str:
        others = [(share, part.name) for j, (share, part) in enumerate(zip(self.overlap[i], self.parts, strict=True)) if j != i]
        return "{1} {0:.2f}".format(*max(others)) if others else ""


def fused_ndcg(lists: MergedLists, fusion: FusionConfig, names: tuple[str, ...], around: Surroundings) -> Values:
    """NDCG@20 of each query as ``fusion`` would serve it: float64 (queries,)."""
    if fusion.combiner is not None and fusion.combiner.channels == names:
        odds = odds_of(lists, around, Combiner(fusion.combiner).log_odds)
        return lists.ndcg(np.where(lists.found.any(axis=-1), odds, -np.inf), _K)
    known, new = (np.array([of(name) for name in names], np.float32) for of in (fusion.weight, fusion.new_weight))
    totals = np.where(np.isnan(around.of(lists.queries[:, None], lists.positions)), lists.scores @ new, lists.scores @ known)
    return lists.ndcg(np.where(totals > 0, totals, -np.inf), _K)


def without(lists: MergedLists, channel: int) -> MergedLists:
    """The same lists, had one channel found nothing."""
    scores, found = lists.scores.copy(), lists.found.copy()
    scores[..., channel], found[..., channel] = 0, False
    return MergedLists(lists.queries, lists.positions, scores, found, lists.relevant, lists.num_true)


def _share(lists: MergedLists, held: BoolArray | np.bool) -> float:
    return float(((lists.relevant & held).sum(axis=1) / lists.num_true).mean())


def _overlap(asked: Asked, k: int = 50) -> tuple[tuple[float, ...], ...]:
    heads = [hits.positions[:, :k] for hits in asked.hits.values()]
    keys = [np.unique((np.arange(len(head))[:, None] << 32 | head)[head >= 0]) for head in heads]
    return tuple(tuple(float(np.isin(mine, theirs).sum() / max(1, len(mine))) for theirs in keys) for mine in keys)
