"""Channels asked in rounds, each only when the rounds before it found too little."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kgrecall.errors import ConfigError, nearest
from kgrecall.recall.base import Hits, QueryBatch
from kgrecall.recall.filtering.item_values import ItemValues
from kgrecall.recall.panel import Panel, PanelAnswer
from kgrecall.recall.planning.plan import GoOn, Round

_ALL = (Round(),)


class Rounds:
    """Runs the rounds of a plan for one query.

    Args:
        panel: the channels.
        values: of items, for conditions on variety; None where the engine has no item columns.
    """

    def __init__(self, panel: Panel, values: ItemValues | None) -> None:
        self._panel, self._values = panel, values

    def ask(
        self, batch: QueryBatch, rounds: tuple[Round, ...], names: tuple[str, ...], k: int, pool: int, *, whole: bool = False
    ) -> tuple[PanelAnswer, list[str]]:
        """The fused candidates of a batch of one, and what each round found, in a sentence.

        Args:
            names: the channels of the query: those of a round that names none.
            k: places of the answer, which conditions look at.
            pool: candidates kept.
            whole: keep all that any channel found.

        Raises:
            ConfigError: a channel, property or relation that is not there.
        """
        found: dict[str, tuple[Hits, float]] = {}
        trace: list[str] = []
        rounds = rounds or _ALL
        for number, now in enumerate(rounds, start=1):
            asked = names if now.channels is None else self._panel.choose(now.channels)
            _check_names(asked, (*now.min_scores, *now.at_most))
            for name, hits in zip(asked, self._panel.collect(batch, asked, k), strict=True):
                found[name] = _limited(hits, now.min_scores.get(name), now.at_most.get(name)), now.weight
            found_by_all = sum(hits.positions.shape[1] for hits, _ in found.values())
            kept = min(batch.num_items, max(pool, found_by_all)) if whole else pool
            answer = self._fused(batch, found, kept)
            count = int((answer.fused.positions[0] >= 0).sum())
            why = self._reason(now.go_on, answer, k, count) if number < len(rounds) else None
            trace.append(f"round {number} ({', '.join(asked)}): {count} candidates" + (f"; goes on: {why}" if why else ""))
            if why is None:
                break
        return answer, trace

    def _fused(self, batch: QueryBatch, found: dict[str, tuple[Hits, float]], pool: int) -> PanelAnswer:
        hits, weights = [hit for hit, _ in found.values()], [weight for _, weight in found.values()]
        weighed = any(weight != 1 for weight in weights)
        return self._panel.combine(batch, tuple(found), hits, pool, weights=weights if weighed else None)

    def _reason(self, go_on: GoOn, answer: PanelAnswer, k: int, count: int) -> str | None:
        """Why the next round is asked; None when it is not."""
        if go_on.fewer_than is not None and count < go_on.fewer_than:
            return f"fewer than {go_on.fewer_than}"
        if go_on.below is not None and (count < k or answer.fused.scores[0, k - 1] < go_on.below):
            return f"place {k} scores below {go_on.below:g}"
        first = answer.fused.positions[0, : min(k, count)]
        for name, wanted in go_on.less_variety.items():
            kinds = len(np.unique(require_values(self._values, name).codes(name, first)[1]))
            if kinds < wanted:
                return f"{kinds} values of {name}, fewer than {wanted}"
        return None


def require_values(values: ItemValues | None, name: str) -> ItemValues:
    """Raises ConfigError where an engine has no item columns."""
    if values is None:
        raise ConfigError("plan", expected="an engine with item columns", got=name, remedy="Build the engine from an artifact.")
    return values


def _check_names(asked: tuple[str, ...], named: Iterable[str]) -> None:
    for name in named:
        if name not in asked:
            raise ConfigError("round", expected="channels of this round", got=name, remedy=nearest(name, asked))


def _limited(hits: Hits, min_score: float | None, at_most: int | None) -> Hits:
    """Hits without those of a low score or a late rank. Lists are sorted, so that what is left is their head."""
    dropped = np.zeros(hits.positions.shape, np.bool_)
    if min_score is not None:
        dropped |= hits.scores < min_score
    if at_most is not None:
        dropped[:, at_most:] = True
    if not dropped.any():
        return hits
    return Hits(
        np.where(dropped, -1, hits.positions).astype(np.int32), np.where(dropped, -np.inf, hits.scores).astype(np.float32)
    )
