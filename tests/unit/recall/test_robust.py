"""Inputs that break peers: vectors that are none, one user who chose everything, one item that everybody chose."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kgrecall.graph.knowledge import Incidence
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.index.base import ExactIndex
from kgrecall.recall.base import Channel, Naming
from kgrecall.recall.channels.friends import FriendsChannel
from kgrecall.recall.channels.item_knn import ItemKnnChannel, build_item_knn, interaction_matrix
from kgrecall.recall.channels.neighbors import NeighborsChannel
from kgrecall.recall.channels.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.popularity import PopularityChannel, item_popularity
from kgrecall.recall.channels.sparse_rows import transposed
from kgrecall.recall.channels.user_knn import UserKnnChannel
from kgrecall.recall.channels.vector import VectorChannel, normalised
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.histories import Histories
from kgrecall.types import Embeddings, Interactions, Query

MEBIBYTE = 1 << 20


def _ids(letter: str, n: int) -> Vocabulary:
    return Vocabulary([f"{letter}{i:07}" for i in range(n)])


def _item(pos: int) -> str:
    return f"i{pos:07}"


def _events(users: np.ndarray, items: np.ndarray, num_users: int, num_items: int) -> Interactions:
    return Interactions(users, items, np.ones(len(users), np.float32), None, num_users, num_items)


def _engine(events: Interactions, *more: Channel, walks: bool = True) -> RecallEngine:
    naming = Naming("User", "Item", "CHOSE")
    channels: list[Channel] = [ItemKnnChannel(build_item_knn(events)), PopularityChannel(item_popularity(events)), *more]
    if walks:
        people = Incidence("CHOSE", "User", transposed(interaction_matrix(events)), reverse=True)
        space = build_node_space([people], NodeSpaceConfig(hub_share=1.0), naming)
        channels.append(NeighborsChannel(space, num_users=events.num_users))
    histories = Histories.of(events)
    return RecallEngine(
        _ids("u", events.num_users),
        _ids("i", events.num_items),
        channels,
        FusionConfig(),
        histories,
        on_signal={"friends": (FriendsChannel(histories),)},
        naming=naming,
    )


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, 0.0])
@pytest.mark.parametrize("where", ["user", "inputs"])
def test_a_vector_that_is_none_has_no_hits_and_the_others_answer(spoilt: float, where: str) -> None:
    rng = np.random.default_rng(0)
    items = normalised(rng.normal(size=(20, 4)).astype(np.float32))
    users, inputs = normalised(rng.normal(size=(3, 4)).astype(np.float32)), items.copy()
    if where == "user":
        users[1] = spoilt
    else:
        users[1], inputs[5] = 0, spoilt
    events = _events(np.array([0, 1, 2]), np.array([3, 5, 7]), 3, 20)
    engine = _engine(events, VectorChannel(ExactIndex(items), Embeddings(users, items, inputs)), walks=False)
    for found in (engine.recall(Query(user_id="u0000001", k=30)), engine.recall(Query(history=[_item(5)], k=30))):
        assert len(found) == 19
        assert not np.isnan(found.scores).any()
    alone = engine.recall(Query(user_id="u0000001", channels=("vector",)))
    answered = np.isfinite(alone.channel_scores["vector"]).any()
    assert answered == (where == "user")  # a spoilt user is placed by the history, a spoilt history item by nothing
    others = engine.recall_many([Query(user_id=f"u000000{i}", channels=("vector",), k=5) for i in range(3)])
    assert others[0].item_ids == engine.recall(Query(user_id="u0000000", channels=("vector",), k=5)).item_ids


def test_a_user_who_chose_a_hundred_thousand_items() -> None:
    """The answer holds none of them, starts from the newest 500, and asking takes little memory."""
    n, num_items = 100_000, 100_050
    fans = np.repeat(np.arange(1, 30), 50)
    users = np.concatenate([np.zeros(n, np.int64), fans])
    items = np.concatenate([np.arange(n), np.tile(np.arange(n - 25, n + 25), 29)])
    engine = _engine(_events(users, items, 30, num_items), walks=False)
    query = Query(user_id="u0000000", friends=["u0000000", "u0000003"], k=40)
    engine.recall(query)
    tracemalloc.start()
    found = engine.recall(query)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "Only the newest 500 of 100000 history items were used." in found.notes
    assert set(found.item_ids[:25]) == {_item(p) for p in range(n, n + 25)}
    assert len(found) == len(set(found.item_ids)) == 40
    assert peak < 64 * MEBIBYTE


def test_an_item_that_a_million_users_chose() -> None:
    """A walk from it goes on from at most a thousand of them; what goes with it is still found."""
    n = 1_000_000
    partners = np.arange(n) % 40 + 1
    users = np.concatenate([np.arange(n), np.arange(n)])
    items = np.concatenate([np.zeros(n, np.int64), partners])
    events = _events(users, items, n, 60)
    engine = _engine(events, UserKnnChannel(interaction_matrix(events)))
    found = engine.recall(Query(history=[_item(0)], k=50))
    assert {_item(p) for p in range(1, 41)} <= set(found.item_ids)
    assert len(found) == 50
    tracemalloc.start()
    again = engine.recall(Query(history=[_item(0)], k=50))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert again.item_ids == found.item_ids
    assert peak < 128 * MEBIBYTE


SMALL = _events(*(np.nonzero(np.random.default_rng(4).random((12, 30)) < 0.2)), num_users=12, num_items=30)


class Visit(RuleBasedStateMachine):
    """A visitor's session against one engine that others use in between: what it answers depends on the question alone."""

    engine = _engine(SMALL)

    def __init__(self) -> None:
        super().__init__()
        self.history: list[str] = []
        self.excluded: set[str] = set()
        self.friends: set[str] = set()
        self.k = 5

    @rule(item=st.integers(0, 29))
    def choose(self, item: int) -> None:
        self.history.append(_item(item))

    @rule(item=st.integers(0, 29))
    def hide(self, item: int) -> None:
        self.excluded.add(_item(item))

    @rule(user=st.integers(0, 11))
    def befriend(self, user: int) -> None:
        self.friends.add(f"u{user:07}")

    @rule(k=st.integers(1, 40))
    def ask_for(self, k: int) -> None:
        self.k = k

    @rule(user=st.integers(0, 11), k=st.integers(1, 30))
    def others_ask(self, user: int, k: int) -> None:
        self.engine.recall_many([Query(user_id=f"u{user:07}", k=k), Query(history=[_item(user)], k=k)])

    @precondition(lambda self: self.history)
    @rule()
    def choose_the_best(self) -> None:
        found = self.engine.recall(self.query())
        if found.item_ids:
            self.history.append(found.item_ids[0])
            assert found.item_ids[0] not in self.engine.recall(self.query()).item_ids

    def query(self) -> Query:
        return Query(history=list(self.history), exclude=frozenset(self.excluded), friends=sorted(self.friends), k=self.k)

    @invariant()
    def the_list_is_full_distinct_and_allowed(self) -> None:
        found = self.engine.recall(self.query())
        left = {_item(i) for i in range(30)} - set(self.history) - self.excluded
        assert set(found.item_ids) <= left
        assert len(found) == len(set(found.item_ids)) == min(self.k, len(left))
        fresh = FRESH.recall(self.query())
        assert found.item_ids == fresh.item_ids
        np.testing.assert_array_equal(found.scores, fresh.scores)


FRESH = _engine(SMALL)
Visit.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestVisit = Visit.TestCase
