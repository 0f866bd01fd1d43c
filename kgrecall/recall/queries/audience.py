"""What an engine knows of its audience beside what each user chose: attributes, moments, and kinds of events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgrecall.errors import Shown, Unsupported
from kgrecall.query import Seen, milliseconds
from kgrecall.recall.channels.moments import Moments
from kgrecall.recall.channels.sparse_rows import Matrix
from kgrecall.recall.channels.traits import traits_of
from kgrecall.recall.channels.value_codes import ValueCodes
from kgrecall.recall.queries.seen import SeenEvents
from kgrecall.types import PosArray, Query

_NOTHING = np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Audience:
    """Looks up what queries say of a visitor and of the moment.

    Args:
        traits: the fields of user attributes, and float32 (num_users, num_values): which user has which value.
        moments: the fields of contexts.
        events: the events of each user by relation.
    """

    traits: tuple[ValueCodes, Matrix] | None = None
    moments: Moments | None = None
    events: SeenEvents | None = None

    def traits_of(self, query: Query, user_pos: int, notes: list[str]) -> PosArray:
        """Codes of the attributes of a call, else of a stored user (-1 for none).

        Raises:
            ConfigError: an unknown attribute; names the nearest.
            Unsupported: the engine has no attributes of users.
        """
        if query.attributes is not None:
            if self.traits is None:
                raise _unsupported("Query.attributes", "attributes of users")
            return self.traits[0].look_up(query.attributes, notes)
        return self.stored_traits(user_pos)

    def stored_traits(self, user_pos: int) -> PosArray:
        """Codes of the attributes that the graph has of a user, none for -1."""
        return _NOTHING if self.traits is None or user_pos < 0 else traits_of(self.traits[1], user_pos)

    def moment_of(self, query: Query, notes: list[str]) -> PosArray:
        """Codes of the context of a call. Raises as :meth:`traits_of`."""
        if query.context is None:
            return _NOTHING
        if self.moments is None:
            raise _unsupported("Query.context", "moments: events with times or context")
        return self.moments.look_up(query.context, notes)

    def seen_by(self, user_pos: int, seen: Seen, query: Query) -> PosArray:
        """Items of a stored user that count as seen. Raises as :meth:`SeenEvents.items`, or Unsupported."""
        if self.events is None:
            raise _unsupported("Query.exclude_seen", "the events of users")
        return self.events.items(user_pos, seen, self.now(query))

    def now(self, query: Query) -> int | None:
        """The time that a query says it is, ms."""
        time = (query.context or {}).get("time")
        return None if time is None else milliseconds(time, "Query.context 'time'")


def _unsupported(what: str, needed: str) -> Unsupported:
    return Unsupported(
        what, expected=f"an engine that knows {needed}", got=Shown("one that does not"), remedy="Build from such a graph."
    )
