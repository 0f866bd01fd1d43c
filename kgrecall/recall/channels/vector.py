"""Nearest items by learned vectors."""

from __future__ import annotations

import numpy as np

from kgrecall.errors import ShapeError, Shown
from kgrecall.index.base import VectorIndex
from kgrecall.kernels.tier import compiled
from kgrecall.recall.base import Evidence, Hits, Naming, QueryBatch
from kgrecall.recall.channels.item_knn import history_evidence
from kgrecall.recall.channels.sparse_rows import is_in
from kgrecall.types import BoolArray, Embeddings, FloatArray, PosArray

NEAR = "NEAR"
"""The relation of evidence between two items whose learned vectors are close."""
_MANY_EXCLUDED = 512
"""Up to this many excluded items the search fetches more and drops them; beyond, it masks them."""
_ROUNDING = 1e-6
"""A difference of two cosines that says nothing."""


class VectorChannel:
    """The items whose vectors have the largest inner product with the user's.

    A known user has a trained vector. Everybody else is placed by the history: ``normalise(sum_j w_j item_inputs[j])``.

    Args:
        index: holds ``embeddings.items``.
        embeddings: of a trained model.
        served: bool (num_items,) or None: items that have a vector at all; the others are no candidates.
    """

    def __init__(
        self,
        index: VectorIndex,
        embeddings: Embeddings,
        *,
        name: str = "vector",
        naming: Naming | None = None,
        served: BoolArray | None = None,
    ) -> None:
        check_index(index, embeddings.items)
        self.name = name
        self._index, self._embeddings = index, embeddings
        self._served = served
        self._naming = naming or Naming()

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        """See :meth:`kgrecall.recall.base.Channel.recall`; without a user vector and a history there is no answer."""
        return search_eligible(self._index, self._user_vectors(queries), queries, k, self._served)

    def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
        """The history items without which this item would score lower, by how much."""
        score = float(self._user_vectors(query.rows(0, 1))[0] @ self._embeddings.items[item_pos])
        items, votes = falls_without(self._embeddings.item_inputs, query, self._embeddings.items[item_pos], score)
        return history_evidence(query, item_pos, items, votes, limit, self._naming, NEAR)

    def _user_vectors(self, queries: QueryBatch) -> FloatArray:
        """float32 (q, dim), a zero row where nothing is known."""
        users = self._embeddings.users
        known = (queries.user_pos >= 0) & (queries.user_pos < len(users))
        if known.all():
            vectors = users[queries.user_pos]
        else:
            vectors = np.zeros((len(queries), users.shape[1]), np.float32)
            vectors[known] = users[queries.user_pos[known]]
        usable = _usable(vectors)
        if not usable.all():
            for i in np.flatnonzero(~usable).tolist():
                vectors[i] = history_sums(self._embeddings.item_inputs, queries.rows(i, i + 1))[0]
        return vectors


def _usable(vectors: FloatArray) -> BoolArray:
    """Rows that point somewhere: bool (n,), False for zero rows and for rows that are not finite."""
    squared = np.einsum("ij,ij->i", vectors, vectors)
    return np.asarray((squared > 0) & np.isfinite(squared), np.bool_)


def falls_without(item_vectors: FloatArray, query: QueryBatch, target: FloatArray, score: float) -> tuple[PosArray, FloatArray]:
    """By how much a score falls when a visitor is placed by the history without one of its items.

    Shapes: item_vectors float32 (num_items, dim), target float32 (dim,) -> distinct items int32 (m,), float32 (m,) >= 0.
    What rounding alone may bring about, as where two items share a vector, counts as 0.
    """
    items, place = np.unique(query.history_pos, return_inverse=True)
    weights = np.bincount(place, weights=query.history_weight, minlength=len(items)).astype(np.float32)
    parts = weights[:, None] * item_vectors[items]
    left = normalised(parts.sum(axis=0) - parts)
    if len(items) == 1:
        left[:] = 0  # not the rounding of a difference
    falls = score - left @ target
    return items.astype(np.int32), np.where(falls > _ROUNDING * max(abs(score), 1), falls, 0).astype(np.float32)


