"""The best places of lists by several weighted sums at once, compiled and by numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from kgrecall.kernels import tier
from kgrecall.recall.fusion.weighted_sums import best_places
from kgrecall.types import FloatArray, PosArray

WAYS = (False, True)


@pytest.fixture(params=WAYS, ids=["numpy", "compiled"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    if tier.use(request.param) != request.param:
        pytest.skip("the extra 'fast' is not installed")
    yield
    tier.use(True)


def by_sorting(scores: FloatArray, positions: PosArray, weights: FloatArray, k: int, above: float) -> PosArray:
    """Every sum written down and sorted, ties by place."""
    places = np.full((len(weights), len(positions), k), -1, np.int32)
    for t, weight in enumerate(weights):
        for i, row in enumerate(scores):
            totals = (row.astype(np.float64) @ weight.astype(np.float64)).astype(np.float32)
            listed = np.flatnonzero((positions[i] >= 0) & (totals > above))
            best = listed[np.lexsort((listed, -totals[listed]))][:k]
            places[t, i, : len(best)] = best
    return places


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("above", [-np.inf, 0.0])
@pytest.mark.parametrize(("width", "k"), [(60, 20), (12, 20), (20, 20)])
def test_places_are_those_of_a_full_sort(seed: int, above: float, width: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((600, width, 5), np.float32)
    scores[rng.random(scores.shape) < 0.5] = 0
    scores[:, ::3] = np.round(scores[:, ::3], 1)  # ties
    positions = np.where(np.arange(width) < rng.integers(0, width + 1, (600, 1)), 7, -1).astype(np.int32)
    weights = np.round(rng.random((4, 5), np.float32), 1)
    weights[0] = 0
    weights[1, 1:] = 0
    found = best_places(scores, positions, weights, k, above=above)
    np.testing.assert_array_equal(found, by_sorting(scores, positions, weights, k, above))


def test_nobody_asks() -> None:
    nothing = best_places(np.zeros((0, 3, 2), np.float32), np.zeros((0, 3), np.int32), np.ones((2, 2), np.float32), 5)
    assert nothing.shape == (2, 0, 5)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_do_not_show(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores, weights = rng.random((1000, 30, 3), np.float32), rng.random((3, 3), np.float32)
    positions = np.zeros((1000, 30), np.int32)
    once = best_places(scores, positions, weights, 10)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    np.testing.assert_array_equal(best_places(scores, positions, weights, 10), once)
