"""Reading ahead changes nothing but the time it takes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.sources.tables import NodeBatch, Origin
from kgrecall.store.ahead import read_ahead


def batch(number: int) -> NodeBatch:
    return NodeBatch("User", pa.array([str(number)]), {}, Origin("f", np.array([number + 1])))


def numbers(batches: Iterator[NodeBatch]) -> list[int]:
    return [int(batch.keys[0].as_py()) for batch in batches]


def helpers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "kgrecall-read-ahead"]


@pytest.mark.parametrize("count", [0, 1, 50])
def test_all_of_them_in_their_order(count: int) -> None:
    assert numbers(read_ahead(map(batch, range(count)))) == list(range(count))
    assert helpers() == []


def test_a_failure_comes_behind_what_was_read() -> None:
    def failing() -> Iterator[NodeBatch]:
        yield from map(batch, range(9))
        raise ValueError("the tenth")

    seen: list[NodeBatch] = []
    with pytest.raises(ValueError, match="the tenth"):
        seen.extend(read_ahead(failing()))
    assert numbers(iter(seen)) == list(range(9))
    assert helpers() == []


def test_leaving_early_closes_the_reader() -> None:
    closed = threading.Event()

    def endless() -> Iterator[NodeBatch]:
        try:
            yield from map(batch, range(10**9))
        finally:
            closed.set()

    batches = read_ahead(endless())
    assert numbers(islice(batches, 3)) == [0, 1, 2]
    batches.close()
    assert closed.is_set()
    assert helpers() == []
