"""What people chose next: a directed item-item similarity from the order of events."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kgrecall.recall.base import top_k_of
from kgrecall.recall.channels.cooccurrence import stack_rows
from kgrecall.recall.channels.sparse_rows import Matrix, csr, power, scaled
from kgrecall.recall.histories import Histories
from kgrecall.settings import Settings
from kgrecall.types import FloatArray, IntArray, Interactions, PosArray

FOLLOWED_BY = "FOLLOWED_BY"
"""The relation of evidence from an item to one that was chosen after it."""
_BLOCK_PAIRS = 1 << 23
"""Pairs of events at a time: some 100 MB."""


class SequenceConfig(Settings):
    """``W[j, i] = d_j^-b (sum over users of decay^(g - 1)) d_i^-c`` for every i chosen g <= window choices after j.

    d counts the users of an item. Served with recent history first: see ``half_life``. Sequential rules of Kamehkhosh et al.,
    "A Comparison of Frequent Pattern Techniques and a Deep Learning Method for Session-Based Recommendation" (2017).
    """

    window: int = Field(default=30, ge=1)
    """How many choices ahead are looked at."""
    decay: float = Field(default=0.93, gt=0, le=1)
    """What each further step ahead counts against the one before."""
    b: float = Field(default=0.7, ge=0, le=2)
    """How much a popular history item's votes are damped."""
    c: float = Field(default=0.3, ge=0, le=2)
    """How much a popular candidate is damped."""
    k: int = Field(default=1000, ge=1)
    """Followers kept per item."""
    half_life: float | None = Field(default=3.0, gt=0)
    """The vote of a history item halves with this many newer ones; None: all vote alike."""


def build_sequence(interactions: Interactions, config: SequenceConfig | None = None) -> Matrix:
    """The similarity for :class:`~kgrecall.recall.channels.item_knn.ItemKnnChannel`: float32 (num_items, num_items), row =
    history item,
    zero diagonal, the k largest of each row.

    The order is that of :meth:`~kgrecall.recall.histories.Histories.of`; without times there is none, and the matrix says
    nothing. Memory: the distinct pairs inside of the window.
    """
    config = config or SequenceConfig()
    if interactions.time is None:
        return stack_rows([(np.zeros(0, np.int32), np.zeros(0, np.float32))] * interactions.num_items, interactions.num_items)
    histories = Histories.of(interactions)
    followed = _followed(histories, config)
    degree = histories.popularity()
    weighted = scaled(followed, power(degree, -config.b), power(degree, -config.c))
    rows = []
    for start, stop in zip(weighted.indptr[:-1], weighted.indptr[1:], strict=True):
        columns, values = top_k_of(weighted.indices[start:stop], weighted.data[start:stop], config.k)
        order = np.argsort(columns)
        rows.append((columns[order], values[order]))
    return stack_rows(rows, interactions.num_items)


def _followed(histories: Histories, config: SequenceConfig) -> Matrix:
    """How often each item followed another, nearer ones counting more: float32 (num_items, num_items)."""
    shape = (histories.num_items, histories.num_items)
    total = csr(np.zeros(0), np.zeros(0, np.int32), np.zeros(histories.num_items + 1, np.int64), histories.num_items)
    for first, last in _blocks(histories.indptr, _BLOCK_PAIRS // config.window):
        items = np.asarray(histories.item_pos[histories.indptr[first] : histories.indptr[last]])
        users = np.repeat(np.arange(first, last), np.diff(histories.indptr[first : last + 1]))
        pairs = [_pairs(users, items, gap, config.decay) for gap in range(1, min(config.window, len(items) - 1) + 1)]
        if pairs:
            heads, tails, weights = (np.concatenate(column) for column in zip(*pairs, strict=True))
            total = total + sp.csr_array((weights, (heads, tails)), shape=shape)  # as dear as all before: once for all gaps
    return sp.csr_array(total)


def _pairs(users: IntArray, items: PosArray, gap: int, decay: float) -> tuple[PosArray, PosArray, FloatArray]:
    """What each user chose, what ``gap`` choices later, and what that counts."""
    same = users[gap:] == users[:-gap]
    heads, tails = items[:-gap][same], items[gap:][same]
    return heads, tails, np.full(len(heads), decay ** (gap - 1), np.float32)


def _blocks(indptr: IntArray, events: int) -> Iterator[tuple[int, int]]:
    """Ranges of users with so many events together, or of one user with more."""
    start = 0
    while start < len(indptr) - 1:
        stop = int(np.searchsorted(indptr, indptr[start] + events, side="right")) - 1
        stop = min(max(stop, start + 1), len(indptr) - 1)
        yield start, stop
        start = stop
