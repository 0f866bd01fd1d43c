"""SLIM on neighbours: each item is rebuilt from the few items most often met with it, in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from pydantic import Field
from scipy.linalg.lapack import sposv

from kgrecall.graph.knowledge import Incidence
from kgrecall.kernels.tier import compiled, load
from kgrecall.recall.base import top_k_of
from kgrecall.recall.channels.cooccurrence import cooccurrence
from kgrecall.recall.channels.item_knn import MAX_PER_USER, interaction_matrix, newest_of_each_user
from kgrecall.recall.channels.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.sparse_rows import Matrix, SparseRows, csr, power, row_and_column_sums, scaled, transposed
from kgrecall.threads import in_order, ranges
from kgrecall.types import FloatArray, Interactions, PosArray, Progress, no_progress

GOES_WITH = "GOES_WITH"
"""The relation of evidence between two items that the same people chose, or that share what is known of them."""

_ROW = 1000
"""Entries kept in each row of the Gram matrix: more than any neighbourhood reads, so that memory grows with the items alone."""
_SMALL = 4000
"""So many items have a Gram matrix of at most 64 MB, from which neighbours are read ten times faster than from sparse rows."""
_AT_ONCE = 512
"""Items that a thread solves for."""
_DAMPING = 0.3
"""How much popular items are held back when neighbours are picked: the exponent of their degree."""
_NODE_NORM = 0.5
"""An entity of d items counts ``d^-.5`` of a user's vote."""


class SlimConfig(NodeSpaceConfig):
    """``B_Ni = (G_NN + diag(r))^-1 G_Ni`` with ``G = X^T X + knowledge * E D_e^-.5 E^T`` and ``r_j = l2 * mean(diag G) +
    denoise * G_jj``.

    N are the k items with the largest ``G_ji / s_j^.3``, s_j being all votes for j; E is items x shared entities. This is the
    regression of Ning & Karypis, "SLIM: Sparse Linear Methods for Top-N Recommender Systems" (ICDM 2011), on neighbours alone
    like their fsSLIM, with a ridge instead of the lasso; entities vote like further users ("Sparse Linear Methods with Side
    Information", RecSys 2012). The penalty that grows with the degree is what training with dropout amounts to (Steck,
    "Autoencoders that don't overfit towards the Identity", NeurIPS 2020). Time grows with items x k^3 and memory with the
    items, where EASE takes their cube and their square.
    """

    k: int = Field(default=50, ge=1, le=_ROW)
    """Neighbours that each item is rebuilt from."""
    l2: float = Field(default=1.0, ge=0.01)
    """Pull to zero, the same for all, in mean degrees of an item. Choose on validation data."""
    denoise: float = Field(default=1.0, ge=0)
    """Pull to zero by a neighbour's own degree: ``p / (1 - p)`` for a dropout of p. Choose on validation data."""
    knowledge: float = Field(default=0.0, ge=0)
    """What a shared entity counts against a shared user; above 0, items that nobody has chosen have neighbours too."""
    half_life: float | None = Field(default=None, gt=0)
    """Serving: the vote of a history item halves with this many newer ones; None: all vote alike."""


