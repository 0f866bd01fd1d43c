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
"""Environment variable, read once: ``0`` never, ``1`` from the first query; else after ``AFTER`` queries."""
AFTER = 256


class _Tier:
    """What this process has answered so far, and the loops once they are loaded."""

    def __init__(self) -> None:
        self.loops: Loops | None = None
        self.active: Loops | None = None
        self.answered = 0
        self.after = {"0": None, "1": 0}.get(os.environ.get(SWITCH, ""), AFTER)
        self.available = importlib.util.find_spec("numba") is not None
        self.loading = Lock()


_TIER = _Tier()


def compiled() -> Loops | None:
    """The compiled loops when they are loaded and wanted, else None."""
    return _TIER.active


def answering(num_queries: int) -> None:
    """Say that so many queries are about to be answered; loads the loops when that makes it worth while."""
    if _TIER.active is None and _TIER.after is not None:
        _TIER.answered += num_queries
        if _TIER.answered >= _TIER.after:
            load()


def load() -> bool:
    """Load the loops now; whether they are there. A service calls this before its first request.

    While one thread loads them, others go on with numpy.
    """
    if _TIER.active is None and _TIER.available and _TIER.after is not None and _TIER.loading.acquire(blocking=False):
        try:
            from kgrecall.kernels.loops import Loops

            _TIER.loops = _TIER.active = _TIER.loops or Loops()
        finally:
            _TIER.loading.release()
    return _TIER.active is not None


def use(wanted: bool) -> bool:
    """Answer with compiled loops from now on, or with numpy alone; whether there are loops. For tests and comparisons."""
    _TIER.active, _TIER.after = None, 0 if wanted else None
    return load()
