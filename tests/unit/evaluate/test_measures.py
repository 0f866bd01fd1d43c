"""Measures on one hand-made user block, and what holds for every list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from kgrecall.errors import ConfigError, NotBuilt
from kgrecall.evaluate.measures import (
    AUC,
    CUT,
    F1,
    MAP,
    MRR,
    NDCG,
    Catalogue,
    Coverage,
    Diversity,
    HitRate,
    ListMeasure,
    Lists,
    Novelty,
    Precision,
    Recall,
    parse_measure,
)

ACCURACY = (Recall, Precision, F1, HitRate, NDCG, MAP, MRR)


def lists_of(hits, num_relevant, positions=None, catalogue=None):
    hits = np.array(hits, bool)
    if positions is None:
        positions = np.tile(np.arange(hits.shape[1]), (len(hits), 1))
    return Lists(np.array(positions, np.int32), hits, np.array(num_relevant), catalogue or Catalogue(100))


# User 0 has 2 relevant items, found at ranks 1 and 3; user 1 has 6, found at rank 4; user 2 has 1, not found.
BLOCK = lists_of([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], [2, 6, 1])


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (Recall(4), [1.0, 1 / 6, 0.0]),
        (Recall(2), [0.5, 0.0, 0.0]),
        (Precision(4), [0.5, 0.25, 0.0]),
        (Precision(1), [1.0, 0.0, 0.0]),
        (F1(4), [2 * 0.5 * 1.0 / 1.5, 2 * 0.25 * (1 / 6) / (0.25 + 1 / 6), 0.0]),
        (HitRate(3), [1.0, 0.0, 0.0]),
        (HitRate(4), [1.0, 1.0, 0.0]),
        (MAP(4), [(1 / 1 + 2 / 3) / 2, (1 / 4) / 4, 0.0]),
        (MRR(4), [1.0, 0.25, 0.0]),
        (MRR(3), [1.0, 0.0, 0.0]),
        (
            NDCG(4),
            [
                (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3)),
                (1 / np.log2(5)) / (1 + 1 / np.log2(3) + 1 / np.log2(4) + 1 / np.log2(5)),
                0.0,
            ],
        ),
        (NDCG(1), [1.0, 0.0, 0.0]),
    ],
    ids=str,
)
def test_values_worked_out_by_hand(measure, expected):
    np.testing.assert_allclose(measure.of_lists(BLOCK), expected)


def test_novelty_is_the_mean_surprise_in_bits_of_what_is_shown():
    catalogue = Catalogue(3, self_information=np.array([1.0, 2.0, 5.0]))
    lists = lists_of(np.zeros((3, 2)), [1, 1, 1], [[0, 2], [1, -1], [-1, -1]], catalogue)
    np.testing.assert_allclose(Novelty(2).of_lists(lists), [3.0, 2.0, 0.0])


UNIT = np.array([[1, 0], [1, 0], [0, 1], [-1, 0], [0, 0]], np.float32)


@pytest.mark.parametrize("features", [UNIT, sparse.csr_array(UNIT)], ids=["dense", "sparse"])
def test_diversity_is_the_mean_cosine_distance_of_all_pairs(features):
    rows = [[0, 1, -1], [0, 2, -1], [0, 3, -1], [0, 4, -1], [0, 1, 2], [0, -1, -1], [-1, -1, -1]]
    lists = lists_of(np.zeros((7, 3)), np.ones(7, int), rows, Catalogue(5, unit_features=features))
    np.testing.assert_allclose(Diversity(3).of_lists(lists), [0, 1, 2, 1, 2 / 3, 0, 0], atol=1e-6)


def test_coverage_is_the_share_of_the_catalogue_shown_to_anyone():
    assert Coverage(5).of_shown(np.array([True, False, False, True])) == 0.5


def test_auc_counts_ordered_pairs_and_half_of_ties():
    scores = np.array([3.0, 1.0, 2.0, 1.0], np.float32)
    relevant = np.array([False, True, True, False])
    # pairs (relevant, irrelevant): 1 < 3 loses, 1 = 1 half, 2 < 3 loses, 2 > 1 wins
    assert AUC().of_scores(scores, relevant) == pytest.approx(1.5 / 4)


def test_auc_without_pairs_is_undecided():
    assert AUC().of_scores(np.array([1.0], np.float32), np.array([True])) == 0.5


def test_a_measure_prints_as_papers_write_it_and_is_compared_by_that():
    assert [str(kind(20)) for kind in (Recall, NDCG, MAP, Coverage)] == ["Recall@20", "NDCG@20", "MAP@20", "Coverage@20"]
    assert str(AUC()) == "AUC"
    assert Recall(20) == Recall(20)
    assert Recall(20) != Recall(10)
    assert Recall(20) != Precision(20)
    assert len({Recall(20), Recall(20), NDCG(20), AUC(), AUC()}) == 3
    assert all(kind(1).higher_is_better for kind in CUT)


@pytest.mark.parametrize("kind", CUT)
def test_every_measure_is_read_back_from_its_own_text(kind):
    assert parse_measure(str(kind(7))) == kind(7)
    assert parse_measure(f" {kind.__name__.lower()} @ 7") == kind(7)


def test_auc_is_read_without_a_cut():
    assert parse_measure("auc") == AUC()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ndgc@10", "Did you mean 'ndcg'"),
        ("recall", "Write Recall@20"),
        ("recall@0", ">= 1"),
        ("auc@5", "Did you mean 'auc'"),
        ("", "Known"),
    ],
)
def test_what_is_no_measure_is_refused_with_a_remedy(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_measure(text)


@pytest.mark.parametrize("k", [0, -3, 2.5, True, "10"])
@pytest.mark.parametrize("kind", [Recall, Coverage])
def test_a_cut_is_an_integer_of_at_least_one(kind, k):
    with pytest.raises(ConfigError, match=f"k of {kind.__name__}"):
        kind(k)


@pytest.mark.parametrize(("measure", "argument"), [(Novelty(2), "history"), (Diversity(2), "features")])
def test_a_measure_names_the_argument_that_it_misses(measure, argument):
    with pytest.raises(NotBuilt, match=f"Pass {argument}="):
        measure.of_lists(BLOCK)


@st.composite
def blocks(draw):
    """Hits of a few users, each with at least as many relevant items as were hit."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 8)))
    hits = np.array(draw(st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))).reshape(shape)
    extra = draw(st.lists(st.integers(0, 5), min_size=shape[0], max_size=shape[0]))
    return lists_of(hits, np.maximum(hits.sum(axis=1) + extra, 1))


