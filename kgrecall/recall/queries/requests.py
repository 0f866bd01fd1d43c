"""From a user's :class:`~kgrecall.types.Query` to positions: ids are looked up once, and what has no answer is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kgrecall.errors import UnknownId
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.query import Seen
from kgrecall.recall.base import Signal
from kgrecall.recall.channels.popularity import MS_PER_DAY
from kgrecall.recall.histories import Histories
from kgrecall.recall.queries.audience import Audience
from kgrecall.recall.queries.eligible import item_positions
from kgrecall.recall.queries.starts import after, given_history, led_by, pooled
from kgrecall.recall.queries.words import Taste, Words
from kgrecall.types import FloatArray, IntArray, PosArray, Query

_NO_ITEMS = np.zeros(0, np.int32)
_NO_WEIGHTS = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One query in positions.

    ``user_pos`` is -1 unless the stored user itself is asked about; ``history`` is what channels start from, ``times`` when it
    was, where that is known; ``exclude`` are distinct items never returned; ``known`` says that the history is a stored user's.
    ``friends``, ``traits`` and ``moment`` are those of :class:`~kgrecall.recall.base.QueryBatch`; ``taste`` are items of the
    history that were not chosen but stand for a taste.
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
    taste: PosArray = field(default_factory=lambda: _NO_ITEMS)

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
        words: reads what is said of a taste.
        audience: what attributes, contexts and kinds of events mean; queries with them are refused where it does not know.
    """

    def __init__(
        self,
        users: Vocabulary,
        items: Vocabulary,
        histories: Histories,
        max_history: int,
        words: Words,
        audience: Audience | None = None,
    ) -> None:
        self._words = words
        self._users, self._items, self._histories, self._max_history = users, items, histories, max_history
        self._audience = audience or Audience()

    def resolve(self, queries: Sequence[Query]) -> list[Request]:
        """Positions for each query.

        A history in the call replaces the stored one; without any, the friends' histories are the start. Items that stand for a
        taste come before it. ``item_id`` leads, and a history beside it weighs less. Unknown history, friends, excluded and
        allowed ids are skipped with a note.

        Raises:
            UnknownId: the user is not in the graph and nothing else was given, or the item is not in the graph.
            ConfigError: an attribute, context or relation that the graph does not have.
            Unsupported: the engine was made without what the query needs.
        """
        tastes = self._words.tastes(queries)
        return [self._resolved(query, taste) for query, taste in zip(queries, tastes, strict=True)]

    def _resolved(self, query: Query, taste: Taste | None) -> Request:
        if query.user_id is not None and _asks_for_nobody_else(query) and query.user_id in self._users:
            return self._of_user(query, self._users.position(query.user_id))
        notes: list[str] = []
        user_pos = self._user(query, notes)
        own, weights, times = self._own_history(query, user_pos, notes)
        friends = self._friends(query, notes)
        pooled_start = not len(own) and len(friends) > 0
        items, weights = pooled(self._histories, friends) if pooled_start else (own, weights)
        excluded = [self._seen(query, user_pos, own, times), item_positions(self._items, query.exclude, "excluded", notes)]
        stored = query.history is None and query.item_id is None and user_pos >= 0 and not pooled_start and taste is None
        if taste is not None:
            items, weights = after(taste.items, taste.weights, items, weights)
            notes.append(self._read_as(taste))
        if query.item_id is not None:
            item = self._items_position(query.item_id)
            items, weights = led_by(item, items, weights)
            excluded.append(items[-1:])
        if pooled_start or query.item_id is not None or taste is not None:
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
            taste=_NO_ITEMS if taste is None else np.setdiff1d(taste.items, own),
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
        others = (query.history, query.text, query.taste, query.item_id, query.attributes, query.friends)
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

    def _read_as(self, taste: Taste) -> str:
        if not len(taste.items):
            return "No item has a text near the taste: the answer rests on what else the call says."
        nearest = ", ".join(map(repr, self._items.ids_at(taste.items[::-1])))
        return f"The taste was read as a liking for {nearest}: items chosen for their texts, not by the visitor."

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
        and query.taste is None
        and query.attributes is None
        and query.friends is None
        and query.context is None
        and query.exclude_seen is True
        and not query.exclude
    )
