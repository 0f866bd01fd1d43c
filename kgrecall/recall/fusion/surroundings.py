"""What the learned combiner is told beside the hits: how popular items are, how long a history is, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What is known beside the hits.

    Shapes: ``popularity`` float32 (sources, num_items), from :func:`log_popularity`, as it was when each source was counted;
    ``source`` int64 (q,): which of them a query sees; ``history`` float32 (q,), from :func:`log_length`; ``unknown`` bool (q,):
    whose asker the build knew nothing of.
    """

    popularity: FloatArray
    source: IntArray
    history: FloatArray
    unknown: BoolArray

    @classmethod
    def now(cls, popularity: FloatArray, history_indptr: IntArray, unknown: BoolArray) -> Surroundings:
        """One popularity for all: float32 (num_items,), from :func:`log_popularity`."""
        return cls(popularity[None], np.zeros(len(history_indptr) - 1, np.int64), log_length(history_indptr), unknown)

    def rows(self, rows: IntArray) -> Surroundings:
        """Of some queries."""
        return Surroundings(self.popularity, self.source[rows], self.history[rows], self.unknown[rows])

    def of(self, query: IntArray, positions: PosArray) -> FloatArray:
        """Popularity of items as these queries see it, NaN where nobody has chosen one; all of one shape. -1 counts as 0."""
        return self.popularity[self.source[query], np.maximum(positions, 0)]


def log_popularity(popularity: FloatArray) -> FloatArray:
    """Popularity against the catalogue's mean, as a logarithm: float32 (num_items,), whatever time the counts cover.

    NaN where nobody has chosen an item: how popular it will be is not known.
    """
    logarithm: FloatArray = np.log((1 + popularity) / (1 + popularity.mean())).astype(np.float32)
    return np.where(popularity > 0, logarithm, np.float32(np.nan))


def log_length(indptr: IntArray) -> FloatArray:
    """``log(1 + length)`` of ragged rows: float32 (q,)."""
    return np.log1p(np.diff(indptr)).astype(np.float32)
