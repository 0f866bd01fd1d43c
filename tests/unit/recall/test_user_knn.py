from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from kgrecall.recall.base import QueryBatch
from kgrecall.recall.channels.user_knn import UserKnnChannel, UserKnnConfig

CHOSEN = csr_array(np.array([[1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 0, 0, 0, 1]], np.float32))
"""User 1 shares two items with user 0, user 2 one."""
PLAIN = UserKnnConfig(a=0, b=0, q=0)


def ask(user: int, history: list[int]) -> QueryBatch:
    bounds, items = np.array([0, len(history)]), np.array(history, np.int32)
    return QueryBatch(5, np.array([user]), bounds, items, np.ones(len(history), np.float32), bounds, np.sort(items))


def test_people_alike_vote_and_the_user_does_not() -> None:
    hits = UserKnnChannel(CHOSEN, PLAIN).recall(ask(0, [0, 1, 2]), 5)
    np.testing.assert_array_equal(hits.positions[0], [3, 4, -1, -1, -1])
    np.testing.assert_allclose(hits.scores[0, :2], [2, 1])


def test_only_the_most_alike_vote() -> None:
    hits = UserKnnChannel(CHOSEN, PLAIN.model_copy(update={"k": 1})).recall(ask(0, [0, 1, 2]), 5)
    np.testing.assert_array_equal(hits.positions[0], [3, -1, -1, -1, -1])


def test_a_visitor_is_served_like_a_known_user() -> None:
    hits = UserKnnChannel(CHOSEN, PLAIN).recall(ask(-1, [0, 1]), 2)
    np.testing.assert_array_equal(hits.positions[0], [2, 3])


def test_evidence_names_the_person_and_what_makes_them_alike() -> None:
    channel = UserKnnChannel(CHOSEN, UserKnnConfig(a=1, b=0, q=0))
    (reason,) = channel.evidence(ask(0, [0, 1]), 3, limit=5)
    assert reason.nodes == (("User", 0), ("Item", 1), ("User", 1), ("Item", 3))  # item 1 is rarer than item 0
    assert reason.relations == ("INTERACTED", "^INTERACTED", "INTERACTED")
    assert reason.share == 1


def test_newer_items_say_more_about_who_is_alike() -> None:
    channel = UserKnnChannel(CHOSEN, PLAIN.model_copy(update={"half_life": 1}))
    hits = channel.recall(ask(-1, [3, 2]), 5)  # user 0 shares the newer item 2, user 1 the older item 3
    np.testing.assert_array_equal(hits.positions[0], [0, 1, -1, -1, -1])
    np.testing.assert_allclose(hits.scores[0, :2], [1.5, 1.5])
    hits = channel.recall(ask(-1, [4, 2]), 5)
    np.testing.assert_allclose(hits.scores[0, :2], [1.5, 1])
