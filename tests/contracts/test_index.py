"""Every vector index answers the same questions as the exact one, with the same values."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kgrecall.errors import ConfigError, KGRecallError, ShapeError
from kgrecall.index.base import EXACT, ExactIndex, VectorIndex
from kgrecall.index.faiss import FaissConfig, FaissIndex

Builder = Callable[[np.ndarray], VectorIndex]
BUILDERS: dict[str, Builder] = {
    "numpy": ExactIndex,
    "flat": lambda base: FaissIndex.build(base, FaissConfig(kind="flat")),
    "fp16": lambda base: FaissIndex.build(base, FaissConfig(kind="fp16")),
    "ivf": lambda base: FaissIndex.build(base, FaissConfig(kind="ivf", num_probes=2)),
    "hnsw": lambda base: FaissIndex.build(base, FaissConfig(kind="hnsw")),
}


pytestmark = pytest.mark.usefixtures("tier")


@pytest.fixture(params=sorted(BUILDERS))
def build(request: pytest.FixtureRequest) -> Builder:
    return BUILDERS[request.param]


def vectors(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    """Small integers: every inner product is exact in any summation order and in fp16, and ties are frequent."""
    return np.random.default_rng(seed).integers(-3, 4, (n, dim)).astype(np.float32)


@pytest.mark.parametrize("kind", ["numpy", "flat"])
def test_an_exact_answer_does_not_depend_on_the_batch(kind: str) -> None:
    base = np.random.default_rng(0).standard_normal((3000, 24)).astype(np.float32)
    queries, index = base[:40] + np.float32(0.1), BUILDERS[kind](base)
    together = index.search(queries, 50)
    for i in range(len(queries)):
        alone = index.search(queries[i : i + 1], 50)
        np.testing.assert_array_equal(alone[0][0], together[0][i])
        np.testing.assert_array_equal(alone[1][0], together[1][i])
    exact = np.sort(-(queries.astype(np.float64) @ base.T.astype(np.float64)), axis=1)[:, :50]
    np.testing.assert_array_equal(together[1], (-exact).astype(np.float32))


def assert_valid(positions, scores, queries, base, eligible, k) -> None:
    """What even an approximate index owes: full rows of distinct eligible positions with their true scores, in order."""
    want = min(k, int(eligible.sum()))
    assert positions.shape == scores.shape == (len(queries), k)
    assert positions.dtype == np.int32
    assert scores.dtype == np.float32
    assert (positions[:, want:] == -1).all()
    assert (scores[:, want:] == -np.inf).all()
    for query, row, row_scores in zip(queries, positions[:, :want], scores[:, :want], strict=True):
        assert len(set(row.tolist())) == want
        assert eligible[row].all()
        np.testing.assert_array_equal(row_scores, base[row] @ query)
        order = sorted(range(want), key=lambda i: (-row_scores[i], row[i]))
        assert order == list(range(want))


@pytest.mark.parametrize("k", [1, 10, 300, 400])
@pytest.mark.parametrize("keep", [1.0, 0.6, 0.02, 0.0])
def test_search_equals_the_exact_answer(build: Builder, k: int, keep: float) -> None:
    base, queries = vectors(300), vectors(25, seed=1)
    mask = np.random.default_rng(2).random(300) < keep
    index = build(base)
    positions, scores = index.search(queries, k, mask=None if keep == 1.0 else mask)
    eligible = np.ones(300, bool) if keep == 1.0 else mask
    assert_valid(positions, scores, queries, base, eligible, k)
    if EXACT in index.capabilities:
        true = np.where(eligible, queries @ base.T, -np.inf)
        for row, row_scores in zip(positions, true, strict=True):
            expected = sorted(np.flatnonzero(eligible), key=lambda i: (-row_scores[i], i))[:k]
            assert row[row >= 0].tolist() == expected


def test_a_batch_equals_its_queries_one_by_one(build: Builder) -> None:
    index, queries = build(vectors(300)), vectors(30, seed=1)
    batch = index.search(queries, 7)
    for i in range(len(queries)):
        one = index.search(queries[i : i + 1], 7)
        np.testing.assert_array_equal(one[0][0], batch[0][i])
        np.testing.assert_array_equal(one[1][0], batch[1][i])


def test_zero_vectors_score_zero_and_tie_by_position(build: Builder) -> None:
    base = vectors(200)
    base[[3, 50]] = 0
    index = build(base)
    positions, scores = index.search(np.zeros((2, 8), np.float32), 4)
    assert positions.tolist() == [[0, 1, 2, 3]] * 2
    assert (scores == 0).all()
    mask = np.zeros(200, bool)
    mask[[3, 50]] = True
    positions, scores = index.search(vectors(1, seed=4), 3, mask=mask)
    assert positions.tolist() == [[3, 50, -1]]
    assert scores.tolist() == [[0, 0, -np.inf]]


def test_ties_at_the_cut_go_to_the_smaller_position(build: Builder) -> None:
    base = np.tile(np.array([[1, 0], [0, 1]], np.float32), (100, 1))
    positions, _ = build(base).search(np.array([[2, 0], [0, 2]], np.float32), 5)
    if EXACT in build(base).capabilities:
        assert positions.tolist() == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


def test_no_queries_no_vectors(build: Builder) -> None:
    assert build(vectors(10)).search(vectors(0), 3)[0].shape == (0, 3)
    empty = build(vectors(0))
    assert (empty.num_vectors, empty.dim) == (0, 8)
    positions, scores = empty.search(vectors(2), 3)
    assert (positions == -1).all()
    assert (scores == -np.inf).all()


def test_add_publishes_a_new_index(build: Builder) -> None:
    base, more = vectors(120), 10 * np.eye(8, dtype=np.float32)
    index = build(base)
    larger = index.add(more)
    queries = np.eye(8, dtype=np.float32)
    assert (index.num_vectors, larger.num_vectors) == (120, 128)
    assert larger.search(queries, 1)[0][:, 0].tolist() == list(range(120, 128))
    assert (index.search(queries, 120)[0] < 120).all()


def test_remove_publishes_a_new_index_with_stable_positions(build: Builder) -> None:
    base, queries = vectors(150), vectors(5, seed=3)
    index = build(base)
    gone = np.arange(0, 150, 2)
    fewer = index.remove(gone).remove(gone[:3])
    eligible = np.ones(150, bool)
    eligible[gone] = False
    for k in (5, 150):
        assert_valid(*fewer.search(queries, k), queries, base, eligible, k)
        assert_valid(*fewer.search(queries, k, mask=np.arange(150) < 20), queries, base, eligible & (np.arange(150) < 20), k)
        assert_valid(*index.search(queries, k), queries, base, np.ones(150, bool), k)
    grown = fewer.add(vectors(10, seed=9))
    everything = np.concatenate([base, vectors(10, seed=9)])
    assert_valid(*grown.search(queries, 150), queries, everything, np.concatenate([eligible, np.ones(10, bool)]), 150)


def test_concurrent_searches_agree(build: Builder) -> None:
    index, queries = build(vectors(400)), vectors(20, seed=1)
    expected = index.search(queries, 10)[0]

    def work(_: int) -> bool:
        return all(np.array_equal(index.search(queries, 10)[0], expected) for _ in range(10))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def _nan_row(value: float) -> np.ndarray:
    bad = vectors(5)
    bad[3, 2] = value
    return bad


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_values_that_are_not_finite_name_their_row(build: Builder, value: float) -> None:
    with pytest.raises(ShapeError, match="queries, row 3"):
        build(vectors(40)).search(_nan_row(value), 2)
    with pytest.raises(ShapeError, match="vectors, row 3"):
        build(_nan_row(value))
    with pytest.raises(ShapeError, match="vectors, row 3"):
        build(vectors(40)).add(_nan_row(value))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda index: index.search(vectors(2), 0), ConfigError),
        (lambda index: index.search(vectors(2), True), ConfigError),
        (lambda index: index.search(vectors(2), 2.5), ConfigError),
        (lambda index: index.search(vectors(2)[0], 1), ShapeError),
        (lambda index: index.search(vectors(2, dim=7), 1), ShapeError),
        (lambda index: index.search(vectors(2).astype(np.float64), 1), ShapeError),
        (lambda index: index.search(vectors(2).tolist(), 1), ShapeError),
        (lambda index: index.search(vectors(2), 1, mask=np.ones(39, bool)), ShapeError),
        (lambda index: index.search(vectors(2), 1, mask=np.ones(40, np.int8)), ShapeError),
        (lambda index: index.search(vectors(2), 1, mask=[True] * 40), ShapeError),
        (lambda index: index.add(vectors(2, dim=7)), ShapeError),
        (lambda index: index.remove(np.array([40])), ShapeError),
        (lambda index: index.remove(np.array([-1])), ShapeError),
        (lambda index: index.remove(np.array([0.5])), ShapeError),
    ],
)
def test_bad_arguments_are_named_errors(
    build: Builder, call: Callable[[VectorIndex], object], error: type[KGRecallError]
) -> None:
    with pytest.raises(error) as caught:
        call(build(vectors(40)))
    assert caught.value.remedy


def test_arrays_in_any_memory_order_give_the_same_answer(build: Builder) -> None:
    base, queries = vectors(100), vectors(10, seed=1)
    expected = build(base).search(queries, 5)[0]
    strided = np.repeat(queries, 2, axis=0)[::2]
    np.testing.assert_array_equal(build(np.asfortranarray(base)).search(strided, 5)[0], expected)


def test_indexes_satisfy_the_protocol(build: Builder) -> None:
    assert isinstance(build(vectors(10)), VectorIndex)
