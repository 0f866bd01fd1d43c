"""What a user has seen already: all of the history, or only some kinds of events, or only the latest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kgrecall.errors import ConfigError, Shown, nearest
from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.query import Seen
from kgrecall.recall.channels.popularity import MS_PER_DAY
from kgrecall.types import IntArray, PosArray


class SeenEvents:
    """The events of every user by relation.

    Args:
        relations: per name of an interaction relation, its edges, users as sources and items as targets.
    """

    def __init__(self, relations: Mapping[str, Sequence[Adjacency]]) -> None:
        self._relations = dict(relations)
        times = [edges.time.max(initial=0) for parts in relations.values() for edges in parts if edges.time is not None]
        self.latest = int(max(times, default=0))
        """The time of the latest event, ms."""

    @classmethod
    def of(cls, snapshot: GraphSnapshot) -> SeenEvents:
        relations: dict[str, list[Adjacency]] = {}
        for (_, name, _), edges in snapshot.with_role("interaction").items():
            relations.setdefault(name, []).append(edges)
        return cls(relations)

    def items(self, user_pos: int, seen: Seen, now: int | None) -> PosArray:
        """Items of one user that count as seen, int32 ascending. An event of unknown time is older than any.

        Args:
            now: ms; None for the time of the latest event.

        Raises:
            ConfigError: an unknown relation (names the nearest), or days where events have no times.
        """
        since = None if seen.days is None else (self.latest if now is None else now) - round(seen.days * MS_PER_DAY)
        rows = [self._row(edges, user_pos, since, name) for name in self._names(seen) for edges in self._relations[name]]
        return np.unique(np.concatenate([np.zeros(0, np.int32), *rows]))

    def _names(self, seen: Seen) -> Sequence[str]:
        for name in seen.events or ():
            if name not in self._relations:
                raise ConfigError(
                    "Seen.events", expected="interaction relations", got=name, remedy=nearest(name, self._relations)
                )
        return tuple(self._relations) if seen.events is None else seen.events

    def _row(self, edges: Adjacency, user_pos: int, since: int | None, name: str) -> PosArray:
        part = slice(int(edges.indptr[user_pos]), int(edges.indptr[user_pos + 1]))
        items: PosArray = edges.indices[part]
        if since is None:
            return items
        if edges.time is None:
            raise ConfigError(
                "Seen.days", expected=f"events of {name} with times", got=Shown("none"), remedy="Leave Seen.days out."
            )
        times: IntArray = edges.time[part]
        return items[times >= since]
