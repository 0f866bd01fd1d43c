"""From positions and scores to what a caller gets: ids, titles, how it was served, and notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.panel import PanelAnswer
from kgrecall.recall.planning.planner import Planned
from kgrecall.recall.queries.requests import Request
from kgrecall.types import Candidates, PosArray


class AnswerWriter:
    """Writes answers.

    Args:
        items: the vocabulary of items.
        titles: a title per item, None where there is none; None when items have no titles.
    """

    def __init__(self, items: Vocabulary, titles: Sequence[str | None] | None) -> None:
        self._item_ids: list[str] = items.ids.to_pylist()
        self._titles = titles

    def fused(
        self, requests: Sequence[Request], answer: PanelAnswer, positions: PosArray, notes: tuple[str, ...]
    ) -> Iterator[Candidates]:
        """The fused answers to some requests; ``positions`` int32 (q, k): the fused ones, filled up and padded with -1."""
        fused = answer.fused
        held, found = ((array >= 0).sum(axis=1).tolist() for array in (positions, fused.positions))
        personal = answer.personal.tolist()
        for i, request in enumerate(requests):
            n = min(held[i], request.query.k)
            filled = max(n - found[i], 0)
            scores, said = fused.scores[i, :n], notes
            if filled:
                scores[n - filled :] = -np.arange(1, filled + 1)
                said += (_filled(filled, n),)
            yield Candidates(
                positions[i, :n],
                self._item_ids,
                scores,
                dict(zip(answer.names, fused.channel_scores[:, i, :n], strict=True)),
                self._titles,
                _served(request, personal[i]),
                request.notes + said,
            )

    def planned(self, request: Request, found: Planned, notes: tuple[str, ...]) -> Candidates:
        """The answer of a plan."""
        if found.filled:
            notes += (_filled(found.filled, len(found.positions)),)
        return Candidates(
            found.positions,
            self._item_ids,
            found.scores,
            found.channel_scores,
            self._titles,
            _served(request, found.personal),
            request.notes + notes,
            found.effects,
            found.trace,
        )


def _served(request: Request, personal: bool) -> str:
    return ("hot" if request.known else "warm") if personal else "cold"


def _filled(filled: int, n: int) -> str:
    return f"{filled} of {n} places were filled up by popularity; they score below 0."
