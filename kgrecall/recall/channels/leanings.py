"""How much more, or less, each item is chosen under some circumstance: by people with an attribute, at an hour, on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ShapeError
from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch, Ragged, collect, top_positive
from kgrecall.recall.channels.sparse_rows import Matrix
from kgrecall.types import FloatArray, PosArray

PEERS, MOMENT = "PEERS", "CHOSEN_AT"
"""Relations of evidence from a visitor to what people with an attribute choose, and to what is chosen at a moment; the words of
the attribute or the moment follow."""
SMOOTHING = 5.0
"""Imagined average events per item and value: what is not known of rare items."""


@dataclass(frozen=True, slots=True, eq=False)
class Leanings:
    """Counts of choices by value.

    Shapes: ``counts`` csr float32 (num_values, num_items): choices of an item under a value; ``overall`` float32 (num_items,):
    all choices.
    """

    counts: Matrix
    overall: FloatArray
    smoothing: float = SMOOTHING

    def __post_init__(self) -> None:
        if self.counts.shape[1] != len(self.overall):
            raise ShapeError(
                "Leanings",
                expected=f"counts over {len(self.overall)} items",
                got=self.counts.shape,
                remedy="Count both on the same interactions.",
            )

    def lift(self, code: int) -> FloatArray:
        """``(counts + s) / (expected + s)``, float32 (num_items,): 1 where an item is chosen as often as anywhere else.

        ``expected`` is what the value's choices would be if they fell on items as all choices do.
        """
        part = slice(self.counts.indptr[code], self.counts.indptr[code + 1])
        columns, values = self.counts.indices[part], self.counts.data[part]
        share = float(values.sum()) / max(float(self.overall.sum()), 1.0)
        lift = np.full(len(self.overall), self.smoothing, np.float32)
        lift[columns] += values
        lift /= self.overall * np.float32(share) + np.float32(self.smoothing)
        return lift

    def factor(self, codes: PosArray) -> FloatArray:
        """The product of the lifts of some values, each to the power ``1 / sqrt(number of values)``, since attributes of people
        (and of moments) are seldom independent."""
        product = np.ones(len(self.overall), np.float32)
        for code in codes.tolist():
            product *= self.lift(code)
        return product if len(codes) < 2 else product ** np.float32(1 / np.sqrt(len(codes)))


def count_choices(under: Matrix, choices: Matrix, smoothing: float = SMOOTHING) -> Leanings:
    """Leanings from who (or which event) belongs to which value, and what was chosen.

    Shapes: under (n, num_values) binary, choices (n, num_items) -> counts (num_values, num_items).
    """
    counts: Matrix = (under.T @ choices).tocsr()
    counts.sort_indices()
    return Leanings(counts, np.asarray(choices.sum(axis=0)).ravel().astype(np.float32), smoothing)


class LeaningChannel:
    """``popularity * product of lifts``: what people like this visitor choose, or what is chosen at such a moment.

    A query without values of its own gets nothing.

    Args:
        leanings: choices by value.
        popularity: float32 (num_items,), as the channel ``popularity`` has it.
        codes_of: which values a batch asks for.
        describe: a value in words, for evidence.
        of_everybody: the values say nothing of the visitor: an answer by this channel alone is not personal.
        relation: what evidence calls the step from the user to the item; the words follow it.
    """

    def __init__(
        self,
        leanings: Leanings,
        popularity: FloatArray,
        codes_of: Callable[[QueryBatch], Ragged | None],
        describe: Callable[[int], str],
        *,
        name: str,
        relation: str,
        of_everybody: bool = False,
        naming: Naming | None = None,
    ) -> None:
        self.name, self.of_everybody = name, of_everybody
        self._leanings, self._codes_of, self._describe = leanings, codes_of, describe
        self._popularity: NDArray[np.float32] = np.asarray(popularity, np.float32)
        self._relation, self._naming = relation, naming or Naming()

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`."""
        asked = self._codes_of(queries)
        if asked is None:
            return Hits.empty(len(queries), k)

        def best(i: int) -> tuple[PosArray, FloatArray]:
            codes = asked.row(i)
            if not len(codes):
                return np.zeros(0, np.int32), np.zeros(0, np.float32)
            scores = self._popularity * self._leanings.factor(codes)
            if queries.mask is not None:
                scores *= queries.mask
            scores[queries.excluded(i)] = 0
            return top_positive(scores, k)

        return collect(queries, k, best)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """The values under which the item is chosen more than elsewhere, strongest first."""
        asked = self._codes_of(query)
        codes = [] if asked is None else asked.row(0).tolist()
        gains = {code: float(np.log(self._leanings.lift(code)[item_pos])) for code in codes}
        strong = sorted((code for code in codes if gains[code] > 0), key=lambda code: -gains[code])
        total = sum(gains[code] for code in strong)
        ends = (self._naming.user, int(query.user_pos[0])), (self._naming.item, item_pos)
        return [
            Evidence(ends, (f"{self._relation} {self._describe(code)}",), gains[code] / total)
            for code in strong[: max(limit, 0)]
        ]
