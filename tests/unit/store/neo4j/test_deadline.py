"""Calls with a deadline: one that is left behind keeps what it works on open."""

from __future__ import annotations

import threading
from typing import NoReturn

import pytest

from kgrecall.errors import StoreTimeout
from kgrecall.store.neo4j.deadline import Deadlines


class Door:
    """Counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def reads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kgrecall-read"]


def test_a_call_gives_its_outcome() -> None:
    def broken() -> NoReturn:
        raise KeyError("x")

    door = Door()
    deadlines = Deadlines("here", door.close)
    assert deadlines.within(10, lambda: 7) == 7
    with pytest.raises(KeyError, match="x"):
        deadlines.within(10, broken)
    assert not door.closed
    deadlines.close()
    deadlines.close()
    assert door.closed == 1, "closed at once, and once"


def test_a_call_that_raises_its_own_timeout_is_not_taken_for_a_late_one() -> None:
    def hasty() -> NoReturn:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        Deadlines("here", Door().close).within(10, hasty)


def test_what_a_late_call_works_on_stays_open_until_it_is_done() -> None:
    door, go = Door(), [threading.Event(), threading.Event()]
    deadlines = Deadlines("here", door.close)
    for event in go:
        with pytest.raises(StoreTimeout, match=r"within 0\.01 s"):
            deadlines.within(0.01, event.wait)
    deadlines.close()
    late = reads()
    assert (len(late), door.closed) == (2, 0)
    for event, thread, closed in zip(go, late, (0, 1), strict=True):
        event.set()
        thread.join()
        assert door.closed == closed, "by the last one"
