"""Histories in windows: what came when, and what is to be predicted at each place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.gaps import gap_codes
from kgrecall.types import FloatArray, IntArray, PosArray

_SHORTEST = 2


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """The events of each user, oldest first.

    Shapes: ``indptr`` int64 (num_users + 1,), ``item_pos`` int32 (n,), ``time`` int64 ms (n,), ``moments`` int32
    (n, num_fields), codes of contexts, -1 where not known; None without any.
    """

    indptr: IntArray
    item_pos: PosArray
    time: IntArray
    moments: PosArray | None = None

    def gaps(self) -> IntArray:
        """Codes of the times since the event before, int64 (n,); 0 for the first of each user."""
        before = np.concatenate([[MISSING_TIME], self.time[:-1]])
        before[self.indptr[:-1][np.diff(self.indptr) > 0]] = MISSING_TIME
        return gap_codes(self.time, before)


@dataclass(frozen=True, slots=True)
class Windows:
    """q parts of histories side by side, each at the beginning of its row.

    Shapes: ``items``, ``gaps`` int64 (q, n); ``there`` bool (q, n), False for padding; ``moments`` int64 (q, n, num_fields):
    codes of the event after each, -1 where not known.
    """

    items: Tensor
    gaps: Tensor
    there: Tensor
    moments: Tensor | None = None

    def to(self, device: str) -> Windows:
        moments = None if self.moments is None else self.moments.to(device)
        return Windows(self.items.to(device), self.gaps.to(device), self.there.to(device), moments)

    def knowing(self, moments: Tensor) -> Windows:
        """The same with other moments."""
        return Windows(self.items, self.gaps, self.there, moments)


class WindowSampler:
    """Windows of all histories in random batches that depend on (seed, epoch) alone.

    A history is cut from its end, in each epoch at other places. Windows of about one length share a batch.

    Args:
        length: most events in a window.
        batch_events: events in a batch, about, padding included.
    """

    def __init__(self, sequences: Sequences, *, length: int, batch_events: int) -> None:
        self._sequences, self._length, self._batch_events = sequences, length, batch_events
        self._gaps = sequences.gaps()

    def epoch(self, seed: int, epoch: int) -> Iterator[Windows]:
        rng = np.random.default_rng([seed, epoch])
        starts, stops = self._cut(rng)
        order = np.lexsort((rng.random(len(starts)), stops - starts))
        sizes = np.cumsum((stops - starts)[order])
        batches = np.split(order, np.flatnonzero(np.diff(sizes // self._batch_events)) + 1)
        for number in rng.permutation(len(batches)).tolist():
            if len(batches[number]):
                yield self._windows(starts[batches[number]], stops[batches[number]])

    def _cut(self, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Where windows begin and end; those of a long history begin to be counted at random a little after its end."""
        indptr, length = self._sequences.indptr, self._length
        count = np.diff(indptr)
        beyond = np.where(count > length, rng.integers(0, length, len(count)), 0)
        pieces = -(-(count + beyond) // length)
        user = np.repeat(np.arange(len(count)), pieces)
        place = np.arange(len(user)) - np.repeat(np.cumsum(pieces) - pieces, pieces)  # 0: the newest
        stops = (indptr[1:] + beyond)[user] - place * length
        starts = np.maximum(stops - length, indptr[:-1][user])
        stops = np.minimum(stops, indptr[1:][user])
        kept = stops - starts >= _SHORTEST
        return starts[kept], stops[kept]

    def _windows(self, starts: IntArray, stops: IntArray) -> Windows:
        place = starts[:, None] + np.arange(int((stops - starts).max()))
        there = place < stops[:, None]
        event = np.where(there, place, starts[:, None])
        moments = None
        if self._sequences.moments is not None:
            after = np.where(place + 1 < stops[:, None], place + 1, 0)
            codes = self._sequences.moments[after].astype(np.int64)
            moments = torch.from_numpy(np.where((place + 1 < stops[:, None])[:, :, None], codes, -1))
        items = self._sequences.item_pos[event].astype(np.int64)
        return Windows(torch.from_numpy(items), torch.from_numpy(self._gaps[event]), torch.from_numpy(there), moments)


class Negatives:
    """Items drawn in proportion to ``degree ** power``, or the whole catalogue where it is not larger than ``count``."""

    def __init__(self, degree: IntArray, *, count: int, power: float) -> None:
        self._count, self._num_items = count, len(degree)
        weight = np.where(degree > 0, np.maximum(degree, 1).astype(np.float64) ** power, 0)
        self._cumulative = np.cumsum(weight)
        share = np.minimum(weight / max(self._cumulative[-1], 1e-12), 1 - 1e-12)
        chance = -np.expm1(count * np.log1p(-share))
        rarity = np.where(degree > 0, -np.log(np.maximum(chance, 1e-12)), 0)
        self._rarity = (rarity if count < len(degree) else np.zeros(len(degree))).astype(np.float32)

    def draw(self, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
        """Distinct items int64 (m,), ascending, and -log of the chance that each is drawn, float32 (m,)."""
        if self._count >= self._num_items:
            return np.arange(self._num_items), self._rarity
        drawn = np.searchsorted(self._cumulative, rng.random(self._count) * self._cumulative[-1], side="right")
        items = np.unique(drawn)
        return items, self._rarity[items]
