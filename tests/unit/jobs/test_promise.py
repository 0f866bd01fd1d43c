"""What every answer owes, whatever is asked and whichever channel answers: exactly min(k, eligible) distinct eligible items."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.build_report import BuildReport
from kgrecall.jobs.serve import load_engine
from kgrecall.recall.engine import RecallEngine
from kgrecall.types import Query, Seen

NUM_ITEMS = 80
CHANNELS = BuildConfig().channels
HIDDEN = {"i003", "i017", "i042"}
SIGNALS = ("friends", "peers", "context", "context_knn")
DAY = 86_400_000

items = st.integers(0, NUM_ITEMS - 1).map("i{:03}".format)
users = st.integers(0, 119).map("u{:03}".format)
moments = st.fixed_dictionaries({}, optional={"hour": st.integers(0, 23), "weekday": st.integers(0, 6)})
filters = st.sampled_from(
    [
        None,
        "price < 30",
        "in_stock",
        {"price": {">": 1e9}},
        "MADE_BY any ['Norra', 'Velden'] and not price < 20",
        "MADE_BY is null",
    ]
)
plans = st.sampled_from(
    [
        None,
        {"rounds": [{"channels": ["item_knn"], "go_on": {"fewer_than": 40}}, {"channels": ["pagerank", "popularity"]}]},
        {
            "diversity": {"strength": 0.4, "at_most": {"MADE_BY": 2}},
            "guarantees": [{"name": "x", "explore": True, "places": 3}],
        },
        {"rules": [{"name": "dear", "filter": "price > 40", "factor": 2}], "pool": 3},
    ]
)
starts = st.one_of(
    st.fixed_dictionaries({"user_id": users}),
    st.fixed_dictionaries({"history": st.lists(items, max_size=5)}),
    st.fixed_dictionaries({"item_id": items}),
    st.fixed_dictionaries({"text": st.sampled_from(["waterproof tent", "rope", "  "])}),
    st.fixed_dictionaries({"friends": st.lists(users, max_size=3)}),
    st.fixed_dictionaries({"attributes": st.sampled_from([{"country": "NO"}, {"birth_year": 1980}, {"country": "ZZ"}])}),
    st.fixed_dictionaries({"context": moments}),
)
asked = st.tuples(starts, starts).map(lambda pair: {**pair[0], **pair[1]})
limits = st.fixed_dictionaries(
    {"k": st.integers(1, NUM_ITEMS + 9)},
    optional={
        "exclude": st.frozensets(items, max_size=30),
        "allow": st.none() | st.frozensets(items, max_size=40),
        "filter": filters,
        "exclude_seen": st.one_of(
            st.booleans(), st.builds(Seen, st.sampled_from([None, ("PURCHASED",)]), st.none() | st.just(30.0))
        ),
        "plan": plans,
    },
)


class World:
    """An engine and the tables it was built from; prints in a word, which a dataclass does not."""

    def __init__(self, engine: RecallEngine, snapshot: GraphSnapshot) -> None:
        self.engine, self.snapshot = engine, snapshot


@pytest.fixture(scope="module")
def world(shop_build: BuildReport, shop_snapshot: GraphSnapshot) -> World:
    return World(load_engine(shop_build.out, hidden=HIDDEN), shop_snapshot)


def eligible(query: Query, snapshot: GraphSnapshot) -> set[str]:
    """From the tables, without a mask or a channel."""
    left = {f"i{i:03}" for i in range(NUM_ITEMS)} - HIDDEN - query.exclude - {query.item_id} - seen(query, snapshot)
    return {item for item in left if (query.allow is None or item in query.allow) and fulfils(query.filter, item, snapshot)}


def seen(query: Query, snapshot: GraphSnapshot) -> set[str]:
    rule = query.exclude_seen
    if rule is False:
        return set()
    if query.history is not None:
        return set(query.history)
    if query.user_id is None:
        return set()
    user, found = snapshot.users.position(query.user_id), set()
    edges = {name: adjacency for (_, name, _), adjacency in snapshot.with_role("interaction").items()}
    latest = max(int(part.time.max()) for part in edges.values() if part.time is not None)
    for name, part in edges.items():
        assert part.time is not None
        for row in range(part.indptr[user], part.indptr[user + 1]):
            late = not isinstance(rule, Seen) or rule.days is None or part.time[row] >= latest - rule.days * DAY
            if late and (not isinstance(rule, Seen) or rule.events is None or name in rule.events):
                found.add(snapshot.items.ids[int(part.indices[row])].as_py())
    return found


def fulfils(given: object, item: str, snapshot: GraphSnapshot) -> bool:
    pos = snapshot.items.position(item)
    table = snapshot.properties["Item"]
    price, stock = (table.column(name)[pos].as_py() for name in ("price", "in_stock"))
    (made_by,) = [edges for (_, name, _), edges in snapshot.relations.items() if name == "MADE_BY"]
    brands = set(snapshot.vocabularies["Brand"].ids_at(made_by.indices[made_by.indptr[pos] : made_by.indptr[pos + 1]]))
    dear = price is not None and price >= 20
    if given is None:
        return True
    if isinstance(given, dict):
        return False
    answers = {
        "price < 30": price is not None and price < 30,
        "in_stock": stock is True,
        "MADE_BY any ['Norra', 'Velden'] and not price < 20": bool(brands & {"Norra", "Velden"}) and (dear or price is None),
        "MADE_BY is null": not brands,
    }
    return answers[str(given)]


def check(world: World, query: Query) -> None:
    found, allowed = world.engine.recall(query), eligible(query, world.snapshot)
    assert set(found.item_ids) <= allowed
    assert len(found) == len(set(found.item_ids)) == min(query.k, len(allowed))
    ranked = [(-candidate.score, candidate.item_id) for candidate in found]
    assert ranked == sorted(ranked)
    assert not np.isnan(found.scores).any()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(start=asked, limit=limits)
def test_any_question(world: World, start: dict[str, object], limit: dict[str, object]) -> None:
    check(world, Query(**{**start, **limit}))  # type: ignore[arg-type]


@pytest.mark.parametrize("channel", [*CHANNELS, *SIGNALS])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(start=asked, limit=limits)
def test_any_channel_alone(world: World, channel: str, start: dict[str, object], limit: dict[str, object]) -> None:
    check(world, Query(**{**start, **limit, "plan": None, "channels": (channel,)}))  # type: ignore[arg-type]


def test_these_are_all_channels(world: World) -> None:
    assert set(world.engine.channel_names) == set(CHANNELS)
