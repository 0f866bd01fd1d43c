"""What the learned combiner is told beside the hits: how popular items are, how long a history is, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What is known beside the hits.

    Shapes: ``popularity`` float32 (sources, num_items), from :func:`log_popularity`, as it was when each source was counted;
    ``source`` int64 (q,): which of them a query sees; ``history`` float32 (q,), from :func:`log_length`, and ``usual`` float32
    (q,), from :func:`mean_popularity`; ``unknown`` bool (q,): whose asker the build knew nothing of.
    """

    popularity: FloatArray
    source: IntArray
    history: FloatArray
    usual: FloatArray
    unknown: BoolArray

    @classmethod
    def now(cls, popularity: FloatArray, indptr: IntArray, item_pos: PosArray, unknown: BoolArray) -> Surroundings:
        """One popularity for all: float32 (num_items,), from :func:`log_popularity`; ragged rows of histories."""
        usual = mean_popularity(popularity, indptr, item_pos)
        return cls(popularity[None], np.zeros(len(indptr) - 1, np.int64), log_length(indptr), usual, unknown)

    def rows(self, rows: IntArray) -> Surroundings:
        """Of some queries."""
        return replace(
            self, source=self.source[rows], history=self.history[rows], usual=self.usual[rows], unknown=self.unknown[rows]
        )

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


def mean_popularity(popularity: FloatArray, indptr: IntArray, item_pos: PosArray) -> FloatArray:
    """How popular is, in the mean, what each history holds of items that somebody has chosen: float32 (q,), 0 where there are
    none."""
    row, seen = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)), popularity[item_pos]
    met = ~np.isnan(seen)
    sums = np.bincount(row[met], seen[met], minlength=len(indptr) - 1)
    return (sums / np.maximum(np.bincount(row[met], minlength=len(indptr) - 1), 1)).astype(np.float32)
