"""A scan that looks at 16-bit numbers first gives the bits of the one that does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="the extra 'fast' is not installed")

from kgrecall.index.base import ExactIndex
from kgrecall.index.rounded import TILE, Rounded
from kgrecall.kernels import machine, tier


def _same(vectors: np.ndarray, queries: np.ndarray, k: int, mask: np.ndarray | None = None) -> None:
    index = ExactIndex(vectors)
    tier.use(False)
    slow = index.search(queries, k, mask=mask)
    assert tier.use(True)
    fast = index.search(queries, k, mask=mask)
    np.testing.assert_array_equal(slow[0], fast[0])
    np.testing.assert_array_equal(slow[1], fast[1])


def _drawn(seed: int, num_vectors: int, dim: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num_vectors, dim)).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 3000), st.integers(1, 40), st.integers(0, 21), st.integers(1, 400), st.sampled_from([None, 0.9, 0.3, 0.02])
)
def test_any_size(num_vectors: int, dim: int, num_queries: int, k: int, share: float | None) -> None:
    mask = None if share is None else np.random.default_rng(k).random(num_vectors) < share
    _same(_drawn(1, num_vectors, dim), _drawn(2, num_queries, dim), k, mask)


@pytest.mark.parametrize("num_queries", [1, 3, 4, 18, 37])
@pytest.mark.parametrize(
    "shape", ["close", "equal", "one is long", "zeros", "huge", "tiny", "the best lie together", "the sample misleads"]
)
def test_vectors_that_16_bits_cannot_tell_apart(shape: str, num_queries: int) -> None:
    vectors, queries = _drawn(3, 6000, 16), _drawn(4, num_queries, 16)
    match shape:
        case "close":
            vectors = vectors[:1] + np.float32(1e-6) * vectors
        case "equal":
            vectors[500:5500] = vectors[7]
        case "one is long":
            vectors[17] *= 1e4
        case "zeros":
            vectors[::3], queries[::2] = 0, 0
        case "huge":
            vectors, queries = vectors * np.float32(1e17), queries * np.float32(1e17)
        case "tiny":
            vectors, queries = vectors * np.float32(1e-18), queries * np.float32(1e-15)
        case "the best lie together":
            vectors[1000:1600] += 3 * queries[0]
        case "the sample misleads":
            num_tiles = 6000 // TILE + 1
            sampled = np.arange(6000) % num_tiles % (num_tiles // 32) == 0
            vectors[sampled] += queries[0]  # everything that a sample sees is good
            vectors[~sampled] -= queries[0]
    _same(vectors, queries, 250)


def test_what_rounding_lost_is_known() -> None:
    vectors = _drawn(5, 100, 7) * np.float32(3)
    rounded = Rounded.of(vectors, float(np.linalg.norm(vectors, axis=1).max()))
    whole = rounded.tiles.reshape(4, 4, TILE, 2).transpose(2, 0, 1, 3).reshape(4 * TILE, 8)
    lost = np.linalg.norm(whole[:100, :7] - vectors.astype(np.float64) * rounded.scale, axis=1)
    assert lost.max() == pytest.approx(rounded.lost)
    assert not whole[100:].any()
    assert not whole[:, 7].any()
    assert np.linalg.norm(whole.astype(np.float64), axis=1).max() < 2**15.5  # two of them never leave 32 bits
    assert machine.TILE == TILE