def history_sums(item_vectors: FloatArray, queries: QueryBatch) -> FloatArray:
    """``normalise(sum_j w_j item_vectors[j])`` over each history, zero rows for empty ones.

    Shapes: item_vectors float32 (num_items, dim) -> float32 (q, dim).
    """
    sums = np.zeros((len(queries), item_vectors.shape[1]), np.float32)
    for i in range(len(queries)):
        items, weights = queries.history(i)
        if len(items):
            sums[i] = weights @ item_vectors[items]
    return normalised(sums)


def normalised(vectors: FloatArray) -> FloatArray:
    """Rows scaled to length 1; zero rows, and rows that are not finite, stay as they are."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return (vectors / np.where((lengths > 0) & np.isfinite(lengths), lengths, 1)[:, None]).astype(np.float32, copy=False)


def check_index(index: VectorIndex, vectors: FloatArray) -> None:
    """Raises ShapeError unless the index has the size of these vectors."""
    if (index.num_vectors, index.dim) != vectors.shape:
        raise ShapeError(
            "index",
            expected=f"{vectors.shape[0]} vectors of dimension {vectors.shape[1]}",
            got=Shown(f"{index.num_vectors} of dimension {index.dim}"),
            remedy="Build the index from the same vectors.",
        )


def search_eligible(
    index: VectorIndex, vectors: FloatArray, queries: QueryBatch, k: int, served: BoolArray | None = None
) -> Hits:
    """The k nearest eligible items of each query with a vector; a zero vector, and one that is not finite, has no hits.

    Queries with few excluded items are searched together for ``k + excluded`` items; one with many has a mask of its own.

    Shapes: vectors float32 (q, dim), served bool (num_items,) or None: items that may be returned at all.
    """
    mask, asked = _both(queries.mask, served), _usable(vectors)
    counts = queries.exclude_indptr[1:] - queries.exclude_indptr[:-1]
    most = int(counts.max(initial=0))
    if (loops := compiled()) is not None and most <= _MANY_EXCLUDED and asked.all():
        nearest = index.search(vectors, min(k + most, index.num_vectors), mask=mask)
        return Hits(*loops.keep_eligible(nearest, (queries.exclude_indptr, queries.exclude_pos), queries.num_items, k))
    hits = Hits.empty(len(queries), k)
    together = np.flatnonzero(asked & (counts <= _MANY_EXCLUDED))
    if len(together):
        fetch = min(k + int(counts[together].max()), index.num_vectors)
        nearest = index.search(vectors[together], fetch, mask=mask)
        for i, positions, scores in zip(together, *nearest, strict=True):
            _keep_eligible(hits, int(i), positions, scores, queries.excluded(int(i)))
    for i in np.flatnonzero(asked & (counts > _MANY_EXCLUDED)):
        own = np.ones(queries.num_items, np.bool_) if mask is None else mask.copy()
        own[queries.excluded(int(i))] = False
        found = index.search(vectors[i : i + 1], min(k, index.num_vectors), mask=own)
        hits.positions[i, : found[0].shape[1]] = found[0][0]
        hits.scores[i, : found[1].shape[1]] = found[1][0]
    return hits


def _both(mask: BoolArray | None, served: BoolArray | None) -> BoolArray | None:
    if mask is None or served is None:
        return served if mask is None else mask
    return mask & served


def _keep_eligible(hits: Hits, i: int, positions: PosArray, scores: FloatArray, excluded: PosArray) -> None:
    """Write the first k of one query's neighbours that are not excluded."""
    kept = positions >= 0
    kept &= ~is_in(positions, excluded)
    places = np.flatnonzero(kept)[: hits.positions.shape[1]]
    hits.positions[i, : len(places)] = positions[places]
    hits.scores[i, : len(places)] = scores[places]
