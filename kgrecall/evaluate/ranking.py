"""What is evaluated: any function that ranks items for a block of users, and two ways to make one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kgrecall.errors import ConfigError, NotBuilt, ShapeError, Shown
from kgrecall.types import BoolArray, FloatArray, IntArray, Interactions, PosArray, Progress, no_progress

Rank = Callable[[IntArray, int], PosArray]
"""``rank(user_pos (q,), k) -> item positions (q, k)``, best first, distinct in a row, short rows filled with -1."""
Score = Callable[[IntArray], FloatArray]
"""``score(user_pos (q,)) -> float32 (q, num_items)``: the whole catalogue, for one block of users at a time."""
_SELECTED_AT_ONCE = 1 << 20  # scores whose copies stay in the processor's cache


def rank_by_score(score: Score, *, history: Interactions | None = None) -> Rank:
    """Rank the whole catalogue by score, without the items of each user's history; ties by position, -inf is never shown.

    Raises:
        ShapeError: from ranking, a row is missing or a score is NaN.
    """
    seen = None if history is None else incidence(history)

    def rank(user_pos: IntArray, k: int) -> PosArray:
        scores = np.array(score(user_pos), np.float32)  # a copy: what the scorer returned may be its own state
        check_scores(scores, len(user_pos), scores.shape[-1] if seen is None else seen.shape[1])
        if seen is not None:
            mask_history(scores, seen, user_pos)
        return top_positions(scores, k)

    return rank


def check_scores(scores: FloatArray, num_rows: int, num_items: int) -> None:
    """Raises ShapeError unless there is a number for every item of a row: (num_rows, num_items)."""
    expected = num_rows, num_items
    if scores.shape != expected or np.isnan(scores).any():
        got = Shown(f"{scores.shape}, {int(np.isnan(scores).sum())} of them NaN")
        remedy = "Score every item of the catalogue with a number."
        raise ShapeError("scores", expected=f"numbers {expected}", got=got, remedy=remedy)


def incidence(interactions: Interactions) -> sparse.csr_array[np.bool_]:
    """Which user has which item: bool (num_users, num_items)."""
    shape = (interactions.num_users, interactions.num_items)
    ones = np.ones(len(interactions), np.bool_)
    matrix = sparse.csr_array((ones, (interactions.user_pos, interactions.item_pos)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def mask_history(scores: FloatArray, seen: sparse.csr_array[np.bool_], user_pos: IntArray) -> None:
    """Set the scores of each user's own items to -inf, in place."""
    rows, items = cells(seen, user_pos)
    scores[rows, items] = -np.inf


def cells(matrix: sparse.csr_array[np.bool_], user_pos: IntArray) -> tuple[IntArray, IntArray]:
    """Row (0 .. q - 1) and column of every entry in the rows ``user_pos``."""
    part = matrix[user_pos]
    counts = np.diff(part.indptr)
    return np.repeat(np.arange(len(user_pos)), counts), part.indices.astype(np.int64)


def listed_in(positions: PosArray, matrix: sparse.csr_array[np.bool_]) -> BoolArray:
    """Which items of list i are entries of row i of ``matrix``.

    Shapes: positions int32 (q, k), -1 for no item; matrix bool (q, num_items) -> bool (q, k). Rows and items become one sorted
    key, and all are looked up at once.
    """
    num_rows, num_items = matrix.shape
    rows, items = cells(matrix, np.arange(num_rows))
    if not len(rows):
        return np.zeros(positions.shape, np.bool_)
    known = np.sort(rows * num_items + items)
    asked = np.arange(num_rows)[:, None] * num_items + positions
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    found: BoolArray = known[at] == asked
    return found & (positions >= 0)


