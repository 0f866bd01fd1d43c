"""When and where something was chosen: hours, weekdays and other properties of interactions as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from kgrecall.errors import ConfigError
from kgrecall.graph.adjacency import MISSING_TIME, Adjacency
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.query import milliseconds
from kgrecall.recall.channels.popularity import MS_PER_DAY
from kgrecall.recall.channels.sparse_rows import Matrix
from kgrecall.recall.channels.value_codes import ValueCodes, ValueField, joined
from kgrecall.types import IntArray, PosArray

WHAT = "Query.context"
MS_PER_HOUR = MS_PER_DAY // 24
MIN_EVENTS, MAX_VALUES = 3, 1000
"""Values of fewer events are left out; of more values than so many, those of the most events are kept."""
_CLOCK = {"hour": 24, "weekday": 7}


def hours(time: IntArray) -> IntArray:
    """The hour of the day (UTC) of times in ms, 0 .. 23."""
    return time // MS_PER_HOUR % 24


def weekdays(time: IntArray) -> IntArray:
    """The day of the week (UTC) of times in ms, 0 (Monday) .. 6; 1970-01-01 was a Thursday."""
    return (time // MS_PER_DAY + 3) % 7


@dataclass(frozen=True, slots=True)
class Moments:
    """Looks up contexts of calls.

    Args:
        codes: the fields; ``hour`` and ``weekday`` are there when events have times.
    """

    codes: ValueCodes

    def look_up(self, context: Mapping[str, object], notes: list[str]) -> PosArray:
        """Codes of a context, int32 ascending; ``time`` gives hour and weekday unless these are given.

        Raises:
            ConfigError: an unknown field (names the nearest), an hour or weekday that is none, or no time.
        """
        given = dict(context)
        if "time" in given:
            time = np.array(milliseconds(given.pop("time"), f"{WHAT} 'time'"))
            if any(field.name == "hour" for field in self.codes.fields):
                given = {"hour": int(hours(time)), "weekday": int(weekdays(time)), **given}
        for name, size in _CLOCK.items():
            value = given.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < size):
                raise ConfigError(
                    f"{WHAT} {name!r}", expected=f"an integer from 0 to {size - 1}", got=value, remedy="Or pass a time."
                )
        return self.codes.look_up(given, notes)


@dataclass(frozen=True, slots=True, eq=False)
class MomentTable:
    """Every interaction of a graph with its moment.

    Shapes: ``user_pos``, ``item_pos`` int32 (n,), ``time`` int64 ms (n,), ``codes`` int32 (n, num_fields), -1 where unknown.
    """

    moments: Moments
    user_pos: PosArray
    item_pos: PosArray
    time: IntArray
    codes: PosArray

    @classmethod
    def of(cls, snapshot: GraphSnapshot) -> MomentTable | None:
        """The hours and weekdays of events with times, and the context properties of their relations; None without any."""
        edges = snapshot.with_role("interaction")
        time = np.concatenate([np.full(e.num_edges, MISSING_TIME) if e.time is None else e.time for e in edges.values()])
        found = [] if (time == MISSING_TIME).all() else _clock(time)
        specs = {edge_type: snapshot.schema.edge(snapshot.origins[edge_type]) for edge_type in edges}
        for name in dict.fromkeys(prop for spec in specs.values() for prop in spec.context):
            found.append(_named(name, [_values(e, specs[t].context, name) for t, e in edges.items()]))
        known = [(field, codes) for field, codes in found if field.num_values]
        if not known:
            return None
        placed = joined(WHAT, [field for field, _ in known])
        columns = [np.where(codes < 0, -1, codes + field.first) for field, (_, codes) in zip(placed.fields, known, strict=True)]
        return cls(
            Moments(placed),
            np.concatenate([e.sources() for e in edges.values()]),
            np.concatenate([e.indices for e in edges.values()]),
            time,
            np.stack(columns, axis=1).astype(np.int32),
        )

    def under(self) -> Matrix:
        """Which values each event belongs to, float32 (n, num_values): 0.5 for the hours beside its own."""
        rows, columns, values = [], [], []
        for field, codes in zip(self.moments.codes.fields, self.codes.T, strict=True):
            known = np.flatnonzero(codes >= 0)
            steps = ((0, 1.0), (-1, 0.5), (1, 0.5)) if field.name == "hour" else ((0, 1.0),)
            for step, value in steps:
                rows.append(known)
                columns.append(field.first + (codes[known] - field.first + step) % field.num_values)
                values.append(np.full(len(known), value, np.float32))
        shape = (len(self.codes), self.moments.codes.num_values)
        return sp.csr_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)


_Field = tuple[ValueField, NDArray[Any]]


def _clock(time: IntArray) -> list[_Field]:
    missing = time == MISSING_TIME
    columns = {"hour": hours(time), "weekday": weekdays(time)}
    return [
        (ValueField(name, 0, {str(value): value for value in range(size)}), np.where(missing, -1, columns[name]))
        for name, size in _CLOCK.items()
    ]


def _values(edges: Adjacency, context: tuple[str, ...], name: str) -> tuple[list[str], PosArray]:
    """The different values of one context property, "" where it is not known, and which each edge has."""
    if edges.context is None or name not in context or not edges.contexts:
        return [""], np.zeros(edges.num_edges, np.int32)
    place = context.index(name)
    return [str(values[place]) for values in edges.contexts], edges.context


def _named(name: str, parts: Sequence[tuple[list[str], PosArray]]) -> _Field:
    values, which = np.unique(np.array([value for some, _ in parts for value in some], object), return_inverse=True)
    first = np.cumsum([0, *(len(some) for some, _ in parts)])
    codes = np.concatenate([which[start:][own] for start, (_, own) in zip(first[:-1], parts, strict=True)])
    counts = np.bincount(codes, minlength=len(values))
    kept = np.flatnonzero((values != "") & (counts >= MIN_EVENTS))
    kept = np.sort(kept[np.argsort(-counts[kept], kind="stable")[:MAX_VALUES]])
    place = np.full(len(values), -1)
    place[kept] = np.arange(len(kept))
    return ValueField(name, 0, {str(values[v]): code for code, v in enumerate(kept)}), place[codes]
