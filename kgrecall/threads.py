"""Work in parts on the cores that there are. What comes out does not depend on how many."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import local
from typing import TypeVar

SWITCH = "OMP_NUM_THREADS"
"""Environment variable: at most so many threads, as for the libraries below."""
_MOST = 8
"""Without it: each thread holds arrays of its own, so that memory grows with them."""
_Part = TypeVar("_Part")
_Result = TypeVar("_Result")


class _Place(local):
    inside = False


_PLACE = _Place()


def num_threads() -> int:
    """What ``OMP_NUM_THREADS`` says, else one for each core this process may use, at most eight; 1 inside such a thread."""
    if _PLACE.inside:
        return 1
    told = os.environ.get(SWITCH, "").split(",")[0].strip()
    if told.isdecimal() and int(told) > 0:
        return int(told)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST)


def in_order(work: Callable[[_Part], _Result], parts: Iterable[_Part]) -> Iterator[_Result]:
    """``map(work, parts)`` on several threads: worth while where the work leaves the interpreter's lock alone.

    Few results wait at a time. The first error ends it, once the parts that were begun are done.
    """
    threads = num_threads()
    if threads == 1:
        yield from map(work, parts)
        return

    def inside(part: _Part) -> _Result:
        _PLACE.inside = True
        return work(part)

    with ThreadPoolExecutor(threads, thread_name_prefix="kgrecall") as pool:
        begun: deque[Future[_Result]] = deque()
        try:
            for part in parts:
                begun.append(pool.submit(inside, part))
                if len(begun) > threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()


def ranges(size: int, length: int) -> Iterator[slice]:
    """``range(size)`` in stretches of at most ``length``."""
    for start in range(0, size, length):
        yield slice(start, min(start + length, size))
