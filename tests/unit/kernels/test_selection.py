from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="the extra 'fast' is not installed")

from kgrecall.kernels.selection import MAX_BUCKETS, at_least, best_keys, best_positive, nth_key, order_of

floats = st.floats(width=32, allow_nan=False)


def _best(scores: np.ndarray, positions: np.ndarray, k: int) -> list[int]:
    counts, bits = np.zeros(MAX_BUCKETS, np.int32), (scores + np.float32(0)).view(np.uint32)
    order = np.array([order_of(b) for b in bits], np.uint64)
    keys, best = order << np.uint64(32) | positions.astype(np.uint64), np.empty(len(scores), np.uint64)
    n = best_keys(keys, len(keys), k, counts, best)
    assert not counts.any()
    return (best[:n] & np.uint64(0xFFFFFFFF)).astype(np.int64).tolist()


@settings(deadline=None, max_examples=200)
@given(st.lists(floats | st.sampled_from([0.0, -0.0, 1.0]), max_size=80), st.integers(1, 100))
def test_the_best_come_first_and_ties_go_by_position(scores: list[float], k: int) -> None:
    values = np.array(scores, np.float32)
    positions = np.random.default_rng(k).permutation(len(values))
    expected = positions[np.lexsort((positions, -values))][:k].tolist()
    assert _best(values, positions, k) == expected


@pytest.mark.parametrize("shape", ["one value", "two values", "a hub and a crowd", "smooth", "denormal"])
def test_rows_that_crowd_one_bucket(shape: str) -> None:
    rng = np.random.default_rng(1)
    n = 30_000
    values = {
        "one value": np.ones(n),
        "two values": rng.integers(0, 2, n),
        "a hub and a crowd": np.concatenate([[3e38], np.full(n - 1, 1e-3)]),
        "smooth": rng.standard_normal(n),
        "denormal": rng.integers(0, 50, n) * 1e-45,
    }[shape].astype(np.float32)
    expected = np.lexsort((np.arange(n), -values))[:500].tolist()
    assert _best(values, np.arange(n), 500) == expected


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 2**64 - 1), unique=True, min_size=1, max_size=200), st.data())
def test_the_nth_key(keys: list[int], data: st.DataObject) -> None:
    counts, nth = np.zeros(MAX_BUCKETS, np.int32), data.draw(st.integers(1, len(keys)))
    assert nth_key(np.array(keys, np.uint64), len(keys), nth, counts) == sorted(keys)[nth - 1]
    assert not counts.any()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=300), st.integers(-(2**31), 2**31 - 1))
def test_where_a_row_reaches_a_threshold(values: list[int], threshold: int) -> None:
    row, chosen = np.array(values, np.int32), np.empty(len(values), np.int32)
    found = at_least(row, len(row), np.int32(threshold), chosen)
    assert chosen[:found].tolist() == np.flatnonzero(row >= threshold).tolist()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n", [0, 50, 700, 20_000])
def test_all_of_the_best_are_among_those_that_a_sample_lets_pass(n: int, seed: int) -> None:
    rng, k = np.random.default_rng(seed), 100
    scores = (rng.standard_normal(n) ** 3).astype(np.float32)
    if seed % 2:
        scores[:: max(n // 50, 1)] += np.float32(1e3)  # the sample may see nothing else
    counts, chosen = np.zeros(MAX_BUCKETS, np.int32), np.empty(n, np.int32)
    passed = chosen[: best_positive(scores.view(np.int32), n, k, counts, chosen)]
    best = np.argsort(-scores, kind="stable")[:k]
    assert set(best[scores[best] > 0].tolist()) <= set(passed.tolist())
    assert (scores[passed] > 0).all()
    assert (np.diff(passed) > 0).all()
