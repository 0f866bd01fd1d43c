"""When and where something was chosen: hours, weekdays and other properties of interactions as codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from kgrecall.errors import ConfigError
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.query import milliseconds
from kgrecall.recall.popularity import MS_PER_DAY
from kgrecall.recall.sparse_rows import Matrix
from kgrecall.recall.value_codes import ValueCodes, ValueField
from kgrecall.types import IntArray, PosArray

WHAT = "Query.context"
MS_PER_HOUR = MS_PER_DAY // 24
_CLOCK = {"hour": 24, "weekday": 7}


def hours(time: IntArray) -> IntArray:
    """The hour of the day (UTC) of times in ms, 0 .. 23."""
    return time // MS_PER_HOUR % 24


def weekdays(time: IntArray) -> IntArray:
    """The day of the week (UTC) of times in ms, 0 (Monday) .. 6; 1970-01-01 was a Thursday."""
    return (time // MS_PER_DAY + 3) % 7


def clock_fields() -> list[ValueField]:
    return [ValueField(name, 0, {str(value): value for value in range(size)}) for name, size in _CLOCK.items()]


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


def clock_membership(time: IntArray) -> Matrix:
    """Which hours and weekdays each event belongs to, float32 (n, 31): 0.5 for the hours beside its own; nothing where a
    time is missing."""
    rows = np.flatnonzero(time != MISSING_TIME)
    hour, day = hours(time[rows]), weekdays(time[rows])
    columns = np.stack([hour, (hour - 1) % 24, (hour + 1) % 24, 24 + day], axis=1).ravel()
    values = np.tile(np.array([1, 0.5, 0.5, 1], np.float32), len(rows))
    shape = (len(time), sum(_CLOCK.values()))
    return sp.csr_array((values, (np.repeat(rows, 4), columns)), shape=shape)
