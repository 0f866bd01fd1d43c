"""What everybody chooses: the channel that can answer anyone."""

from __future__ import annotations

import numpy as np

from kgrecall.errors import ConfigError
from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch
from kgrecall.types import FloatArray, Interactions

MS_PER_DAY = 86_400_000
POPULAR = "POPULAR"
"""The relation of evidence from a user to a popular item."""


def item_popularity(interactions: Interactions, *, half_life_days: float | None = None) -> FloatArray:
    """Events per item, float32 (num_items,), each counting ``0.5 ** (age / half_life_days)``; age is taken from the last event.

    Raises:
        ConfigError: a half-life that is not positive, or events without time.
    """
    if half_life_days is None:
        return np.bincount(interactions.item_pos, minlength=interactions.num_items).astype(np.float32)
    if half_life_days <= 0 or interactions.time is None:
        raise ConfigError(
            "half_life_days",
            expected="a positive number of days, and interactions with time",
            got=half_life_days,
            remedy="Leave it out to count all events alike.",
        )
    if not len(interactions):
        return np.zeros(interactions.num_items, np.float32)
    age = (interactions.time.max() - interactions.time) / (half_life_days * MS_PER_DAY)
    return np.bincount(interactions.item_pos, weights=0.5**age, minlength=interactions.num_items).astype(np.float32)


class PopularityChannel:
    """The most popular eligible items, the same for everybody. Items with popularity 0 are no candidates.

    Args:
        popularity: float32 (num_items,), from :func:`item_popularity`.
    """

    def __init__(self, popularity: FloatArray, *, name: str = "popularity", naming: Naming | None = None) -> None:
        self.name = name
        self._popularity = np.asarray(popularity, np.float32)
        ranked = np.argsort(-self._popularity, kind="stable").astype(np.int32)
        self._order = ranked[self._popularity[ranked] > 0]
        self._naming = naming or Naming()

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`."""
        hits = Hits.empty(len(queries), k)
        order = self._order if queries.mask is None else self._order[queries.mask[self._order]]
        for i in range(len(queries)):
            excluded = queries.excluded(i)
            best = order[: k + len(excluded)]
            best = best[~np.isin(best, excluded)][:k]
            hits.positions[i, : len(best)] = best
            hits.scores[i, : len(best)] = self._popularity[best]
        return hits

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """One step, user -POPULAR- item, when anybody chose it."""
        if limit < 1 or self._popularity[item_pos] <= 0:
            return []
        nodes = ((self._naming.user, int(query.user_pos[0])), (self._naming.item, item_pos))
        return [Evidence(nodes, (POPULAR,), 1.0)]
