"""From a user's :class:`~kgrecall.types.Query` to positions: ids are looked up once, and what has no answer is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.errors import ShapeError, UnknownId
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.base import QueryBatch
from kgrecall.recall.eligible import item_positions
from kgrecall.recall.histories import Histories
from kgrecall.types import BoolArray, FloatArray, PosArray, Query

_NO_ITEMS = np.zeros(0, np.int32)
_NO_WEIGHTS = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One query in positions.

    ``user_pos`` is -1 unless the stored user itself is asked about; ``history`` is what channels start from; ``exclude`` are
    distinct items never returned; ``known`` says that the history is a stored user's.
    """

    query: Query
    user_pos: int
    history: PosArray
    weights: FloatArray
    exclude: PosArray
    known: bool
    notes: tuple[str, ...]


class Resolver:
    """Looks up the ids of queries.

    Args:
        users, items: the vocabularies of the graph.
        histories: the stored history of each user.
        max_history: only the newest items of a longer history are used; all of it counts as seen.
    """

    def __init__(self, users: Vocabulary, items: Vocabulary, histories: Histories, max_history: int) -> None:
        self._users, self._items, self._histories, self._max_history = users, items, histories, max_history

    def resolve(self, query: Query) -> Request:
        """Positions for one query.

        A history in the call replaces the stored one. ``item_id`` is what the question starts from; the history then only
        tells what was seen. Unknown history, excluded and allowed ids are skipped with a note.

        Raises:
            UnknownId: the user is not in the graph and no history was given, or the item is not in the graph.
        """
        notes: list[str] = []
        user_pos = self._user(query, notes)
        if query.history is not None:
            items, weights = self._given_history(query, notes)
        elif user_pos >= 0:
            items, weights = self._histories.row(user_pos)
        else:
            items, weights = _NO_ITEMS, _NO_WEIGHTS
        excluded = [items] if query.exclude_seen else []
        excluded.append(item_positions(self._items, query.exclude, "excluded", notes))
        stored = query.history is None and query.item_id is None and user_pos >= 0
        if query.item_id is not None:
            item = self._items_position(query.item_id)
            items, weights = np.array([item], np.int32), np.ones(1, np.float32)
            excluded.append(items)
        exclude = np.unique(np.concatenate(excluded))
        if len(items) > self._max_history:
            notes.append(f"Only the newest {self._max_history} of {len(items)} history items were used.")
            items, weights = items[-self._max_history :], weights[-self._max_history :]
        return Request(query, user_pos if stored else -1, items, weights, exclude, stored and len(items) > 0, tuple(notes))

    def _user(self, query: Query, notes: list[str]) -> int:
        if query.user_id is None:
            return -1
        if query.user_id in self._users:
            return self._users.position(query.user_id)
        if query.history is None:
            try:
                return self._users.position(query.user_id)
            except UnknownId as error:
                raise UnknownId(
                    "Query.user_id",
                    expected="a user of the graph, or a history beside an unknown one",
                    got=query.user_id,
                    remedy=f"{error.remedy} For a new visitor pass history=[...] (or history=[]).",
                ) from None
        notes.append(f"User {query.user_id!r} is not in the graph: the answer rests on the history of the call.")
        return -1

    def _items_position(self, item_id: str) -> int:
        try:
            return self._items.position(item_id)
        except UnknownId as error:
            raise UnknownId("Query.item_id", expected="an item of the graph", got=item_id, remedy=error.remedy) from None

    def _given_history(self, query: Query, notes: list[str]) -> tuple[PosArray, FloatArray]:
        ids = list(query.history or ())
        positions = self._items.positions(ids)
        known = positions >= 0
        if not known.all():
            notes.append(f"{int((~known).sum())} of {len(ids)} history items are not in the graph and were skipped.")
        weights = np.ones(len(ids), np.float32)
        if query.history_weights is not None:
            weights = np.asarray(query.history_weights, np.float32)
        return positions[known].astype(np.int32), weights[known]


def batch_of(requests: Sequence[Request], num_items: int, mask: BoolArray | None, text: FloatArray | None) -> QueryBatch:
    """The requests as one batch; ``text`` float32 (q, dim) with zero rows, or None."""
    return QueryBatch(
        num_items=num_items,
        user_pos=np.array([r.user_pos for r in requests], np.int64),
        history_indptr=_indptr([len(r.history) for r in requests]),
        history_pos=_joined([r.history for r in requests]),
        history_weight=np.concatenate([r.weights for r in requests]) if len(requests) != 1 else requests[0].weights,
        exclude_indptr=_indptr([len(r.exclude) for r in requests]),
        exclude_pos=_joined([r.exclude for r in requests]),
        mask=mask,
        text=text,
    )


def batch_of_users(user_pos: np.ndarray[tuple[int], np.dtype[np.int64]], histories: Histories, max_history: int) -> QueryBatch:
    """Known users with their stored histories, all of which counts as seen.

    Raises:
        ShapeError: a position is not one of a user.
    """
    outside = user_pos[(user_pos < 0) | (user_pos >= histories.num_users)]
    if len(outside):
        raise ShapeError(
            "user_pos",
            expected=f"numbers from 0 to {histories.num_users - 1}",
            got=int(outside[0]),
            remedy="Use positions of the users' vocabulary.",
        )
    rows = [histories.row(int(user)) for user in user_pos]
    seen = [np.sort(items) for items, _ in rows]
    return QueryBatch(
        num_items=histories.num_items,
        user_pos=user_pos,
        history_indptr=_indptr([min(len(items), max_history) for items, _ in rows]),
        history_pos=_joined([items[-max_history:] for items, _ in rows]),
        history_weight=np.concatenate([weights[-max_history:] for _, weights in rows]) if rows else _NO_WEIGHTS,
        exclude_indptr=_indptr([len(items) for items in seen]),
        exclude_pos=_joined(seen),
    )


def _indptr(lengths: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _joined(parts: Sequence[PosArray]) -> PosArray:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else _NO_ITEMS
