"""From positions and scores to what a caller gets: ids, titles, how it was served, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.panel import PanelAnswer
from kgrecall.recall.planner import Planned
from kgrecall.recall.requests import Request
from kgrecall.types import Candidates, FloatArray, PosArray


class AnswerWriter:
    """Writes answers.

    Args:
        items: the vocabulary of items.
        titles: a title per item, None where there is none; None when items have no titles.
    """

    def __init__(self, items: Vocabulary, titles: Sequence[str | None] | None) -> None:
        self._item_ids: list[str] = items.ids.to_pylist()
        self._titles = titles

    def fused(self, request: Request, answer: PanelAnswer, i: int, positions: PosArray, notes: tuple[str, ...]) -> Candidates:
        """Query i of a fused answer; ``positions`` int32 (k,), filled up and padded with -1."""
        positions = positions[positions >= 0]
        n = len(positions)
        scores = answer.fused.scores[i, :n].copy()
        filled = n - int((scores > -np.inf).sum())
        scores[n - filled :] = -np.arange(1, filled + 1)
        raw = {name: answer.fused.channel_scores[c, i, :n] for c, name in enumerate(answer.names)}
        return self._written(request, positions, scores, raw, bool(answer.personal[i]), filled, notes)

    def planned(self, request: Request, found: Planned, notes: tuple[str, ...]) -> Candidates:
        """The answer of a plan."""
        return self._written(
            request,
            found.positions,
            found.scores,
            found.channel_scores,
            found.personal,
            found.filled,
            notes,
            found.effects,
            found.trace,
        )

    def _written(
        self,
        request: Request,
        positions: PosArray,
        scores: FloatArray,
        channel_scores: Mapping[str, FloatArray],
        personal: bool,
        filled: int,
        notes: tuple[str, ...],
        effects: Mapping[str, FloatArray] | None = None,
        trace: tuple[str, ...] = (),
    ) -> Candidates:
        shown = positions.tolist()
        notes = request.notes + notes
        if filled:
            notes += (f"{filled} of {len(shown)} places were filled up by popularity; they score below 0.",)
        return Candidates(
            item_ids=tuple([self._item_ids[p] for p in shown]),
            scores=scores,
            channel_scores=channel_scores,
            titles=() if self._titles is None else tuple([self._titles[p] for p in shown]),
            served=("hot" if request.known else "warm") if personal else "cold",
            notes=notes,
            effects=effects or {},
            trace=trace,
        )
