"""Plans over a random world of 40 items: 4 makers, prices 0 to 39, vectors in two dimensions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.errors import ConfigError, Unsupported
from kgrecall.graph.columns import ItemColumns
from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.recall.base import Evidence, Hits, QueryBatch
from kgrecall.recall.channels.item_knn import ItemKnnChannel, ItemKnnConfig, build_item_knn
from kgrecall.recall.channels.popularity import PopularityChannel, item_popularity
from kgrecall.recall.engine import EngineConfig, RecallEngine
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.histories import Histories
from kgrecall.recall.planning.plan import parse_plan
from kgrecall.schema import GraphSchema
from kgrecall.store import open_store
from kgrecall.types import Candidates, Interactions, Query

NUM_USERS, NUM_ITEMS, COLD = 10, 40, 6
MAKERS = ["ari", "bo", "cy", "di"]


def _id(item: int) -> str:
    return f"i{item:02}"


def _price(item_id: str) -> int:
    return int(item_id[1:])


def _maker(item_id: str) -> str:
    return MAKERS[_price(item_id) % 4]


def _snapshot() -> GraphSnapshot:
    item = {"role": "item", "properties": {"price": "integer", "maker": "string"}}
    schema = GraphSchema.parse(
        {
            "nodes": {"User": {"role": "user"}, "Item": item},
            "edges": {"CHOSE": {"source": "User", "target": "Item", "role": "interaction"}},
        }
    )
    store = open_store(":memory:")
    store.apply_schema(schema)
    store.upsert_nodes("User", pa.array([f"u{i}" for i in range(NUM_USERS)]), {})
    items = [_id(i) for i in range(NUM_ITEMS)]
    columns = {"price": pa.array(range(NUM_ITEMS)), "maker": pa.array([_maker(i) for i in items])}
    store.upsert_nodes("Item", pa.array(items), columns)
    return take_snapshot(store, schema)


def _events() -> Interactions:
    """The last six items nobody chose."""
    rng = np.random.default_rng(11)
    users, items = np.nonzero(rng.random((NUM_USERS, NUM_ITEMS - COLD)) < 0.25)
    return Interactions(users, items, np.ones(len(users), np.float32), None, NUM_USERS, NUM_ITEMS)


EVENTS = _events()


def _engine(*, vectors: bool = True) -> RecallEngine:
    snapshot, events = _snapshot(), EVENTS
    return RecallEngine(
        snapshot.users,
        snapshot.items,
        [ItemKnnChannel(build_item_knn(events, ItemKnnConfig(k=4))), PopularityChannel(item_popularity(events))],
        FusionConfig(),
        Histories.of(events),
        filters=FilterMasks(ItemColumns(snapshot)),
        vectors=[VECTORS] if vectors else [],
        config=EngineConfig(depth=30),
    )


VECTORS = np.random.default_rng(2).normal(size=(NUM_ITEMS, 3)).astype(np.float32)
ENGINE = _engine()
USERS_PER_ITEM = ENGINE.histories.popularity()


def ask(plan: object, **more: object) -> Candidates:
    return ENGINE.recall(replace(Query(user_id="u1", k=10, plan=plan), **more))  # type: ignore[arg-type]


def test_an_empty_plan_changes_nothing_but_the_trace() -> None:
    for k in (1, 10, NUM_ITEMS):
        plain, planned = ask(None, k=k), ask({}, k=k)
        assert planned.item_ids == plain.item_ids
        np.testing.assert_array_equal(planned.scores, plain.scores)
        np.testing.assert_array_equal(planned.channel_scores["item_knn"], plain.channel_scores["item_knn"])
        assert (planned.served, planned.notes) == (plain.served, plain.notes)
        assert plain.trace == ()
        assert planned.trace[0].startswith("round 1 (item_knn, popularity): ")


def test_a_round_goes_on_while_it_found_too_little() -> None:
    def rounds(**go_on: object) -> tuple[str, ...]:
        first = {"channels": ["item_knn"], "at_most": {"item_knn": 7}, "go_on": go_on}
        return ask({"rounds": [first, {"channels": ["popularity"], "weight": 0.01}]}).trace

    assert rounds() == ("round 1 (item_knn): 7 candidates",)
    assert rounds(fewer_than=7) == ("round 1 (item_knn): 7 candidates",)
    assert rounds(fewer_than=8)[0] == "round 1 (item_knn): 7 candidates; goes on: fewer than 8"
    assert rounds(below=0.001)[0].endswith("goes on: place 10 scores below 0.001")
    assert rounds(less_variety={"maker": 5})[0].endswith("values of maker, fewer than 5")
    assert rounds(less_variety={"price": 7}) == ("round 1 (item_knn): 7 candidates",)
    assert len(rounds(fewer_than=8)) == 2


def test_a_later_round_of_little_weight_stands_behind() -> None:
    first = {"channels": ["item_knn"], "at_most": {"item_knn": 4}, "go_on": {"fewer_than": 10}}
    found = ask({"rounds": [first, {"channels": ["popularity"], "weight": 1e-3}]})
    assert [("item_knn" in c.channels) for c in found] == [True] * 4 + [False] * 6
    assert set(found.item_ids[:4]) == set(ask(None, channels=("item_knn",), k=4).item_ids)


def test_hits_of_a_low_score_are_dropped() -> None:
    alone = ask(None, channels=("popularity",), k=NUM_ITEMS).channel_scores["popularity"]
    found = ask({"rounds": [{"channels": ["popularity"], "min_scores": {"popularity": 3}}]}, k=NUM_ITEMS)
    assert int((~np.isnan(found.channel_scores["popularity"])).sum()) == int((alone >= 3).sum()) > 0


def test_rules_boost_and_bury_and_say_so() -> None:
    rules = [{"name": "dear", "filter": "price >= 20", "factor": 3}, {"name": "no cy", "filter": {"maker": "cy"}, "factor": 0}]
    plain, found = ask({}, k=20), ask({"rules": rules}, k=20)
    before = dict(zip(plain.item_ids, plain.scores, strict=True))
    for place, item in enumerate(found.item_ids):
        if item not in before or found.scores[place] < 0:
            continue
        boosted = before[item] * (3 if _price(item) >= 20 else 1)
        final = 0 if _maker(item) == "cy" else boosted
        assert found.scores[place] == pytest.approx(final)
        assert found.effects["dear"][place] == pytest.approx(boosted - before[item])
        assert found.effects["no cy"][place] == pytest.approx(final - boosted)
    assert found.trace[1].startswith("rule 'dear' (x 3): ")
    ranked = [_maker(i) for i, score in zip(found.item_ids, found.scores, strict=True) if score >= 0]
    assert "cy" not in ranked[: len(ranked) - ranked.count("cy")]


def _greedy(found: Candidates, strength: float, k: int) -> list[str]:
    """Maximal marginal relevance the slow way."""
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    score = {i: float(s) for i, s in zip(found.item_ids, found.scores, strict=True) if s > 0}
    top, placed = max(score.values()), []
    while len(placed) < k:

        def value(item: str) -> float:
            likeness = [float(unit[_price(item)] @ unit[_price(other)]) for other in placed]
            return score[item] - strength * top * max([0.0, *likeness])

        placed.append(max((i for i in score if i not in placed), key=lambda i: (value(i), -_price(i))))
    return placed


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0])
def test_diversity_is_maximal_marginal_relevance(strength: float) -> None:
    everything = ask({}, k=NUM_ITEMS)
    found = ask({"diversity": {"strength": strength}})
    assert list(found.item_ids) == _greedy(everything, strength, 10)
    assert (np.diff(found.scores) <= 0).all()
    assert (found.effects["diversity"] <= 0).all()
    assert found.effects["diversity"].any()


def test_diversity_makes_a_list_less_alike() -> None:
    def likeness(found: Candidates) -> float:
        rows = VECTORS[[_price(i) for i in found.item_ids]]
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        np.fill_diagonal(cosines := rows @ rows.T, -1)
        return float(cosines.max(axis=1).mean())

    assert likeness(ask({"diversity": {"strength": 0.8}}, k=4)) < likeness(ask(None, k=4)) - 0.05


def test_caps_hold_while_there_are_others() -> None:
    found = ask({"diversity": {"at_most": {"maker": 2}}}, k=8)
    assert set(Counter(map(_maker, found.item_ids)).values()) == {2}
    longer = ask({"diversity": {"at_most": {"maker": 2}}}, k=11)
    assert longer.item_ids[:8] == found.item_ids
    assert len(set(longer.item_ids)) == 11
    assert "at_most was lifted for the last 3 places" in longer.trace[-1]


def test_candidates_over_a_lifted_cap_keep_what_channels_say_of_them() -> None:
    query = Query(user_id="u1", k=30, plan={"diversity": {"at_most": {"maker": 1}}})
    plain = {c.item_id: c.channels for c in ask({}, k=30)}
    found = ENGINE.recall(query)
    lifted = [place for place, c in enumerate(found) if c.score < 0 and c.channels]
    assert len(lifted) > 10
    for place in lifted:
        candidate = found[place]
        assert candidate.channels == plain[candidate.item_id]
        assert found.effects["at_most"][place] < 0
        assert sum(ENGINE.contributions(query, candidate.item_id).values()) == pytest.approx(candidate.score, rel=1e-4)
    filled = sum(not c.channels for c in found)
    assert any(f"{filled} of {len(found)} places were filled up by popularity" in note for note in found.notes) == (filled > 0)


def test_popular_items_that_fill_a_list_keep_to_the_caps() -> None:
    plan = {"rounds": [{"channels": ["item_knn"], "at_most": {"item_knn": 2}}], "diversity": {"at_most": {"maker": 2}}}
    found = ask(plan, k=8)
    assert set(Counter(map(_maker, found.item_ids)).values()) == {2}
    assert int((found.scores < 0).sum()) == 6
    assert "6 of 8 places were filled up by popularity" in found.notes[-1]


@pytest.mark.parametrize(
    ("guarantee", "fulfils"),
    [
        ({"at_most_events": 0, "share": 0.25}, lambda c: USERS_PER_ITEM[_price(c.item_id)] == 0),
        ({"filter": "price < 4", "places": 2}, lambda c: _price(c.item_id) < 4),
        ({"channel": "item_knn", "places": 8}, lambda c: "item_knn" in c.channels),
    ],
)
def test_guarantees_keep_places(guarantee: dict[str, object], fulfils) -> None:  # type: ignore[no-untyped-def]
    plan = parse_plan({"guarantees": [{"name": "kept", **guarantee}]})
    assert plan is not None
    wanted = plan.guarantees[0].wanted(10)
    found = ask(plan)
    got = sum(map(fulfils, found))
    assert got >= wanted
    assert found.trace[-1] == f"guarantee 'kept': {got} of 10 places, {wanted} wanted"
    others = [c.item_id for c in found if not fulfils(c)]
    plain = [c.item_id for c in ask({}, k=NUM_ITEMS) if not fulfils(c)]
    assert others == plain[: len(others)]


def test_a_quota_is_kept_however_far_down_its_items_stand_in_the_fused_list() -> None:
    class Promotion:
        name = "promotion"

        def recall(self, queries: QueryBatch, k: int) -> Hits:
            hits = Hits.empty(len(queries), k)
            hits.positions[:, :5], hits.scores[:, :5] = np.arange(35, 40), np.linspace(1, 0.5, 5)
            return hits

        def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[Evidence]:
            return []

    engine = RecallEngine(
        ENGINE.users,
        ENGINE.items,
        [PopularityChannel(np.arange(NUM_ITEMS, 0, -1).astype(np.float32)), Promotion()],
        FusionConfig(weights={"promotion": 0.01}),
        Histories.of(EVENTS),
        config=EngineConfig(depth=30),
    )
    quota = {"name": "promoted", "channel": "promotion", "places": 3}
    found = engine.recall(Query(history=[], k=5, plan={"pool": 10, "guarantees": [quota]}))
    assert [_price(c.item_id) for c in found if "promotion" in c.channels] == [35, 36, 37]
    fresh = engine.recall(
        Query(history=[], k=5, plan={"pool": 10, "guarantees": [{"name": "x", "explore": True, "places": 4}]})
    )
    drawn = {_price(c.item_id) for c in fresh if not c.channels}
    assert len(drawn) == 4
    assert drawn <= {30, 31, 32, 33, 34}, "popularity recalls 0 to 29, the promotion 35 to 39"


def test_exploration_is_drawn_from_what_no_channel_recalls_and_repeats_itself() -> None:
    plan = {"rounds": [{"channels": ["item_knn"]}], "guarantees": [{"name": "new ground", "explore": True, "places": 3}]}
    found = ask(plan)
    drawn = [c.item_id for c in found if not c.channels and c.score >= 0]
    assert len(drawn) == 3
    assert ask(plan).item_ids == found.item_ids
    lists = {ask({**plan, "seed": seed}).item_ids for seed in range(8)}
    assert len(lists) > 1
    assert any(ask(plan, user_id=f"u{u}").item_ids[-1] != found.item_ids[-1] for u in range(NUM_USERS))


EVERYTHING = {
    "rules": [{"name": "dear", "filter": "price >= 20", "factor": 1.5}],
    "guarantees": [{"name": "new", "at_most_events": 0, "places": 2}],
    "diversity": {"strength": 0.4, "at_most": {"maker": 3}},
}


def test_contributions_still_add_up() -> None:
    query = Query(user_id="u1", k=10, plan=EVERYTHING)
    found = ENGINE.recall(query)
    for place, candidate in enumerate(found):
        added = ENGINE.contributions(query, candidate.item_id)
        if candidate.channels:
            assert sum(added.values()) == pytest.approx(candidate.score, rel=1e-4, abs=1e-6)
            for name, effect in found.effects.items():
                assert added.get(name, 0.0) == pytest.approx(float(effect[place]))
        else:
            assert added == {}
    outside = next(c for c in ENGINE.recall(Query(user_id="u1", k=NUM_ITEMS)) if c.item_id not in found.item_ids)
    assert set(ENGINE.contributions(query, outside.item_id)) <= {"item_knn", "popularity", "dear"}


plans = st.fixed_dictionaries(
    {},
    optional={
        "rounds": st.sampled_from(
            [[{"channels": ["item_knn"], "go_on": {"fewer_than": 12}}, {"channels": ["popularity"], "weight": 0.5}], [{}]]
        ),
        "rules": st.sampled_from([[], EVERYTHING["rules"], [{"name": "none", "filter": "price >= 0", "factor": 0}]]),
        "guarantees": st.lists(
            st.sampled_from(
                [
                    {"name": "new", "at_most_events": 0, "share": 0.5},
                    {"name": "explore", "explore": True, "places": 4},
                    {"name": "cheap", "filter": "price < 9", "share": 0.9},
                ]
            ),
            unique_by=lambda g: g["name"],
        ),
        "diversity": st.fixed_dictionaries(
            {}, optional={"strength": st.floats(0, 1), "at_most": st.sampled_from([{"maker": 1}, {"maker": 3, "price": 1}])}
        ),
        "pool": st.sampled_from([1, 5, 500]),
    },
)


@settings(max_examples=120, deadline=None)
@given(plans, st.integers(1, 50), st.sampled_from([None, "price < 17", "price < 0"]), st.booleans())
def test_any_plan_returns_exactly_k_distinct_eligible_items(plan: object, k: int, only: str | None, seen: bool) -> None:
    query = Query(user_id="u1", k=k, filter=only, exclude_seen=seen, plan=plan)
    found = ENGINE.recall(query)
    eligible = set(ENGINE.recall(replace(query, plan=None, k=NUM_ITEMS)).item_ids)
    assert set(found.item_ids) <= eligible
    assert len(found) == len(set(found.item_ids)) == min(k, len(eligible))
    assert (np.diff(found.scores) <= 0).all()
    assert ENGINE.recall(query).item_ids == found.item_ids


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"ruels": []}, "Did you mean 'rules'"),
        ("fast", "a Plan or a JSON object"),
        ({"rules": [{"name": "a", "filter": "price <", "factor": 1}]}, "filter"),
        ({"rules": [{"name": "a", "filter": "prize < 3", "factor": 1}]}, "Did you mean 'price'"),
        ({"rules": [{"name": "a", "filter": "price < 3", "factor": -1}]}, "greater than or equal to 0"),
        ({"guarantees": [{"name": "a", "share": 0.1}]}, "one of filter, channel"),
        ({"guarantees": [{"name": "a", "explore": True}]}, "one of share and places"),
        ({"guarantees": [{"name": "a", "channel": "item_nn", "places": 1}]}, "Did you mean 'item_knn'"),
        ({"rounds": [{"channels": ["popularty"]}]}, "Did you mean 'popularity'"),
        ({"rounds": [{"channels": ["item_knn"], "at_most": {"popularity": 3}}]}, "channels of this round"),
        ({"diversity": {"at_most": {"makr": 3}}}, "Did you mean 'maker'"),
        ({"guarantees": [{"name": "a", "explore": True, "places": 1}] * 2}, "distinct names"),
    ],
)
def test_what_is_no_plan(plan: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask(plan)


def test_likeness_needs_vectors() -> None:
    with pytest.raises(Unsupported, match="vectors of items"):
        _engine(vectors=False).recall(Query(user_id="u1", plan={"diversity": {"strength": 0.5}}))
