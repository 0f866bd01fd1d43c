"""What a personal answer starts from: a stored history, one in the call, that of friends, an item, or several of them."""

from __future__ import annotations

import numpy as np

from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.histories import Histories
from kgrecall.types import FloatArray, IntArray, PosArray, Query

BESIDE_ITEM = 0.3
"""What a history weighs in all beside the item of "more like this"."""


def given_history(query: Query, items: Vocabulary, notes: list[str]) -> tuple[PosArray, FloatArray, IntArray | None]:
    """The history of a call: positions oldest first, weights, and times (ms) where the call has any.

    Unknown ids are skipped with a note; an item that occurs more than once stands at its latest place, weights added up.
    """
    ids = list(query.history or ())
    positions = items.positions(ids)
    weights = np.ones(len(ids), np.float32)
    if query.history_weights is not None:
        weights = np.asarray(query.history_weights, np.float32)
    times = None if query.history_ms is None else np.array(query.history_ms, np.int64)
    known = np.flatnonzero(positions >= 0)
    if len(known) < len(ids):
        notes.append(f"{len(ids) - len(known)} of {len(ids)} history items are not in the graph and were skipped.")
    if times is not None:
        known = known[np.argsort(times[known], kind="stable")]
    items_pos, place, summed = _merged(positions[known], weights[known])
    return items_pos, summed, None if times is None else times[known][place]


def pooled(histories: Histories, users: PosArray) -> tuple[PosArray, FloatArray]:
    """The histories of several users as one, the latest of each last; each user weighs 1 over the root of what it chose."""
    rows = [histories.row(int(user)) for user in users]
    items = np.concatenate([np.zeros(0, np.int32), *(row for row, _ in rows)])
    age = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(row))[::-1] for row, _ in rows)])
    weight = np.concatenate([np.zeros(0, np.float32), *(np.full(len(row), max(len(row), 1) ** -0.5) for row, _ in rows)])
    order = np.argsort(-age, kind="stable")
    positions, _, summed = _merged(items[order], weight[order])
    return positions, summed


def led_by(item: int, history: PosArray, weights: FloatArray) -> tuple[PosArray, FloatArray]:
    """An item of weight 1 at the end of a history that weighs :data:`BESIDE_ITEM` in all."""
    others = history != item
    history, weights = history[others], weights[others]
    beside = weights * np.float32(BESIDE_ITEM / weights.sum()) if len(weights) else weights
    return np.append(history, item).astype(np.int32), np.append(beside, 1).astype(np.float32)


def after(first: PosArray, first_weights: FloatArray, then: PosArray, weights: FloatArray) -> tuple[PosArray, FloatArray]:
    """One start after another; an item of both stands in the later place, weights added up."""
    positions, _, summed = _merged(np.concatenate([first, then]), np.concatenate([first_weights, weights]))
    return positions, summed


def _merged(positions: IntArray | PosArray, weights: FloatArray) -> tuple[PosArray, IntArray, FloatArray]:
    """Distinct positions in the order of their last occurrence, where that is, and their weights added up."""
    n = len(positions)
    _, newest, inverse = np.unique(positions[::-1], return_index=True, return_inverse=True)
    place = n - 1 - newest
    order = np.argsort(place)
    summed = np.bincount(inverse, weights=weights[::-1], minlength=len(newest)).astype(np.float32)
    return positions[place[order]].astype(np.int32), place[order], summed[order]
