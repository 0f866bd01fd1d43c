"""Work in parts: the same results in the same order, however many threads there are."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from scipy import sparse

from kgrecall.recall.channels.cooccurrence import cooccurrence
from kgrecall.threads import SWITCH, in_order, num_threads, ranges


@pytest.fixture(params=["1", "4"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv(SWITCH, request.param)
    return int(request.param)


def test_results_come_in_the_order_of_the_parts(threads: int) -> None:
    def work(part: int) -> int:
        time.sleep(0.002 * (part % 3 == 0))
        return part * part

    assert list(in_order(work, range(50))) == [part * part for part in range(50)]


def test_parts_run_beside_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "3")
    meeting = threading.Barrier(3, timeout=30)  # passes only once three are there
    assert len(list(in_order(lambda part: meeting.wait(), range(3)))) == 3


def test_few_results_wait(threads: int) -> None:
    begun: list[int] = []
    results = in_order(lambda part: begun.append(part), range(1000))
    next(results)
    time.sleep(0.05)
    assert len(begun) <= threads + 1
    results.close()


def test_the_first_error_ends_it(threads: int) -> None:
    begun: list[int] = []

    def work(part: int) -> int:
        begun.append(part)
        if part == 3:
            raise ValueError("three")
        return part

    with pytest.raises(ValueError, match="three"):
        list(in_order(work, range(1000)))
    assert len(begun) < 20


def test_an_error_of_what_gives_the_parts_arrives(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda part: part, (1 // part for part in (1, 0))))


def test_inside_a_thread_there_are_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "4")
    assert list(in_order(lambda part: num_threads(), range(8))) == [1] * 8
    assert num_threads() == 4


@pytest.mark.parametrize("told", ["", "none", "0", "-1"])
def test_without_a_number_each_core_has_one_up_to_eight(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, told)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(3)), raising=False)
    assert num_threads() == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)), raising=False)
    assert num_threads() == 8


def test_the_first_of_several_levels_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "5,2")
    assert num_threads() == 5


def test_ranges_cover_everything_once() -> None:
    assert list(ranges(7, 3)) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert list(ranges(0, 3)) == []


def test_a_similarity_has_the_same_bits_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = sparse.random_array((60, 40), density=0.2, rng=np.random.default_rng(0), format="csr", dtype=np.float32)
    found = []
    for number in ("1", "2", "4"):
        monkeypatch.setenv(SWITCH, number)
        found.append(cooccurrence(matrix, column_norm=0.5, row_norm=0.5, target_norm=0.3, k=5, block_products=40))
    for other in found[1:]:
        np.testing.assert_array_equal(other.toarray(), found[0].toarray())
