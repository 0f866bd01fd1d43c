"""Times of a history stand beside its items on every way into a batch."""

from __future__ import annotations

import numpy as np

from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.base import Hits, QueryBatch
from kgrecall.recall.histories import Histories
from kgrecall.recall.queries.batches import batch_of, batch_of_users
from kgrecall.recall.queries.requests import Request, Resolver
from kgrecall.recall.queries.words import Words
from kgrecall.recall.variations import repeated, without_items
from kgrecall.types import Interactions, Query

EVENTS = Interactions(np.array([0, 0, 0, 1]), np.array([3, 1, 2, 0]), np.ones(4, np.float32), np.array([30, 10, 20, 5]), 3, 5)
HISTORIES = Histories.of(EVENTS)
USERS, ITEMS = Vocabulary.of(["u0", "u1", "u2"]), Vocabulary.of([f"i{i}" for i in range(5)])


class NearestIsTheFirst:
    """A text channel that finds ``i0``."""

    name = "text"

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        return Hits(np.zeros((len(queries), 1), np.int32), np.ones((len(queries), 1), np.float32))

    evidence = None


def resolved(*queries: Query, max_history: int = 2) -> list[Request]:
    words = Words(lambda texts: np.ones((len(texts), 1), np.float32), NearestIsTheFirst(), 5)  # type: ignore[arg-type]
    return Resolver(USERS, ITEMS, HISTORIES, max_history, words).resolve(queries)


def times_of(*queries: Query, max_history: int = 2) -> list[int] | None:
    batch = batch_of(resolved(*queries, max_history=max_history), 5, None, None)
    return None if batch.history_time is None else batch.history_time.tolist()


def test_stored_users_bring_the_times_of_their_newest_items() -> None:
    assert times_of(Query(user_id="u0")) == [20, 30]
    batch = batch_of_users(np.array([0, 2, 1]), HISTORIES, 2)
    assert batch.history_pos.tolist() == [2, 3, 0]
    assert batch.history_time is not None
    assert batch.history_time.tolist() == [20, 30, 5]
    assert batch.rows(1, 3).history_time.tolist() == [5]  # type: ignore[union-attr]


def test_a_history_in_the_call_has_the_times_of_the_call() -> None:
    times = ["1970-01-01T00:00:07+00:00", "1970-01-01T00:00:06+00:00"]
    assert times_of(Query(history=["i4", "i0"], history_times=times)) == [6000, 7000]
    assert times_of(Query(history=["i4", "i0"])) is None


def test_where_some_queries_know_their_times_the_others_are_missing() -> None:
    assert times_of(Query(history=["i4", "i0"]), Query(user_id="u1"), Query(item_id="i2")) == [
        *[MISSING_TIME] * 2,
        5,
        MISSING_TIME,
    ]


def test_an_item_or_friends_that_lead_have_no_times() -> None:
    assert times_of(Query(user_id="u0", item_id="i2")) is None
    assert times_of(Query(friends=["u0", "u1"])) is None


def test_histories_without_times_have_none() -> None:
    untimed = Histories.of(Interactions(EVENTS.user_pos, EVENTS.item_pos, EVENTS.weight, None, 3, 5))
    assert batch_of_users(np.array([0, 1]), untimed, 2).history_time is None


def test_variations_of_a_question_keep_the_times_of_what_is_left() -> None:
    query = batch_of_users(np.array([0]), HISTORIES, 9)
    assert repeated(query, 2).history_time.tolist() == [10, 20, 30] * 2  # type: ignore[union-attr]
    left = without_items(query, [np.array([2], np.int32), np.array([1, 3], np.int32)])
    assert left.history_time.tolist() == [10, 30, 20]  # type: ignore[union-attr]


def test_what_stands_for_a_taste_was_chosen_by_nobody_at_no_time() -> None:
    stored, given = resolved(
        Query(user_id="u0", taste="dark"),
        Query(history=["i4"], history_times=["1970-01-01T00:00:07+00:00"], taste="dark"),
        max_history=9,
    )
    assert (stored.user_pos, stored.known, stored.times, given.times) == (-1, False, None, None)
    assert stored.history.tolist() == [0, *HISTORIES.row(0)[0]]
    assert given.history.tolist() == [0, 4]
    assert (stored.taste.tolist(), given.taste.tolist()) == ([0], [0])
    assert 0 not in stored.exclude