@given(blocks(), st.sampled_from(ACCURACY))
def test_accuracy_lies_between_0_and_1_and_is_0_without_hits(block, kind):
    values = kind(block.hits.shape[1]).of_lists(block)
    assert ((values >= 0) & (values <= 1 + 1e-12)).all()
    assert ((values > 0) == block.hits.any(axis=1)).all()


@given(blocks(), st.sampled_from(ACCURACY))
def test_a_perfect_list_has_value_1(block, kind):
    k = block.hits.shape[1]
    perfect = lists_of(np.ones_like(block.hits), np.full(len(block.hits), k))
    np.testing.assert_allclose(kind(k).of_lists(perfect), 1.0)


@given(blocks(), st.sampled_from(ACCURACY), st.randoms())
def test_moving_a_hit_up_never_hurts(block, kind, random):
    k = block.hits.shape[1]
    row, at = random.randrange(len(block.hits)), random.randrange(k)
    better = block.hits.copy()
    first = int(np.argmin(better[row]))  # the first place without a hit
    if first < at:
        better[row, first], better[row, at] = better[row, at], better[row, first]
    moved = lists_of(better, block.num_relevant)
    measure: ListMeasure = kind(k)
    assert (measure.of_lists(moved) >= measure.of_lists(block) - 1e-12).all()


@given(blocks(), st.sampled_from([Recall, HitRate, MRR]))
def test_longer_lists_never_lower_recall_hit_rate_and_reciprocal_rank(block, kind):
    values = np.array([kind(k).of_lists(block) for k in range(1, block.hits.shape[1] + 1)])
    assert (np.diff(values, axis=0) >= 0).all()


@given(blocks(), st.sampled_from([Recall, Precision, F1, HitRate]), st.randoms())
def test_set_measures_do_not_see_the_order_inside_the_cut(block, kind, random):
    order = list(range(block.hits.shape[1]))
    random.shuffle(order)
    shuffled = lists_of(block.hits[:, order], block.num_relevant)
    measure = kind(block.hits.shape[1])
    np.testing.assert_array_equal(measure.of_lists(shuffled), measure.of_lists(block))
