"""How well the current vectors find held-out items: the figure that decides when training stops."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from kgrecall.types import FloatArray, Interactions


def recall_at(
    k: int, users: FloatArray, items: FloatArray, history: sparse.csr_array, truth: Interactions, *, block: int = 2048
) -> float:
    """Mean over users of (hits in the top k) / (held-out items), ranking all items that the user has not met.

    Users without history cannot be placed by a model of interactions and are left out; 0 when nobody remains.
    Shapes: users float32 (num_users, d), items float32 (num_items, d), history csr (num_users, num_items).
    """
    wanted = sparse.coo_array((np.ones(len(truth), np.float32), (truth.user_pos, truth.item_pos)), history.shape).tocsr()
    wanted.data[:] = 1.0
    placed = np.flatnonzero((np.diff(wanted.indptr) > 0) & (np.diff(history.indptr) > 0))
    total = 0.0
    k = min(k, len(items))
    for start in range(0, len(placed), block):
        rows = placed[start : start + block]
        scores = users[rows] @ items.T
        seen = history[rows].tocoo()
        scores[seen.row, seen.col] = -np.inf
        top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        part = wanted[rows]
        hits = np.take_along_axis(part.toarray(), top, axis=1).sum(1)
        total += float((hits / np.diff(part.indptr)).sum())
    return total / len(placed) if len(placed) else 0.0
