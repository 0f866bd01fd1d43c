"""Batches of users: which items of a history speak for the user, and which are to be found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from kgrecall.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Batch:
    """q users, cut into visible history and targets.

    Shapes: ``items`` int64 (n,), ``weight`` float32 (n,), visible histories end to end; ``offsets`` int64 (q,); ``candidates``
    int64 (m,), sorted items that all users choose from; ``target_row`` and ``target_column`` int64 (p,): row of the batch and
    column of the candidates; ``seen_row`` and ``seen_column`` int64 (s,): visible items among the candidates, which no
    score may go to; ``rarity`` float32 (m,): -log of the chance that a candidate is in a batch, what each stands for.
    """

    items: Tensor
    weight: Tensor
    offsets: Tensor
    candidates: Tensor
    target_row: Tensor
    target_column: Tensor
    seen_row: Tensor
    seen_column: Tensor
    rarity: Tensor


class BatchSampler:
    """Random batches that depend on (seed, epoch) alone, so a resumed run draws what an uninterrupted one would.

    Args:
        history: csr (num_users, num_items).
        batch_size: users in a batch.
        target_share: chance of each item of a history to be hidden as a target.
        num_negatives: negatives drawn in proportion to ``degree ** negative_power``; the targets of the batch are added. The
            whole catalogue is used when it is not larger than this.
        max_batches: most of an epoch, each of other users; None: as many as there are users for.
    """

    def __init__(
        self,
        history: sparse.csr_array,
        *,
        batch_size: int,
        target_share: float,
        num_negatives: int,
        negative_power: float,
        max_batches: int | None = None,
    ) -> None:
        self.history, self.batch_size, self.target_share = history, batch_size, target_share
        self._max_batches = max_batches
        self.num_negatives = num_negatives
        self.users = np.flatnonzero(np.diff(history.indptr) >= 2)
        degree = np.bincount(history.indices, minlength=history.shape[1])
        self._cumulative = np.cumsum(np.where(degree > 0, degree.astype(np.float64) ** negative_power, 0.0))
        self._rarity = self._rarities(degree)

    def _rarities(self, degree: IntArray) -> FloatArray:
        """0 where the catalogue is used whole, else -log(1 - exp(-n)), n the times that a batch is expected to draw an item."""
        if self.num_negatives >= len(degree):
            return np.zeros(len(degree), np.float32)
        drawn = self.num_negatives * np.diff(self._cumulative, prepend=0.0) / self._cumulative[-1]
        hidden = self.target_share * degree * min(1.0, self.batch_size / max(1, len(self.users)))
        chance = -np.expm1(-(drawn + hidden))
        return -np.log(np.where(degree > 0, np.maximum(chance, 1e-12), 1.0)).astype(np.float32)

    def __len__(self) -> int:
        return len(range(0, len(self.users), self.batch_size)[: self._max_batches])

    def epoch(self, seed: int, epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([seed, epoch])
        users = rng.permutation(self.users)
        for start in range(0, len(users), self.batch_size)[: self._max_batches]:
            yield self._batch(users[start : start + self.batch_size], rng)

    def endless(self, seed: int, epoch: int) -> Iterator[Batch]:
        """Batches without end, for a part of the loss that is not what epochs are counted by."""
        for number in count():
            yield from self.epoch(seed, epoch + (number << 32))

    def _batch(self, users: IntArray, rng: np.random.Generator) -> Batch:
        flat, user, offsets = flat_rows(self.history, users)
        draw = rng.random(len(flat))
        first = np.minimum.reduceat(draw, offsets)[user] == draw  # at least one target ...
        last = np.maximum.reduceat(draw, offsets)[user] == draw  # ... and at least one visible item
        hidden = ((draw < self.target_share) | first) & ~last
        items = self.history.indices[flat].astype(np.int64)
        candidates = self._candidates(items[hidden], rng)
        column = np.searchsorted(candidates, items)
        seen = ~hidden & (candidates[np.minimum(column, len(candidates) - 1)] == items)
        return Batch(
            items=torch.from_numpy(items[~hidden]),
            weight=torch.from_numpy(self.history.data[flat][~hidden]),
            offsets=torch.from_numpy(np.searchsorted(user[~hidden], np.arange(len(users)))),
            candidates=torch.from_numpy(candidates),
            target_row=torch.from_numpy(user[hidden]),
            target_column=torch.from_numpy(column[hidden]),
            seen_row=torch.from_numpy(user[seen]),
            seen_column=torch.from_numpy(column[seen]),
            rarity=torch.from_numpy(self._rarity[candidates]),
        )

    def _candidates(self, targets: IntArray, rng: np.random.Generator) -> IntArray:
        num_items = self.history.shape[1]
        if self.num_negatives >= num_items:
            return np.arange(num_items)
        drawn = np.searchsorted(self._cumulative, rng.random(self.num_negatives) * self._cumulative[-1], side="right")
        return np.union1d(drawn, targets)


def flat_rows(matrix: sparse.csr_array, rows: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Positions of the entries of some rows, end to end; for each its row in the selection; where each row begins."""
    counts = np.diff(matrix.indptr)[rows].astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    row = np.repeat(np.arange(len(rows)), counts)
    return matrix.indptr[rows].astype(np.int64)[row] + np.arange(len(row)) - offsets[row], row, offsets
