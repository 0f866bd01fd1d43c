"""What each user chose, oldest first: the part of the graph that every personal answer starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from kgrecall.errors import ShapeError, Shown
from kgrecall.graph.orders import ends_of_runs, order_by
from kgrecall.types import FloatArray, IntArray, Interactions, PosArray


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """CSR rows of distinct items per user, oldest first.

    Shapes: ``indptr`` int64 (num_users + 1,), ``item_pos`` int32 (n,), ``weight`` float32 (n,) > 0, ``time`` int64 ms (n,) or
    None without times; may be memory-mapped.
    """

    indptr: IntArray
    item_pos: PosArray
    weight: FloatArray
    num_items: int
    time: IntArray | None = None

    def __post_init__(self) -> None:
        n = len(self.item_pos)
        if not len(self.indptr) or self.indptr[0] != 0 or self.indptr[-1] != n or len(self.weight) != n:
            raise ShapeError(
                "Histories",
                expected="indptr from 0 to the length of item_pos and weight",
                got=Shown(f"indptr to {self.indptr[-1:]}, {n} items, {len(self.weight)} weights"),
                remedy="Make them with Histories.of(interactions).",
            )

    @classmethod
    def of(cls, interactions: Interactions, values: Literal["binary", "log", "raw"] = "binary") -> Histories:
        """One entry per user and item, in the order of the latest event of the pair.

        Args:
            values: what a pair weighs: 1, ``log(1 + summed weight)``, or the summed weight.
        """
        time = interactions.time
        order = order_by(interactions.user_pos, *([] if time is None else [time]))
        users, items = interactions.user_pos[order], interactions.item_pos[order]
        pair = users * interactions.num_items + items
        by_pair = order_by(pair)
        ends = ends_of_runs(pair[by_pair])
        place = np.argsort(by_pair[ends])  # the newest event of each pair, in the order of the events
        kept = by_pair[ends][place]
        weight = np.ones(len(kept))
        if values != "binary":
            starts = np.concatenate([[0], ends + 1])[: len(ends)]
            weight = np.add.reduceat(interactions.weight[order][by_pair].astype(np.float64), starts)[place]
        counts = np.bincount(users[kept], minlength=interactions.num_users)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        told = (np.log1p(weight) if values == "log" else weight).astype(np.float32)
        latest = None if time is None else time[order][kept]
        return cls(indptr, items[kept].astype(np.int32), told, interactions.num_items, latest)

    @property
    def num_users(self) -> int:
        return len(self.indptr) - 1

    def row(self, user_pos: int) -> tuple[PosArray, FloatArray]:
        """Items (oldest first) and weights of one user, as plain views."""
        part = slice(int(self.indptr[user_pos]), int(self.indptr[user_pos + 1]))
        return np.asarray(self.item_pos[part]), np.asarray(self.weight[part])

    def latest(self, user_pos: IntArray, most: int) -> tuple[IntArray, IntArray]:
        """The places of the newest entries of some users (q,), at most ``most`` of each.

        Returns:
            ``indptr`` int64 (q + 1,) and ``entry`` int64 (n,), such that ``item_pos[entry[indptr[i]:indptr[i + 1]]]`` is what
            user i chose last, oldest first.
        """
        stop = self.indptr[user_pos + 1]
        lengths = np.minimum(stop - self.indptr[user_pos], most)
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return indptr, np.arange(indptr[-1]) + np.repeat(stop - indptr[1:], lengths)

    def times(self, user_pos: int) -> IntArray | None:
        """When one user chose each item of :meth:`row`, as a plain view."""
        if self.time is None:
            return None
        return np.asarray(self.time[int(self.indptr[user_pos]) : int(self.indptr[user_pos + 1])])

    def incidence(self) -> sp.csr_array[Any, tuple[int, int]]:
        """Who chose what: float32 (num_users, num_items), 1 per pair, rows in the order of the histories."""
        ones = np.ones(len(self.item_pos), np.float32)
        return sp.csr_array((ones, np.asarray(self.item_pos), self.indptr), shape=(self.num_users, self.num_items))

    def popularity(self) -> FloatArray:
        """Users per item, float32 (num_items,)."""
        return np.bincount(self.item_pos, minlength=self.num_items).astype(np.float32)
