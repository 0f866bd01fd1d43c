"""From a user's :class:`~kgrecall.types.Query` to positions: ids are looked up once, and what has no answer is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from kgrecall.errors import ShapeError, UnknownId
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.query import Seen
from kgrecall.recall.base import QueryBatch, Ragged, Signal
from kgrecall.recall.channels.popularity import MS_PER_DAY
from kgrecall.recall.histories import Histories
from kgrecall.recall.queries.audience import Audience
from kgrecall.recall.queries.eligible import item_positions
from kgrecall.recall.queries.starts import given_history, led_by, pooled
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray, Query

_NO_ITEMS = np.zeros(0, np.int32)
_NO_WEIGHTS = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One query in positions.

    ``user_pos`` is -1 unless the stored user itself is asked about; ``history`` is what channels start from, ``times`` when it
    was, where that is known; ``exclude`` are distinct items never returned; ``known`` says that the history is a stored user's.
    ``friends``, ``traits`` and ``moment`` are those of :class:`~kgrecall.recall.base.QueryBatch`.
    """

    query: Query
    user_pos: int
    history: PosArray
    weights: FloatArray
    exclude: PosArray
    known: bool
    notes: tuple[str, ...]
    friends: PosArray
    traits: PosArray
    moment: PosArray
    times: IntArray | None = None

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What the query holds for the channels that are asked only then."""
        if not (len(self.friends) or len(self.traits) or len(self.moment)):
            return ()
        held: dict[Signal, PosArray] = {"friends": self.friends, "traits": self.traits, "moment": self.moment}
        return tuple(name for name, values in held.items() if len(values))


class Resolver:
    """Looks up the ids of queries.

    Args:
        users, items: the vocabularies of the graph.
        histories: the stored history of each user.
        max_history: only the newest items of a longer history are used; all of it counts as seen.
        audience: what attributes, contexts and kinds of events mean; queries with them are refused where it does not know.
    """

    def __init__(
        self, users: Vocabulary, items: Vocabulary, histories: Histories, max_history: int, audience: Audience | None = None
    ) -> None:
        self._users, self._items, self._histories, self._max_history = users, items, histories, max_history
        self._audience = audience or Audience()

    def resolve(self, query: Query) -> Request:
        """Positions for one query.

        A history in the call replaces the stored one; without any, the friends' histories are the start. ``item_id`` leads,
        and a history beside it weighs less. Unknown history, friends, excluded and allowed ids are skipped with a note.

        Raises:
            UnknownId: the user is not in the graph and nothing else was given, or the item is not in the graph.
            ConfigError: an attribute, context or relation that the graph does not have.
            Unsupported: the engine was made without what the query needs.
        """
        if query.user_id is not None and _asks_for_nobody_else(query) and query.user_id in self._users:
            return self._of_user(query, self._users.position(query.user_id))
        notes: list[str] = []
        user_pos = self._user(query, notes)
        own, weights, times = self._own_history(query, user_pos, notes)
        friends = self._friends(query, notes)
        pooled_start = not len(own) and len(friends) > 0
        items, weights = pooled(self._histories, friends) if pooled_start else (own, weights)
        excluded = [self._seen(query, user_pos, own, times), item_positions(self._items, query.exclude, "excluded", notes)]
        stored = query.history is None and query.item_id is None and user_pos >= 0 and not pooled_start
        if query.item_id is not None:
            item = self._items_position(query.item_id)
            items, weights = led_by(item, items, weights)
            excluded.append(items[-1:])
        if pooled_start or query.item_id is not None:
            times = None
        items, weights, times = self._newest(items, weights, times, notes)
        return Request(
            query,
            user_pos if stored else -1,
            items,
            weights,
            np.unique(np.concatenate(excluded)),
            stored and len(own) > 0,
            friends=friends,
            traits=self._audience.traits_of(query, user_pos if not len(own) else -1, notes),
            moment=self._audience.moment_of(query, notes),
            notes=tuple(notes),
            times=times,
        )

    def _of_user(self, query: Query, user_pos: int) -> Request:
        """What :meth:`resolve` gives for a known user, without looking for what the query does not hold."""
        notes: list[str] = []
        own, weights = self._histories.row(user_pos)
        traits = _NO_ITEMS if len(own) else self._audience.stored_traits(user_pos)
        items, weights, times = self._newest(own, weights, self._histories.times(user_pos), notes)
        seen, known = np.sort(own), len(own) > 0
        return Request(query, user_pos, items, weights, seen, known, tuple(notes), _NO_ITEMS, traits, _NO_ITEMS, times)

    def _newest(
        self, items: PosArray, weights: FloatArray, times: IntArray | None, notes: list[str]
    ) -> tuple[PosArray, FloatArray, IntArray | None]:
        if len(items) <= self._max_history:
            return items, weights, times
        notes.append(f"Only the newest {self._max_history} of {len(items)} history items were used.")
        newest = slice(-self._max_history, None)
        return items[newest], weights[newest], None if times is None else times[newest]

    def _user(self, query: Query, notes: list[str]) -> int:
        if query.user_id is None:
            return -1
        if query.user_id in self._users:
            return self._users.position(query.user_id)
        others = (query.history, query.text, query.item_id, query.attributes, query.friends)
        if all(other is None for other in others):
            try:
                return self._users.position(query.user_id)
            except UnknownId as error:
                raise UnknownId(
                    "Query.user_id",
                    expected="a user of the graph, or a history beside an unknown one",
                    got=query.user_id,
                    remedy=f"{error.remedy} For a new visitor pass history=[...] (or history=[]).",
                ) from None
        notes.append(f"User {query.user_id!r} is not in the graph: the answer rests on what else the call says.")
        return -1

    def _own_history(self, query: Query, user_pos: int, notes: list[str]) -> tuple[PosArray, FloatArray, IntArray | None]:
        if query.history is not None:
            return given_history(query, self._items, notes)
        if user_pos < 0:
            return _NO_ITEMS, _NO_WEIGHTS, None
        return *self._histories.row(user_pos), self._histories.times(user_pos)

    def _friends(self, query: Query, notes: list[str]) -> PosArray:
        if query.friends is None:
            return _NO_ITEMS
        ids = list(query.friends)
        found = self._users.positions(ids)
        if (found < 0).any():
            notes.append(f"{int((found < 0).sum())} of {len(ids)} friends are not in the graph and were skipped.")
        return np.unique(found[found >= 0]).astype(np.int32)

    def _seen(self, query: Query, user_pos: int, own: PosArray, times: IntArray | None) -> PosArray:
        seen = query.exclude_seen
        if not seen:
            return _NO_ITEMS
        if not isinstance(seen, Seen):
            return own
        if query.history is None:
            return self._audience.seen_by(user_pos, seen, query) if user_pos >= 0 else _NO_ITEMS
        if seen.days is None or times is None:
            return own
        now = self._audience.now(query)
        since = (int(times.max(initial=0)) if now is None else now) - round(seen.days * MS_PER_DAY)
        return own[times >= since]

    def _items_position(self, item_id: str) -> int:
        try:
            return self._items.position(item_id)
        except UnknownId as error:
            raise UnknownId("Query.item_id", expected="an item of the graph", got=item_id, remedy=error.remedy) from None


def _asks_for_nobody_else(query: Query) -> bool:
    """Whether the query adds nothing to a user and what it chose."""
    return (
        query.history is None
        and query.item_id is None
        and query.attributes is None
        and query.friends is None
        and query.context is None
        and query.exclude_seen is True
        and not query.exclude
    )


def batch_of(requests: Sequence[Request], num_items: int, mask: BoolArray | None, text: FloatArray | None) -> QueryBatch:
    """The requests as one batch; ``text`` float32 (q, dim) with zero rows, or None."""
    alike = any(r.query.item_id is not None for r in requests)
    signals = any(r.signals for r in requests)
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
        words=tuple(r.query.text or "" for r in requests) if any(r.query.text for r in requests) else None,
        friends=_ragged([r.friends for r in requests]) if signals else None,
        traits=_ragged([r.traits for r in requests]) if signals else None,
        moment=_ragged([r.moment for r in requests]) if signals else None,
        alike=np.array([r.query.item_id is not None for r in requests], np.bool_) if alike else None,
        history_time=_times(requests),
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
        history_time=_stored_times(user_pos, histories, max_history),
    )


def _stored_times(user_pos: IntArray, histories: Histories, max_history: int) -> IntArray | None:
    if histories.time is None:
        return None
    rows = (histories.indptr[user_pos], histories.indptr[user_pos + 1])
    parts = [histories.time[max(start, stop - max_history) : stop] for start, stop in zip(*rows, strict=True)]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _times(requests: Sequence[Request]) -> IntArray | None:
    """When the histories were, end to end; None where no request knows."""
    if len(requests) == 1:
        return requests[0].times
    if all(r.times is None for r in requests):
        return None
    parts = [np.full(len(r.history), MISSING_TIME) if r.times is None else r.times for r in requests]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _ragged(rows: Sequence[PosArray]) -> Ragged | None:
    return Ragged.of(rows) if any(len(row) for row in rows) else None


def _indptr(lengths: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([0, *accumulate(lengths)], np.int64)


def _joined(parts: Sequence[PosArray]) -> PosArray:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else _NO_ITEMS
