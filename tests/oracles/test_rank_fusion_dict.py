"""Fusion against a few lines with a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.recall.base import Hits
from kgrecall.recall.fusion.rank_fusion import FusionConfig, fuse, rrf, stacked

NUM_QUERIES, NUM_ITEMS = 3, 12
List = list[tuple[int, float]]


def two_line_rrf(lists: list[List], weights: list[float], c: float) -> dict[int, float]:
    scores: dict[int, float] = {}
    for hits, weight in zip(lists, weights, strict=True):
        for rank, (item, _) in enumerate(hits, 1):
            scores[item] = scores.get(item, 0.0) + weight / (c + rank)
    return scores


def naive_score_fusion(lists: list[List], weights: list[float], depth: int) -> dict[int, float]:
    scores: dict[int, float] = {}
    for hits, weight in zip(lists, weights, strict=True):
        kept = [max(score, 0.0) for _, score in hits]
        mean = sum(kept[:depth]) / max(1, len(kept[:depth]))
        for (item, _), score in zip(hits, kept, strict=True):
            scores[item] = scores.get(item, 0.0) + (weight * score / mean if mean > 0 else 0.0)
    return scores


def as_hits(rows: list[List], k: int) -> Hits:
    hits = Hits.empty(len(rows), k)
    for i, row in enumerate(rows):
        for rank, (item, score) in enumerate(row):
            hits.positions[i, rank], hits.scores[i, rank] = item, score
    return hits


@st.composite
def ranked(draw: st.DrawFn) -> List:
    items = draw(st.lists(st.integers(0, NUM_ITEMS - 1), unique=True, max_size=NUM_ITEMS))
    scores = draw(st.lists(st.integers(-8, 16), min_size=len(items), max_size=len(items)))
    return sorted(zip(items, (s / 4 for s in scores), strict=True), key=lambda hit: (-hit[1], hit[0]))


panels = st.lists(st.lists(ranked(), min_size=NUM_QUERIES, max_size=NUM_QUERIES), min_size=1, max_size=4)
weight = st.sampled_from([0.0, 0.25, 1.0, 3.0])


def check(positions: np.ndarray, scores: np.ndarray, expected: dict[int, float], k: int) -> None:
    n = int((positions >= 0).sum())
    positive = {item: score for item, score in expected.items() if score > 0}
    assert n == min(k, len(positive))
    np.testing.assert_allclose(scores[:n], [expected[item] for item in positions[:n].tolist()], rtol=1e-5)
    np.testing.assert_allclose(scores[:n], sorted(positive.values(), reverse=True)[:n], rtol=1e-5)


@settings(deadline=None)
@given(panels, st.lists(weight, min_size=4, max_size=4), st.integers(1, NUM_ITEMS + 2), st.sampled_from([1.0, 60.0]))
def test_reciprocal_ranks(panel: list[list[List]], weights: list[float], k: int, c: float) -> None:
    weights = weights[: len(panel)]
    fused = rrf([as_hits(rows, NUM_ITEMS) for rows in panel], k, weights=weights, c=c)
    for i in range(NUM_QUERIES):
        check(fused.positions[i], fused.scores[i], two_line_rrf([rows[i] for rows in panel], weights, c), k)


@settings(deadline=None)
@given(panels, st.lists(weight, min_size=4, max_size=4), st.integers(1, NUM_ITEMS + 2), st.integers(1, 5))
def test_scores_over_their_mean(panel: list[list[List]], weights: list[float], k: int, depth: int) -> None:
    config = FusionConfig(method="score", depth=depth)
    lists = stacked([as_hits(rows, NUM_ITEMS) for rows in panel])
    by_channel = np.array(weights[: len(panel)], np.float32)[:, None, None]
    fused = fuse(lists, config.calibrate(["any"] * len(panel), lists) * by_channel, k)
    for i in range(NUM_QUERIES):
        expected = naive_score_fusion([rows[i] for rows in panel], weights[: len(panel)], depth)
        check(fused.positions[i], fused.scores[i], expected, k)
        assert fused.scores[i, 0] == pytest.approx(fused.parts[:, i, 0].sum(), rel=1e-5) or fused.positions[i, 0] < 0
