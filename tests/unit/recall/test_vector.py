from __future__ import annotations

import numpy as np
import pytest

from kgrecall.errors import ShapeError
from kgrecall.index.base import ExactIndex
from kgrecall.recall.base import QueryBatch
from kgrecall.recall.channels.text import TextChannel
from kgrecall.recall.channels.vector import VectorChannel, history_sums, normalised, search_eligible
from kgrecall.types import Embeddings

NUM_ITEMS = 900


def batch(excluded: list[list[int]], history: list[int] | None = None, user: int = -1) -> QueryBatch:
    history = history or []
    return QueryBatch(
        num_items=NUM_ITEMS,
        user_pos=np.full(len(excluded), user),
        history_indptr=np.arange(len(excluded) + 1) * 0 + np.array([0, *[len(history)] * len(excluded)]),
        history_pos=np.array(history, np.int32),
        history_weight=np.ones(len(history), np.float32),
        exclude_indptr=np.cumsum([0, *map(len, excluded)]),
        exclude_pos=np.array([p for row in excluded for p in row], np.int32),
    )


def line() -> np.ndarray:
    """Vectors whose inner product with 1 falls with the position."""
    return np.linspace(1, 0.1, NUM_ITEMS, dtype=np.float32)[:, None]


@pytest.mark.parametrize("num_excluded", [0, 3, 511, 513, 899])
def test_any_number_of_excluded_items(num_excluded: int) -> None:
    queries = batch([list(range(num_excluded)), [0, 2]])
    hits = search_eligible(ExactIndex(line()), np.ones((2, 1), np.float32), queries, 4)
    expected = [*range(num_excluded, NUM_ITEMS)][:4]
    assert hits.positions[0].tolist() == expected + [-1] * (4 - len(expected))
    assert hits.positions[1].tolist() == [1, 3, 4, 5]


def test_a_zero_vector_has_no_hits() -> None:
    hits = search_eligible(ExactIndex(line()), np.zeros((1, 1), np.float32), batch([[]]), 2)
    assert hits.positions.tolist() == [[-1, -1]]


def test_only_served_items_are_found() -> None:
    served = np.zeros(NUM_ITEMS, np.bool_)
    served[[7, 20]] = True
    vectors = line()
    embeddings = Embeddings(np.ones((1, 1), np.float32), vectors, vectors)
    channel = VectorChannel(ExactIndex(vectors), embeddings, served=served)
    assert channel.recall(batch([[]], user=0), 3).positions[0].tolist() == [7, 20, -1]


def test_a_known_user_has_a_vector_and_a_new_one_is_placed_by_history() -> None:
    items = np.eye(NUM_ITEMS, 3, dtype=np.float32)
    users = np.array([[0, 1, 0], [0, 0, 0]], np.float32)
    channel = VectorChannel(ExactIndex(items), Embeddings(users, items, items))
    best = [channel.recall(batch([[]], history=[2], user=user), 1).positions[0, 0] for user in (0, 1, -1, 5)]
    assert best == [1, 2, 2, 2]


def test_history_sums_are_weighted_and_normalised() -> None:
    queries = batch([[]], history=[0, 1])
    sums = history_sums(np.array([[3, 0], [0, 4]], np.float32), queries)
    np.testing.assert_allclose(sums, [[0.6, 0.8]], rtol=1e-6)
    np.testing.assert_array_equal(normalised(np.array([[0, 0], [2, 0]], np.float32)), [[0, 0], [1, 0]])


def test_an_index_of_another_size_is_refused() -> None:
    texts = np.ones((3, 2), np.float32)
    with pytest.raises(ShapeError, match="3 vectors of dimension 2, got 4 of dimension 2"):
        TextChannel(ExactIndex(np.ones((4, 2), np.float32)), texts)


def test_text_evidence_is_the_question_or_the_history() -> None:
    texts = normalised(np.array([[1, 0], [1, 1], [0, 1]] + [[0, 0]] * (NUM_ITEMS - 3), np.float32))
    channel = TextChannel(ExactIndex(texts), texts)
    query = batch([[]], history=[0, 2])
    reasons = channel.evidence(query, 1, limit=5)
    assert [r.nodes[1] for r in reasons] == [("Item", 0), ("Item", 2)]
    asked = QueryBatch(**{f: getattr(query, f) for f in query.__slots__ if f != "text"}, text=texts[:1])
    assert [r.relations for r in channel.evidence(asked, 1, limit=5)] == [("ASKED_FOR",)]
    assert channel.evidence(asked, 5, limit=5) == []
