"""What people write: a text that is searched for, as a vector, and what they say of their taste, as items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.errors import Unsupported
from kgrecall.recall.base import Channel, QueryBatch
from kgrecall.recall.panel import TEXT_CHANNEL
from kgrecall.types import BoolArray, FloatArray, PosArray, Query

EncodeText = Callable[[Sequence[str]], FloatArray]
"""float32 (n, dim) of n texts, in the space of the channel ``text``."""
NEAREST = 3
"""Items that stand for a taste, at most."""
TEMPERATURE = 0.05
"""An item that is less similar to a taste than the nearest by this much weighs 1/e of it."""
_LEAST = 0.05
"""What weighs less is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Taste:
    """Items that stand for a history, the nearest last: positions int32 (n,), weights float32 (n,), the largest of them 1."""

    items: PosArray
    weights: FloatArray


class Words:
    """Reads the texts of queries.

    Args:
        encode, nearest: without them queries with a text are refused; the channel that finds items by the text of a query.
        num_items: all items of the graph.
        shown: bool (num_items,), the items that may stand for a taste, since an answer names them; None: all.
    """

    def __init__(
        self, encode: EncodeText | None, nearest: Channel | None, num_items: int, shown: BoolArray | None = None
    ) -> None:
        self._encode, self._nearest, self._num_items, self._shown = encode, nearest, num_items, shown

    def texts(self, queries: Sequence[Query]) -> FloatArray | None:
        """What is searched for: float32 (q, dim) with zero rows where a query has no text; None when none has.

        Raises:
            Unsupported: a query has a text, and there is no encoder.
        """
        return self._encoded([query.text for query in queries], "Query.text")

    def tastes(self, queries: Sequence[Query]) -> list[Taste | None]:
        """One per query, None where it says nothing of a taste. Raises as :meth:`texts`."""
        texts = self._encoded([query.taste for query in queries], "Query.taste")
        if texts is None or self._nearest is None:
            return [None] * len(queries)
        none = np.zeros(len(queries) + 1, np.int64)
        batch = QueryBatch(
            num_items=self._num_items,
            user_pos=np.full(len(queries), -1, np.int64),
            history_indptr=none,
            history_pos=np.zeros(0, np.int32),
            history_weight=np.zeros(0, np.float32),
            exclude_indptr=none,
            exclude_pos=np.zeros(0, np.int32),
            mask=self._shown,
            text=texts,
        )
        hits = self._nearest.recall(batch, min(NEAREST, self._num_items))
        rows = zip(queries, hits.positions, hits.scores, strict=True)
        return [_taste(positions, scores) if _says(query.taste) else None for query, positions, scores in rows]

    def _encoded(self, given: Sequence[str | None], name: str) -> FloatArray | None:
        asking = [i for i, text in enumerate(given) if _says(text)]
        if not asking:
            return None
        if self._encode is None or self._nearest is None:
            raise Unsupported(
                name,
                expected=f"an engine with a text encoder and the channel {TEXT_CHANNEL!r}",
                got=given[asking[0]],
                remedy="Build with a text encoder, or ask without text.",
            )
        encoded = self._encode([given[i] or "" for i in asking])
        texts = np.zeros((len(given), encoded.shape[1]), np.float32)
        texts[asking] = encoded
        return texts


def _says(text: str | None) -> bool:
    return text is not None and bool(text.strip())


def _taste(positions: PosArray, scores: FloatArray) -> Taste:
    found = (positions >= 0) & (scores > 0)
    weights = np.exp((scores[found] - scores[found].max(initial=-np.inf)) / np.float32(TEMPERATURE))
    kept = np.flatnonzero(weights >= _LEAST)[::-1]
    return Taste(positions[found][kept], weights[kept].astype(np.float32))
