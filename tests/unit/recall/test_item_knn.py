from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from kgrecall.errors import ShapeError
from kgrecall.recall.base import QueryBatch
from kgrecall.recall.channels.cooccurrence import cooccurrence
from kgrecall.recall.channels.item_knn import (
    ItemKnnChannel,
    ItemKnnConfig,
    build_item_knn,
    interaction_matrix,
    newest_of_each_user,
)
from kgrecall.types import Interactions


def events(pairs: list[tuple[int, int]], num_users: int, num_items: int, weight: list[float] | None = None) -> Interactions:
    users, items = np.array(pairs, np.int64).reshape(-1, 2).T
    weights = np.ones(len(pairs), np.float32) if weight is None else np.array(weight, np.float32)
    return Interactions(users, items, weights, None, num_users, num_items)


def ask(history: list[int], num_items: int) -> QueryBatch:
    nothing = np.array([0, 0])
    weights = np.ones(len(history), np.float32)
    bounds = np.array([0, len(history)])
    return QueryBatch(num_items, np.array([-1]), bounds, np.array(history, np.int32), weights, nothing, np.zeros(0, np.int32))


def test_cosine_by_hand() -> None:
    # items 0 and 1 share two users, 1 and 2 one
    similarity = build_item_knn(
        events([(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2)], 3, 4), ItemKnnConfig(a=0, b=0.5, c=0.5)
    ).toarray()
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 2 / np.sqrt(2 * 3)
    expected[1, 2] = expected[2, 1] = 1 / np.sqrt(3)
    np.testing.assert_allclose(similarity, expected, rtol=1e-6)


def test_active_users_count_less() -> None:
    pairs = [(0, 0), (0, 1), *((1, item) for item in range(10))]
    similarity = build_item_knn(events(pairs, 2, 10), ItemKnnConfig(a=1, b=0, c=0)).toarray()
    assert similarity[0, 1] == pytest.approx(1 / 2 + 1 / 10)
    assert similarity[0, 9] == pytest.approx(1 / 10)


def test_k_keeps_the_largest_and_breaks_ties_by_position() -> None:
    pairs = [(0, item) for item in range(5)] + [(1, 0), (1, 4)]
    similarity = build_item_knn(events(pairs, 2, 5), ItemKnnConfig(a=0, b=0, c=0, k=2))
    assert similarity[[0]].indices.tolist() == [1, 4]
    assert similarity[[0]].data.tolist() == [1, 2]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 12))
def test_blocks_do_not_change_the_result(seed: int, block_products: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = csr_array((rng.random((12, 7)) < 0.3).astype(np.float32))
    norms = {"column_norm": 0.5, "row_norm": 0.5, "target_norm": 0.3, "k": k}
    whole, blocks = cooccurrence(matrix, **norms), cooccurrence(matrix, **norms, block_products=block_products)
    np.testing.assert_array_equal(whole.toarray(), blocks.toarray())


def test_progress_ends_at_the_last_item() -> None:
    told: list[tuple[str, int, int | None]] = []
    build_item_knn(events([(0, 0), (0, 1)], 1, 2), progress=lambda *step: told.append(step))
    assert told[-1] == ("item-kNN", 2, 2)


@pytest.mark.parametrize(("values", "expected"), [("binary", 1), ("raw", 5), ("log", np.log(6))])
def test_events_of_one_pair_are_summed(values: str, expected: float) -> None:
    matrix = interaction_matrix(events([(0, 1), (0, 1)], 1, 2, [2, 3]), values)  # type: ignore[arg-type]
    np.testing.assert_allclose(matrix.toarray(), [[0, expected]], rtol=1e-6)


def test_no_interactions_give_an_empty_similarity() -> None:
    similarity = build_item_knn(events([], 3, 4))
    assert (similarity.shape, similarity.nnz) == ((4, 4), 0)


def test_recent_history_counts_more() -> None:
    similarity = csr_array(np.array([[0, 0, 4, 0], [0, 0, 0, 3], [0] * 4, [0] * 4], np.float32))
    older_first = ask([0, 1], 4)
    assert ItemKnnChannel(similarity).recall(older_first, 2).positions[0].tolist() == [2, 3]
    recent = ItemKnnChannel(similarity, half_life=1).recall(older_first, 2)
    assert recent.positions[0].tolist() == [3, 2]
    assert recent.scores[0].tolist() == [3, 2]


def test_a_prior_multiplies_scores() -> None:
    similarity = csr_array(np.array([[0, 2, 1], [0] * 3, [0] * 3], np.float32))
    prior = np.array([1, 0.25, 1], np.float32)
    hits = ItemKnnChannel(similarity, prior=prior).recall(ask([0], 3), 3)
    assert hits.positions[0].tolist() == [2, 1, -1]
    assert hits.scores[0].tolist() == [1, 0.5, -np.inf]


def test_evidence_names_the_history_item_with_its_share() -> None:
    similarity = csr_array(np.array([[0, 0, 3], [0, 0, 1], [0] * 3], np.float32))
    reasons = ItemKnnChannel(similarity).evidence(ask([1, 0], 3), 2, limit=5)
    assert [(r.nodes[1], r.share) for r in reasons] == [(("Item", 0), 0.75), (("Item", 1), 0.25)]
    assert reasons[0].relations == ("INTERACTED", "CO_CHOSEN")


def test_a_similarity_that_is_not_square_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"square.*got \(2, 3\)"):
        ItemKnnChannel(csr_array(np.zeros((2, 3))))


def test_only_the_newest_events_of_a_user_count() -> None:
    user, item = np.array([1, 0, 1, 1, 0, 1]), np.array([0, 1, 2, 3, 4, 5])
    events = Interactions(user, item, np.ones(6, np.float32), np.array([9, 5, 1, 3, 2, 4]), 2, 6)
    assert newest_of_each_user(events, 4) is events
    kept = newest_of_each_user(events, 2)
    assert list(zip(kept.user_pos.tolist(), kept.item_pos.tolist(), strict=True)) == [(1, 0), (0, 1), (0, 4), (1, 5)]
    untimed = Interactions(user, item, np.ones(6, np.float32), None, 2, 6)
    assert newest_of_each_user(untimed, 1).item_pos.tolist() == [4, 5]