def top_positions(scores: FloatArray, k: int) -> PosArray:
    """Positions of the k largest scores of each row, best first, ties by position; -1 from the first -inf on.

    Shapes: scores (q, n) -> int32 (q, k).
    """
    num_rows, n = scores.shape
    top = np.full((num_rows, k), -1, np.int32)
    step = max(1, _SELECTED_AT_ONCE // n)
    for start in range(0, num_rows, step):
        part = scores[start : start + step]
        top[start : start + step, : min(k, n)] = _select(part, min(k, n))
    return top


def _select(scores: FloatArray, k: int) -> IntArray:
    """Positions of the k <= n largest scores of each row, best first; -1 where the score is -inf."""
    num_rows = len(scores)
    # the smallest of the negated scores: selecting from the end where most scores are tied is far slower
    kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    rows, items = np.nonzero(scores > kth[:, None])
    open_places = k - np.bincount(rows, minlength=num_rows)
    tied = [np.flatnonzero(row == value)[:places] for row, value, places in zip(scores, kth, open_places, strict=True)]
    rows = np.concatenate([rows, np.repeat(np.arange(num_rows), open_places)])
    items = np.concatenate([items, *tied])
    values = scores[rows, items]
    order = np.lexsort((items, -values, rows))
    return np.where(values > -np.inf, items, -1)[order].reshape(num_rows, k)


@dataclass(frozen=True, slots=True)
class StoredLists:
    """Lists that were ranked once, to be evaluated many times: against all, the cold, the warm items. Is a ``Rank``.

    Shapes: ``users`` int64 (m,) sorted and distinct, ``positions`` int32 (m, k).
    """

    users: IntArray
    positions: PosArray

    def __call__(self, user_pos: IntArray, k: int) -> PosArray:
        """The stored lists cut at k.

        Raises:
            NotBuilt: a user that was not stored, or a longer list than was stored.
        """
        if k > self.positions.shape[1]:
            remedy = f"Store lists of at least {k} items."
            raise NotBuilt("stored lists", expected=f"at most {self.positions.shape[1]} items", got=k, remedy=remedy)
        rows = np.searchsorted(self.users, user_pos)
        known = rows < len(self.users)
        known[known] = self.users[rows[known]] == user_pos[known]
        if not known.all():
            remedy = "Store the lists of every user that is evaluated."
            raise NotBuilt("stored lists", expected="stored users", got=user_pos[~known][:5].tolist(), remedy=remedy)
        return self.positions[rows, :k]


def store_lists(rank: Rank, users: IntArray, k: int, *, block: int = 1024, progress: Progress = no_progress) -> StoredLists:
    """Rank once, in blocks: memory is users x k positions."""
    users = np.unique(users)
    parts = [part.positions for part in ranked_blocks(rank, users, k, block=block, progress=progress)]
    return StoredLists(users, np.concatenate(parts) if parts else np.empty((0, k), np.int32))


@dataclass(frozen=True, slots=True)
class RankedBlock:
    """The lists of some users: ``users`` int64 (q,), ``positions`` int32 (q, k), and the CPU seconds the ranker took."""

    users: IntArray
    positions: PosArray
    seconds: float


def ranked_blocks(
    rank: Rank, users: IntArray, k: int, *, block: int, num_items: int | None = None, progress: Progress = no_progress
) -> Iterator[RankedBlock]:
    """Ask the ranker for ``block`` users at a time and check what it says.

    Raises:
        ConfigError: block < 1.
        ShapeError: the ranker broke its contract.
    """
    if block < 1:
        raise ConfigError("block", expected="an integer >= 1", got=block, remedy="1024 users at a time are a good start.")
    for start in range(0, len(users), block):
        part = users[start : start + block]
        before = time.process_time()
        ranked = rank(part, k)
        seconds = time.process_time() - before
        yield RankedBlock(part, checked_lists(ranked, len(part), k, num_items), seconds)
        progress("rank", start + len(part), len(users))


def checked_lists(positions: NDArray[np.integer], num_users: int, k: int, num_items: int | None = None) -> PosArray:
    """What a ``Rank`` returned, as int32 (num_users, k).

    Raises:
        ShapeError: another shape or dtype, a position outside the catalogue, or an item twice in one list (which would
            be counted as two hits).
    """
    positions = np.asarray(positions)
    if positions.shape != (num_users, k) or not np.issubdtype(positions.dtype, np.integer):
        remedy = "Return k positions per user and fill short lists with -1."
        raise ShapeError(
            "ranked lists", expected=f"integers {(num_users, k)}", got=(positions.dtype.name, positions.shape), remedy=remedy
        )
    low, high = (int(positions.min()), int(positions.max())) if positions.size else (-1, -1)
    if low < -1 or (num_items is not None and high >= num_items):
        remedy = "Positions count from 0; -1 means no item."
        end = "up" if num_items is None else f"to {num_items - 1}"
        raise ShapeError("ranked lists", expected=f"positions from -1 {end}", got=(low, high), remedy=remedy)
    ordered = np.sort(positions, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if twice.any():
        row = int(np.flatnonzero(twice.any(axis=1))[0])
        got = Shown(f"item {ordered[row, 1:][twice[row]][0]} twice in row {row}")
        raise ShapeError("ranked lists", expected="distinct items in a list", got=got, remedy="Return each item once.")
    return positions.astype(np.int32, copy=False)
