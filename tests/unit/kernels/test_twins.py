"""The compiled loops and their numpy twins give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

pytest.importorskip("numba", reason="the extra 'fast' is not installed")

from kgrecall.errors import ShapeError
from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.knowledge import Incidence
from kgrecall.graph.pagerank import JointGraph
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.kernels import tier
from kgrecall.recall.base import Channel, Hits, QueryBatch
from kgrecall.recall.channels.neighbors import NeighborsChannel, NeighborsConfig
from kgrecall.recall.channels.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.pagerank import PageRankChannel, PageRankConfig
from kgrecall.recall.channels.popularity import PopularityChannel
from kgrecall.recall.channels.sparse_rows import SparseRows
from kgrecall.recall.channels.user_knn import UserKnnChannel, UserKnnConfig
from kgrecall.recall.fusion.combiner import Combiner
from kgrecall.recall.fusion.combiner_weights import CombinerWeights, NetworkWeights, NewItemWeights, VisitorWeights
from kgrecall.recall.fusion.rank_fusion import Fused, fuse, stacked
from kgrecall.recall.fusion.surroundings import Surroundings, log_popularity
from kgrecall.schema import GraphSchema

NUM_ITEMS = 700
CHOSE = ("User", "CHOSE", "Item")
Answer = TypeVar("Answer")


def _batch(seed: int, *, seen: bool = True) -> QueryBatch:
    rng = np.random.default_rng(seed)
    histories = [np.unique(rng.integers(0, NUM_ITEMS, rng.integers(0, 25))).astype(np.int32) for _ in range(5)]
    indptr = np.cumsum([0, *map(len, histories)])
    excluded = histories if seen else [history[::2] for history in histories]
    return QueryBatch(
        num_items=NUM_ITEMS,
        user_pos=rng.integers(-1, 40, 5),
        history_indptr=indptr,
        history_pos=np.concatenate(histories),
        history_weight=rng.random(indptr[-1], np.float32) + np.float32(0.1),
        exclude_indptr=np.cumsum([0, *map(len, excluded)]),
        exclude_pos=np.concatenate(excluded),
        mask=rng.random(NUM_ITEMS) < 0.7 if seed % 2 else None,
    )


def _both(ask: Callable[[], Answer]) -> tuple[Answer, Answer]:
    assert not tier.use(False)
    slow = ask()
    assert tier.use(True)
    return slow, ask()


def _same_hits(slow: Hits, fast: Hits) -> None:
    np.testing.assert_array_equal(slow.positions, fast.positions)
    np.testing.assert_array_equal(slow.scores, fast.scores)


def _sparse(rng: np.random.Generator, shape: tuple[int, int], share: float) -> csr_array:
    dense = rng.random(shape, np.float32) - np.float32(0.1)
    return csr_array(np.where(rng.random(shape) < share, dense, np.float32(0)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.003, 0.3])
def test_sums_of_rows(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    rows, batch = SparseRows(_sparse(rng, (NUM_ITEMS, NUM_ITEMS), share)), _batch(seed, seen=seed < 3)
    factor = rng.random(NUM_ITEMS, np.float32) if seed % 3 else None
    _same_hits(*_both(lambda: rows.best_hits(batch, batch.history_weight, 50, factor=factor)))


@pytest.mark.parametrize("mean", [3, 14, 33, 60])
def test_sums_of_many_short_rows_of_ones(mean: int) -> None:
    """Rows of no entry and of twice the mean, more entries than are laid out at a time, the matrix's last row among them."""
    rng = np.random.default_rng(mean)
    lengths = np.append(rng.integers(0, 2 * mean, 2000), 2 * mean)
    columns = np.concatenate([np.sort(rng.choice(NUM_ITEMS, n, replace=False)) for n in lengths])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    matrix = csr_array((np.ones(len(columns), np.float32), columns, indptr), shape=(len(lengths), NUM_ITEMS))
    asked = np.append(rng.permutation(2000)[:1500], 2000).astype(np.int32)
    weights, bounds = rng.random(len(asked), np.float32), np.array([0, len(asked)])
    batch = QueryBatch(NUM_ITEMS, np.array([-1]), bounds, asked, weights, np.array([0, 1]), np.array([5], np.int32))
    _same_hits(*_both(lambda: SparseRows(matrix).best_hits(batch, weights, 90)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("beam", [3, 1000])
def test_walks(seed: int, beam: int) -> None:
    channel, batch = _walking(seed, beam), _batch(seed, seen=seed < 4)
    _same_hits(*_both(lambda: channel.recall(batch, 60)))


def _walking(seed: int, beam: int) -> Channel:
    people = csr_array(_sparse(np.random.default_rng(seed), (NUM_ITEMS, 40), 0.05) != 0).astype(np.float32)
    space = build_node_space([Incidence("CHOSE", "User", people, reverse=True)], NodeSpaceConfig(hub_share=1))
    return NeighborsChannel(space, NeighborsConfig(beam=beam), num_users=40)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [3, 1000])
def test_votes_of_people(seed: int, k: int) -> None:
    chosen = csr_array(_sparse(np.random.default_rng(seed), (35, NUM_ITEMS), 0.05) != 0).astype(np.float32)
    channel, batch = UserKnnChannel(chosen, UserKnnConfig(k=k, half_life=4.0)), _batch(seed, seen=seed < 4)
    _same_hits(*_both(lambda: channel.recall(batch, 60)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("steps", "tolerance"), [(1, 1e-6), (2, 1e-6), (2, 2e-3), (4, 1e-5)])
def test_visits(seed: int, steps: int, tolerance: float) -> None:
    """Few edges and many: the numpy twin sweeps over all nodes or tells those apart that were reached."""
    channel, batch = _visiting(seed, steps, tolerance, share=0.004 if seed < 3 else 0.1), _batch(seed, seen=seed % 2 == 0)
    slow, fast = _both(lambda: channel.recall(batch, 60))
    _same_hits(slow, fast)
    _same_hits(fast, channel.recall(batch, 60))  # what is used again was cleared
    if tolerance < 1e-3:  # else nothing is worth pushing where users have many edges
        assert (fast.positions >= 0).any() == (steps > 1)  # one step from an item ends at users


def _visiting(seed: int, steps: int, tolerance: float, *, share: float) -> Channel:
    """Forty users, then the items, some of which have no edge."""
    people = (_sparse(np.random.default_rng(seed), (40, NUM_ITEMS), share) != 0).astype(np.float32)
    rows, columns = people.nonzero()
    relations = {CHOSE: Adjacency.from_edges(CHOSE, rows, columns, people.data, None, num_sources=40, num_targets=NUM_ITEMS)}
    vocabularies = {"User": Vocabulary.of(map(str, range(40))), "Item": Vocabulary.of(map(str, range(NUM_ITEMS)))}
    nodes, ends = {"User": {"role": "user"}, "Item": {"role": "item"}}, {"source": "User", "target": "Item"}
    schema = GraphSchema.parse({"nodes": nodes, "edges": {"CHOSE": {"role": "interaction", **ends}}})
    graph = JointGraph.of(GraphSnapshot(schema, "1", vocabularies, relations, {CHOSE: "CHOSE"}, {}))
    space = build_node_space([Incidence("CHOSE", "User", csr_array(people.T), reverse=True)], NodeSpaceConfig(hub_share=1))
    return PageRankChannel(graph, space, PageRankConfig(max_steps=steps, tolerance=tolerance))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("apart", [False, True])
def test_networks(seed: int, apart: bool) -> None:
    """Some items are new, the lists are of different lengths, one query is not judged in every other case, visitors ask."""
    rng = np.random.default_rng(seed)
    hits, parts = zip(*[_list([list(rng.permutation(30)[:n]) for n in (0, 1, 8, 5)], seed) for seed in range(3)], strict=True)
    new = NewItemWeights(network=_network(rng, 6), offset=-0.5, history=0.25, level=1.5)
    visitor = VisitorWeights(network=_network(rng, 5), most=2)
    weights = CombinerWeights(
        channels=("a", "b", "c"),
        known=_network(rng, 4),
        visitor=visitor if seed % 3 else None,
        new=new if apart else None,
        floor=-3.0,
    )
    counts = np.where(rng.random(30) < 0.3, 0, rng.integers(1, 20, 30)).astype(np.float32)
    around = Surroundings.now(log_popularity(counts), np.array([0, 2, 4, 9, 9]), np.array([False, True, True, False]))
    rows, combiner = np.array([True, True, True, seed % 2 == 0]), Combiner(weights)
    lists = fuse(stacked(hits), np.stack(parts), 24)
    slow, fast = _both(lambda: combiner.rescore(lists, around, rows, 9))
    for name in Fused.__slots__:
        np.testing.assert_array_equal(getattr(slow, name), getattr(fast, name))


def _network(rng: np.random.Generator, units: int) -> NetworkWeights:
    hidden = tuple(tuple(row) for row in rng.normal(size=(13, units)).tolist())
    bias, out, direct = (tuple(rng.normal(size=n).tolist()) for n in (units, units, 13))
    return NetworkWeights(first=(1.0, 0.5, 2.0), hidden=hidden, bias=bias, out=out, direct=direct)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [5, 2 * NUM_ITEMS])
def test_popular_items(seed: int, k: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 9, NUM_ITEMS).astype(np.float32)
    channel, batch = PopularityChannel(counts), _batch(seed, seen=seed < 2)
    _same_hits(*_both(lambda: channel.recall(batch, k)))


lists = st.lists(st.lists(st.integers(0, 30), unique=True, max_size=8), min_size=3, max_size=3)


@settings(deadline=None)
@given(st.lists(lists, min_size=1, max_size=4), st.integers(1, 12))
def test_fusion(channels: list[list[list[int]]], k: int) -> None:
    hits, parts = zip(*[_list(rows, seed) for seed, rows in enumerate(channels)], strict=True)
    slow, fast = _both(lambda: fuse(stacked(hits), np.stack(parts), k))
    for name in Fused.__slots__:
        np.testing.assert_array_equal(getattr(slow, name), getattr(fast, name))


def _list(rows: list[list[int]], seed: int) -> tuple[Hits, np.ndarray]:
    rng, hits = np.random.default_rng(seed), Hits.empty(len(rows), 8)
    parts = np.zeros((len(rows), 8), np.float32)
    for i, row in enumerate(rows):
        hits.positions[i, : len(row)], hits.scores[i, : len(row)] = row, rng.standard_normal(len(row))
        parts[i, : len(row)] = rng.integers(0, 4, len(row)) / 3
    return hits, parts


def test_the_loops_check_what_they_index() -> None:
    assert tier.use(True)
    rows, nothing = SparseRows(_sparse(np.random.default_rng(0), (5, 5), 0.5)), np.zeros(0, np.int32)
    outside = QueryBatch(
        5, np.array([-1]), np.array([0, 1]), np.array([7], np.int32), np.ones(1, np.float32), np.array([0, 0]), nothing
    )
    with pytest.raises(IndexError, match="out of range"):
        rows.best_hits(outside, outside.history_weight, 3)
    loops, short = tier.compiled(), np.ones(4, np.bool_)
    with pytest.raises(ShapeError, match="mask"):
        loops.best_of_rows(rows.csr, 5, (np.array([0]), nothing, nothing), (np.array([0]), nothing), 3, None, short)
