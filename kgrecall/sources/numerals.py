"""Whole numbers as text, each written once: ids that are counted through are dense, and repeat a thousand times."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_GREATEST = 2**63 - 1
_MOST = 1 << 20
"""Numbers that are remembered: some 12 MB."""


class Numerals:
    """Writes columns of whole numbers; remembers the texts of a stretch of them from one column to the next.

    The stretch grows to hold a column where that takes no more new texts than values were asked for so far, so that all of
    them together never cost more than writing each value by itself.
    """

    def __init__(self) -> None:
        self._first = 0
        self._texts = pa.array([], pa.string())
        self._asked = 0

    def texts_of(self, values: pa.Array) -> pa.StringArray:
        """The decimal digits of integers (n,) -> string (n,), null where there is none."""
        self._asked += len(values)
        ends = pc.min_max(values)
        least, greatest = ends["min"].as_py(), ends["max"].as_py()
        if least is None or not self._hold(least, greatest):
            return values.cast(pa.string())
        return self._texts.take(pc.subtract(values.cast(pa.int64()), self._first))

    def _hold(self, least: int, greatest: int) -> bool:
        """Whether all numbers of the stretch are remembered, now or before."""
        known = len(self._texts)
        first, end = self._first, self._first + known
        if not known:
            first = end = least
        below, above = max(first - least, 0), max(greatest + 1 - end, 0)
        if greatest > _GREATEST or below + above > min(self._asked, _MOST - known):
            return False
        if below or above:
            parts = (_texts(first - below, first), self._texts, _texts(end, end + above))
            self._first, self._texts = first - below, pa.concat_arrays(parts)
        return True


def _texts(first: int, end: int) -> pa.StringArray:
    return pa.array(np.arange(first, end, dtype=np.int64)).cast(pa.string())
