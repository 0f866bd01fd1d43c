"""How long after the one before something was chosen: times between events as a few codes."""

from __future__ import annotations

import numpy as np

from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.types import IntArray

NUM_GAPS = 26
"""0: not known; 1: within the same second; each further code is twice as long; the last one: half a year and more."""
_MS_PER_SECOND = 1000


def gap_codes(time: IntArray, before: IntArray) -> IntArray:
    """Codes of the times between events and those before them, int64 (n,) 0 .. NUM_GAPS - 1.

    Shapes: time, before int64 ms (n,), MISSING_TIME where not known.
    """
    known = (time != MISSING_TIME) & (before != MISSING_TIME)
    seconds = np.maximum(np.where(known, time - before, 0), 0) / _MS_PER_SECOND
    code = 1 + np.ceil(np.log2(1 + np.floor(seconds))).astype(np.int64)
    return np.where(known, np.minimum(code, NUM_GAPS - 1), 0)