@dataclass(frozen=True, slots=True, eq=False)
class SlimGram:
    """What every choice of penalties shares.

    Shapes: ``gram`` float32 (num_items, num_items), symmetric up to what was cut from long rows, zero diagonal; ``degree``
    float32 (num_items,), its diagonal; ``neighbours`` int32, ascending, for each item.
    """

    gram: SparseRows
    degree: FloatArray
    neighbours: tuple[PosArray, ...]

    @classmethod
    def of(
        cls,
        interactions: Interactions,
        incidences: Sequence[Incidence] = (),
        config: SlimConfig | None = None,
        *,
        progress: Progress = no_progress,
    ) -> SlimGram:
        """Count what items share. Only the newest :data:`~kgrecall.recall.channels.item_knn.MAX_PER_USER` events of each user
        count."""
        config = config or SlimConfig()
        shared = _items_by_nodes(interactions, incidences, config)
        damped = cooccurrence(
            shared, column_norm=0, row_norm=0, target_norm=_DAMPING, k=_ROW, stage="SLIM, Gram matrix", progress=progress
        )
        by_rank, sums = SparseRows(damped), row_and_column_sums(shared)[0]
        squares = row_and_column_sums(csr(shared.data**2, shared.indices, shared.indptr, shared.shape[1]))[0]
        return cls(
            SparseRows(scaled(damped, by_column=power(sums, _DAMPING))),
            squares.astype(np.float32),
            tuple(np.sort(top_k_of(*by_rank.row(item), config.k)[0]) for item in range(by_rank.num_rows)),
        )

    def solve(self, config: SlimConfig, *, progress: Progress = no_progress) -> Matrix:
        """The weights at these penalties, float32 (num_items, num_items), row = history item; entries may be negative."""
        chosen = self.degree > 0
        penalty = config.l2 * float(self.degree[chosen].mean() if chosen.any() else 1) + config.denoise * self.degree
        gather, weights = self._gather(), list[FloatArray]()

        def solved(items: slice) -> list[FloatArray]:
            some = [(item, near) for item, near in enumerate(self.neighbours[items], items.start) if len(near)]
            return [_ridge(*gather(item, near), self.degree[near], penalty[near]) for item, near in some]

        for block, found in enumerate(in_order(solved, ranges(len(self.neighbours), _AT_ONCE))):
            progress("SLIM", block * _AT_ONCE, len(self.neighbours))
            weights += found
        indptr = np.concatenate([[0], np.cumsum([len(n) for n in self.neighbours], dtype=np.int64)])
        values = np.concatenate(weights) if weights else np.zeros(0, np.float32)
        columns = np.concatenate(self.neighbours) if self.neighbours else np.zeros(0, np.int32)
        return transposed(csr(values, columns, indptr, len(self.degree)))

    def _gather(self) -> Callable[[int, PosArray], tuple[FloatArray, FloatArray]]:
        """How the Gram matrix of some neighbours, without its diagonal, and their entries of the item's row are read:
        float32 (m, m) and (m,)."""
        indptr, indices, values = self.gram.csr
        values = values if len(values) else np.ones(len(indices), np.float32)
        if len(self.degree) <= _SMALL:
            cut = csr(values, indices, indptr, len(self.degree)).toarray()
            whole = np.maximum(cut, cut.T)  # an entry that was cut from one long row stands in the other
            return lambda item, neighbours: (whole[neighbours[:, None], neighbours], cut[item, neighbours])
        load()
        if (loops := compiled()) is not None:
            return lambda item, neighbours: loops.gather_gram((indptr, indices, values), item, neighbours)
        return self._dense

    def _dense(self, item: int, neighbours: PosArray) -> tuple[FloatArray, FloatArray]:
        """In numpy."""
        size, place = len(neighbours), np.zeros(len(self.degree), np.int32)
        place[neighbours] = np.arange(1, size + 1, dtype=np.int32)
        rows = [self.gram.row(int(neighbour)) for neighbour in neighbours]
        column = place[np.concatenate([columns for columns, _ in rows])] - 1
        inside = np.flatnonzero(column >= 0)
        row = np.repeat(np.arange(size), [len(columns) for columns, _ in rows])[inside]
        normal, met = np.zeros((size, size), np.float32), np.zeros(size, np.float32)
        normal[row, column[inside]] = np.concatenate([values for _, values in rows])[inside]
        columns, values = self.gram.row(item)
        own = place[columns] - 1
        met[own[own >= 0]] = values[own >= 0]
        return np.maximum(normal, normal.T), met


def build_slim(
    interactions: Interactions,
    config: SlimConfig | None = None,
    incidences: Sequence[Incidence] = (),
    *,
    progress: Progress = no_progress,
) -> Matrix:
    """The weights as a similarity for :class:`~kgrecall.recall.channels.item_knn.ItemKnnChannel`: float32 (num_items,
    num_items), row =
    history item; entries may be negative.

    Args:
        incidences: what is known of the items; looked at where ``config.knowledge`` is above 0.

    Raises:
        ConfigError: a weight for a relation that is not there.
    """
    config = config or SlimConfig()
    return SlimGram.of(interactions, incidences, config, progress=progress).solve(config, progress=progress)


def _items_by_nodes(interactions: Interactions, incidences: Sequence[Incidence], config: SlimConfig) -> Matrix:
    """Who and what each item is linked to, float32 (num_items, num_users + num_nodes)."""
    people = transposed(interaction_matrix(newest_of_each_user(interactions, MAX_PER_USER)))
    if not config.knowledge or not incidences:
        return people
    space = build_node_space(incidences, NodeSpaceConfig(**config.model_dump(include=set(NodeSpaceConfig.model_fields))))
    items_of = np.bincount(space.matrix.indices, minlength=space.matrix.shape[1]).astype(np.float64)
    votes = scaled(space.matrix, by_column=power(items_of, -_NODE_NORM / 2) * np.float32(np.sqrt(config.knowledge)))
    return sp.csr_array(sp.hstack([people, votes], format="csr"))


def _ridge(normal: FloatArray, met: FloatArray, degree: FloatArray, penalty: FloatArray) -> FloatArray:
    """``(normal + diag(degree + penalty))^-1 met``; what cut rows took from definiteness, more penalty gives back."""
    corner = np.diag_indices(len(degree))
    while True:
        normal[corner] = degree + penalty
        _, weights, failed = sposv(normal, met)
        if not failed:
            found: FloatArray = weights
            return found
        penalty = 2 * penalty
