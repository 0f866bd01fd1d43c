"""EASE: the item-item weights that best rebuild every user's choices from their others, in closed form."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.linalg.lapack import spotrf, spotri

from kgrecall.errors import BudgetExceeded, ConfigError, Shown
from kgrecall.recall.channels.cooccurrence import stack_rows
from kgrecall.recall.channels.item_knn import interaction_matrix
from kgrecall.recall.channels.sparse_rows import Matrix, transposed
from kgrecall.settings import Settings
from kgrecall.types import FloatArray, Interactions, PosArray

_GRAM_BLOCK = 1024
_BYTES_PER_PAIR = 6.0
"""Of items: the matrix (float32), a block of it, and the weights that are kept; measured."""


class EaseConfig(Settings):
    """``B = I - P diag(P)^-1`` with ``P = (X^T X + l2 I)^-1``, the k largest magnitudes of each row.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019). Memory grows with the square, time with the cube
    of the number of items: 0.6 GB and 12 CPU seconds for 10,000.
    """

    l2: float = Field(default=500.0, gt=0)
    """How strongly weights are pulled to zero; more for sparse data. Choose on validation data."""
    k: int = Field(default=1000, ge=1)
    """Weights kept per item."""
    values: Literal["binary", "log", "raw"] = "binary"
    """What an interaction counts: 1, ``log(1 + weight)``, or its weight."""
    half_life: float | None = Field(default=None, gt=0)
    """Serving: the vote of a history item halves with this many newer ones; None: all vote alike."""
    max_memory_gb: float = Field(default=4.0, gt=0)
    """A catalogue that would need more is refused."""


def build_ease(interactions: Interactions, config: EaseConfig | None = None) -> Matrix:
    """The weights as a similarity for :class:`~kgrecall.recall.channels.item_knn.ItemKnnChannel`: float32 (num_items,
    num_items), row =
    history item; entries may be negative.

    Raises:
        BudgetExceeded: the catalogue is too large for ``max_memory_gb``.
        ConfigError: ``l2`` is so small that float32 cannot invert the matrix.
    """
    config = config or EaseConfig()
    n = interactions.num_items
    check_ease_fits(n, config)
    inverse = _inverse(_gram(interaction_matrix(interactions, config.values), config.l2))
    scale = (-1 / inverse.diagonal()).astype(np.float32)
    nothing = np.zeros(1, np.float32)
    rows = []
    for item in range(n):
        row = np.concatenate([inverse[:item, item], nothing, inverse[item, item + 1 :]])
        rows.append(_largest(row * scale, config.k))
    return stack_rows(rows, n)


def check_ease_fits(num_items: int, config: EaseConfig) -> None:
    """Whether a catalogue is small enough, before any work.

    Raises:
        BudgetExceeded: it would take more than ``max_memory_gb``.
    """
    needed = _BYTES_PER_PAIR * num_items * num_items / 1e9
    if needed > config.max_memory_gb:
        raise BudgetExceeded(
            "EASE",
            expected=f"at most {config.max_memory_gb:g} GB",
            got=Shown(f"{num_items} items, which take {needed:.1f} GB"),
            remedy="Raise max_memory_gb, or use item-kNN.",
        )


def _gram(chosen: Matrix, l2: float) -> FloatArray:
    """``X^T X + l2 I``, float32 (n, n) in column order, computed in blocks."""
    by_item, n = transposed(chosen), chosen.shape[1]
    gram = np.empty((n, n), np.float32, order="F")
    for start in range(0, n, _GRAM_BLOCK):
        gram[:, start : start + _GRAM_BLOCK] = (by_item[start : start + _GRAM_BLOCK] @ chosen).toarray().T
    gram[np.diag_indices(n)] += l2
    return gram


def _inverse(gram: FloatArray) -> FloatArray:
    """The upper triangle of the inverse of a positive definite matrix, written over it (Cholesky)."""
    if not gram.size:
        return gram
    factor, failed = spotrf(gram, lower=0, clean=0, overwrite_a=1)
    inverse, singular = spotri(factor, lower=0, overwrite_c=1)
    if failed or singular:
        raise ConfigError(
            "EaseConfig.l2", expected="enough to invert X^T X in float32", got=Shown("too little"), remedy="Raise it."
        )
    upper: FloatArray = inverse
    return upper


def _largest(row: FloatArray, k: int) -> tuple[PosArray, FloatArray]:
    """Columns (ascending) and values of the k largest magnitudes of one row that are not zero."""
    columns = np.flatnonzero(row)
    if len(columns) > k:
        columns = np.sort(np.argpartition(-np.abs(row), k - 1)[:k])
    return columns.astype(np.int32), row[columns].astype(np.float32)
