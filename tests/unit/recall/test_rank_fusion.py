from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.errors import ConfigError
from kgrecall.recall.base import Hits
from kgrecall.recall.fusion.rank_fusion import (
    FusionConfig,
    exponential,
    fuse,
    reciprocal_rank,
    rrf,
    score_over_mean,
    stacked,
    text_led,
)


def hits(*rows: list[tuple[int, float]], k: int = 4) -> Hits:
    found = Hits.empty(len(rows), k)
    for i, row in enumerate(rows):
        for rank, (position, score) in enumerate(row):
            found.positions[i, rank], found.scores[i, rank] = position, score
    return found


A = hits([(3, 9.0), (1, 8.0), (2, 1.0)], [(0, 1.0)])
B = hits([(1, 0.5), (7, 0.25)], [])


def test_reciprocal_ranks_by_hand() -> None:
    np.testing.assert_allclose(reciprocal_rank(A, c=60)[0], [1 / 61, 1 / 62, 1 / 63, 0])


def test_rrf_by_hand() -> None:
    fused = rrf([A, B], 3)
    assert fused.positions.tolist() == [[1, 3, 7], [0, -1, -1]]
    np.testing.assert_allclose(fused.scores[0], [1 / 62 + 1 / 61, 1 / 61, 1 / 62], rtol=1e-6)
    np.testing.assert_allclose(fused.channel_scores[:, 0], [[8, 9, np.nan], [0.5, np.nan, 0.25]])
    np.testing.assert_allclose(fused.parts.sum(axis=0)[0], fused.scores[0], rtol=1e-6)
    assert fused.scores[1].tolist()[1:] == [-np.inf, -np.inf]


def test_ties_are_broken_by_position() -> None:
    fused = rrf([hits([(5, 1.0)]), hits([(2, 1.0)])], 2)
    assert fused.positions.tolist() == [[2, 5]]


def test_a_weight_of_zero_leaves_a_channel_out() -> None:
    fused = rrf([A, B], 4, weights=[1, 0])
    assert fused.positions[0].tolist() == [3, 1, 2, -1]
    assert fused.channel_scores[1, 0, 1] == 0.5  # it is still shown that the channel knew the item


def test_scores_over_the_mean_of_the_head() -> None:
    np.testing.assert_allclose(score_over_mean(A, depth=2)[0], [9 / 8.5, 8 / 8.5, 1 / 8.5, 0], rtol=1e-6)
    np.testing.assert_allclose(score_over_mean(A)[1], [1, 0, 0, 0])
    assert not score_over_mean(hits([(1, -2.0), (0, -3.0)])).any()


def test_a_leading_channel_falls_with_its_score() -> None:
    led = text_led(hits([(4, 0.9), (2, 0.8)]), np.array([[2, 1, 0, 0]], np.float32), temperature=0.1)
    np.testing.assert_allclose(led, [[2, 2 * np.exp(-1), 0, 0]], rtol=1e-5)


def test_among_items_that_match_a_text_alike_popularity_decides() -> None:
    found, worth = hits([(4, 0.9), (2, 0.89), (7, 0.4)]), np.array([[2, 1, 0.5, 0]], np.float32)
    prior = np.log(np.array([[1.0, 8.0, 8.0, 5.0]], np.float32))
    led = text_led(found, worth, 0.1, prior)
    odds = np.array([np.exp(9) * 1, np.exp(8.9) * 8, np.exp(4) * 8])
    assert led[0] == pytest.approx([*(2 * odds / odds.max()), 0], rel=1e-4)
    assert led[0].argmax() == 1
    assert text_led(Hits.empty(1, 4), np.zeros((1, 4), np.float32), 0.1, prior).tolist() == [[0, 0, 0, 0]]


def test_exponential_spreads_cosines() -> None:
    spread = exponential(hits([(4, 0.9), (2, 0.8)]), temperature=0.1)
    np.testing.assert_allclose(spread.scores[0, :2], [1, np.exp(-1)], rtol=1e-5)
    assert spread.scores[0, 2] == -np.inf


ranked_lists = st.lists(st.lists(st.integers(0, 9), unique=True, max_size=4), min_size=3, max_size=3)


@given(ranked_lists, ranked_lists, st.integers(1, 12))
def test_fusing_a_batch_equals_fusing_each_row(first: list[list[int]], second: list[list[int]], k: int) -> None:
    a, b = (hits(*[[(p, 1.0) for p in row] for row in rows]) for rows in (first, second))
    fused = rrf([a, b], k)
    for i in range(3):
        one = rrf([Hits(h.positions[i : i + 1], h.scores[i : i + 1]) for h in (a, b)], k)
        np.testing.assert_array_equal(one.positions[0], fused.positions[i])
        np.testing.assert_array_equal(one.parts[:, 0], fused.parts[:, i])


def test_no_hits_at_all() -> None:
    fused = fuse(stacked([Hits.empty(2, 3)]), np.zeros((1, 2, 3), np.float32), 4)
    assert (fused.positions == -1).all()
    assert np.isnan(fused.channel_scores).all()


@pytest.mark.parametrize(
    "settings",
    [{"weights": {"a": -1}}, {"weights": {"a": float("nan")}}, {"temperatures": {"a": 0}}, {"temperatures": {"a": np.inf}}],
)
def test_impossible_settings_are_named(settings: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ConfigError, match=r"(weights|temperatures).a"):
        FusionConfig(**settings)  # type: ignore[arg-type]


def test_calibration_follows_the_configuration() -> None:
    np.testing.assert_array_equal(FusionConfig().calibrate(["a"], stacked([A]))[0], reciprocal_rank(A))
    score = FusionConfig(method="score", depth=2, temperatures={"b": 0.5})
    found = score.calibrate(["a", "b"], stacked([A, B]))
    np.testing.assert_array_equal(found[0], score_over_mean(A, 2))
    np.testing.assert_array_equal(found[1], score_over_mean(exponential(B, 0.5), 2))


def test_lists_of_different_lengths_are_padded() -> None:
    short = Hits(A.positions[:, :1], A.scores[:, :1])
    found = stacked([short, B])
    assert found.positions.shape == (2, *B.positions.shape)
    np.testing.assert_array_equal(found.positions[0, :, :1], short.positions)
    assert (found.positions[0, :, 1:] == -1).all()
    assert (found.scores[0, :, 1:] == -np.inf).all()
    np.testing.assert_array_equal(found.scores[1], B.scores)
