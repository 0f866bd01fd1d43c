"""One question to the engine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np

from kgrecall.errors import ConfigError, Shown, nearest

Moment = int | str | datetime
"""A time: int64 milliseconds since 1970 UTC, ISO 8601, or a datetime; UTC where no zone is given."""
_COLLECTIONS = {
    **{"history": "ids", "friends": "ids", "exclude": "ids", "allow": "ids", "channels": "names"},
    **{"history_weights": "numbers", "history_times": "times"},
}
_STRINGS = ("user_id", "item_id", "text", "taste")
_LEAST_WEIGHT = 1e-30
"""Sums of weights must fit into float32."""
_LAST_MS = np.iinfo(np.int64).max
_STARTS = ("user_id", "history", "text", "taste", "item_id", "attributes", "friends", "context")


@dataclass(frozen=True, slots=True)
class Seen:
    """Which of a user's items count as seen.

    Args:
        events: only items of these interaction relations; None for all. A history in the call counts under any.
        days: only events of so many days before the query's time (``context["time"]``, else the latest event of the graph).
    """

    events: tuple[str, ...] | None = None
    days: float | None = None

    def __post_init__(self) -> None:
        named = self.events is None or (isinstance(self.events, Iterable) and all(isinstance(one, str) for one in self.events))
        if isinstance(self.events, (str, Mapping)) or not named:
            raise ConfigError("Seen.events", expected="names of relations", got=self.events, remedy="Put them into a list.")
        if self.days is not None and not (_is_number(self.days) and 0 < self.days < math.inf):
            raise ConfigError(
                "Seen.days", expected="a number of days > 0", got=self.days, remedy="Leave it out for all events."
            )
        object.__setattr__(self, "events", None if self.events is None else tuple(self.events))


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. Everything is optional but something must be given; several things may be given at once.

    Args:
        user_id: a user of the graph; its interactions are the history unless ``history`` is given too.
        history: item ids, oldest first; replaces the stored history.
        history_weights: one positive weight per history item; 1 when not given.
        history_times: one time per history item: the history may then stand in any order, and ``Seen.days`` holds for it.
        text: free text that is searched for ("space adventure with robots"): what fits it best leads the answer.
        taste: what a visitor says of their taste ("slow crime novels from the north"): the items whose texts come nearest stand
            for a history, or before the one that is given, and the answer is what somebody would choose who chose them.
        item_id: "more like this" item.
        attributes: what is known of a visitor, by the names of user properties and relations, such as ``{"gender": "F",
            "age": 25, "LIVES_IN": "Norway"}``: users who share them vote. A known user without history has the graph's.
        friends: user ids whose choices vote; without a history of one's own theirs is the start.
        context: when and where it is asked: ``time`` (or ``hour`` 0 to 23 and ``weekday`` 0, Monday, to 6, both UTC), and
            the properties of interactions that the graph was built with, such as ``{"time": "2026-05-01T20:00", "device":
            "phone"}``.
        k: how many candidates to return.
        exclude: item ids never returned.
        allow: only these item ids may be returned; None means all.
        filter: only items that fulfil it are returned: a text such as ``"price < 20 and HAS_GENRE any ['Drama']"``, the
            same as a JSON object, or conditions written with :class:`kgrecall.recall.filtering.filters.Field`.
        exclude_seen: leave out what was seen: all of the history, nothing, or what :class:`Seen` says.
        channels: names of the channels to ask; None means all that the engine was built with.
        plan: rounds, guarantees, rules and diversification: a :class:`kgrecall.recall.planning.plan.Plan`, or the same as a
        JSON object.
    """

    user_id: str | None = None
    history: Sequence[str] | None = None
    history_weights: Sequence[float] | None = None
    text: str | None = None
    item_id: str | None = None
    k: int = 100
    exclude: frozenset[str] = frozenset()
    allow: frozenset[str] | None = None
    filter: object | None = None
    exclude_seen: bool | Seen = True
    channels: tuple[str, ...] | None = None
    history_times: Sequence[Moment] | None = None
    attributes: Mapping[str, object] | None = None
    friends: Sequence[str] | None = None
    context: Mapping[str, object] | None = None
    plan: object | None = None
    taste: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, (int, np.integer)) or self.k <= 0:
            raise ConfigError(
                "Query.k",
                expected="an integer >= 1",
                got=self.k,
                remedy="Say how many candidates you want, e.g. k=100.",
            )
        if all(getattr(self, name) is None or getattr(self, name) == "" for name in _STARTS):
            raise ConfigError(
                "Query",
                expected=f"at least one of {', '.join(_STARTS)}",
                got=Shown("none of them"),
                remedy="For popular items of an unknown visitor pass history=[].",
            )
        for name in _COLLECTIONS:
            self._check_collection(name)
        for name in _STRINGS:
            if not isinstance(getattr(self, name), (str, type(None))):
                raise ConfigError(f"Query.{name}", expected="a string", got=getattr(self, name), remedy="Put it into quotes.")
        if not isinstance(self.exclude_seen, (bool, Seen)):
            raise ConfigError(
                "Query.exclude_seen",
                expected="True, False, or what Seen(...) says",
                got=self.exclude_seen,
                remedy="For example Seen(days=30).",
            )
        for name in ("attributes", "context"):
            self._check_mapping(name)
        self._check_weights()
        self._check_times()
        object.__setattr__(self, "exclude", frozenset(self.exclude))
        object.__setattr__(self, "allow", None if self.allow is None else frozenset(self.allow))
        object.__setattr__(self, "channels", None if self.channels is None else tuple(self.channels))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Query:
        """A query from a JSON object; ``exclude_seen`` may be an object with the fields of :class:`Seen`.

        Raises:
            ConfigError: an unknown field (names the nearest), or what the constructor refuses.
        """
        known = _known(cls, given)
        if isinstance(known.get("exclude_seen"), Mapping):
            known["exclude_seen"] = Seen(**_known(Seen, known["exclude_seen"]))
        return cls(**known)

    @property
    def history_ms(self) -> list[int] | None:
        """``history_times`` in milliseconds."""
        if self.history_times is None:
            return None
        return [milliseconds(time, "Query.history_times") for time in self.history_times]

    def _check_collection(self, name: str) -> None:
        """Strings, but for numbers and times of the history; what can be walked through only once is kept as a tuple."""
        given = getattr(self, name)
        if given is None:
            return
        if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
            raise ConfigError(
                f"Query.{name}",
                expected=f"a collection of {_COLLECTIONS[name]}",
                got=given,
                remedy="Put the single value into a list.",
            )
        if isinstance(given, Iterator):
            object.__setattr__(self, name, tuple(given))
        if _COLLECTIONS[name] not in ("ids", "names"):
            return
        other = next((value for value in getattr(self, name) if not isinstance(value, str)), None)
        if other is not None or None in getattr(self, name):
            raise ConfigError(
                f"Query.{name}",
                expected=f"{_COLLECTIONS[name]} as strings",
                got=other,
                remedy="Put each into quotes: str(...).",
            )

    def _check_mapping(self, name: str) -> None:
        given = getattr(self, name)
        if given is not None and not (isinstance(given, Mapping) and all(isinstance(key, str) for key in given)):
            raise ConfigError(
                f"Query.{name}", expected="a mapping from names to values", got=given, remedy='For example {"age": 25}.'
            )

    def _check_weights(self) -> None:
        if self.history_weights is None:
            return
        got = len(self.history_weights)
        expected = len(self.history or ())
        if got != expected or not all(_is_number(w) and _LEAST_WEIGHT <= w <= 1 / _LEAST_WEIGHT for w in self.history_weights):
            raise ConfigError(
                "Query.history_weights",
                expected=f"{expected} positive numbers (1e-30 to 1e30), one per history item",
                got=list(self.history_weights),
                remedy="Leave it out to weigh all history items alike.",
            )

    def _check_times(self) -> None:
        times = self.history_ms
        if times is not None and len(times) != len(self.history or ()):
            raise ConfigError(
                "Query.history_times",
                expected=f"{len(self.history or ())} times, one per history item",
                got=len(times),
                remedy="Leave it out when the history stands oldest first.",
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _known(kind: type[Query] | type[Seen], given: Mapping[str, Any]) -> dict[str, Any]:
    names = [field.name for field in fields(kind)]
    for name in given:
        if name not in names:
            raise ConfigError(kind.__name__, expected="a known field", got=name, remedy=nearest(name, names))
    return dict(given)


def milliseconds(value: object, what: str) -> int:
    """A :data:`Moment` as int64 milliseconds since 1970 UTC.

    Raises:
        ConfigError: it is no time; names ``what``.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and abs(int(value)) <= _LAST_MS:
        return int(value)
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        time = None
    if not isinstance(time, datetime):
        raise ConfigError(
            what, expected="a time", got=value, remedy="Write it like '2024-05-01' or '2024-05-01T12:00Z', or in milliseconds."
        )
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
