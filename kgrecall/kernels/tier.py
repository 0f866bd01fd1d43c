"""When compiled loops answer: once they pay, and where numba is installed; numpy answers the same until then.

Loading them costs about half a second (and once per machine and version some seconds of compilation), so that a command that
asks one question does without, and a process that goes on asking changes over by itself.
"""

from __future__ import annotations

import importlib.util
import os
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kgrecall.kernels.loops import Loops

SWITCH = "KGRECALL_COMPILED"
"""Environment variable: ``0`` never, ``1`` from the first query; else after ``AFTER`` queries."""
AFTER = 256


class _Tier:
    """What this process has answered so far, and the loops once they are loaded."""

    def __init__(self) -> None:
        self.loops: Loops | None = None
        self.answered = 0
        self.available = importlib.util.find_spec("numba") is not None
        self.loading = Lock()


_TIER = _Tier()


def compiled() -> Loops | None:
    """The compiled loops when they are loaded and wanted, else None."""
    return _TIER.loops if os.environ.get(SWITCH) != "0" else None


def answering(num_queries: int) -> None:
    """Say that so many queries are about to be answered; loads the loops when that makes it worth while."""
    _TIER.answered += num_queries
    if _TIER.loops is None and (_TIER.answered >= AFTER or os.environ.get(SWITCH) == "1"):
        load()


def load() -> bool:
    """Load the loops now; whether they are there. A service calls this before its first request.

    While one thread loads them, others go on with numpy.
    """
    if _TIER.loops is None and _TIER.available and os.environ.get(SWITCH) != "0" and _TIER.loading.acquire(blocking=False):
        try:
            from kgrecall.kernels.loops import Loops

            _TIER.loops = Loops()
        finally:
            _TIER.loading.release()
    return compiled() is not None
