"""A planted world: women of Norway choose the first items, men of Peru the last; mornings and evenings differ too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import ConfigError, UnknownId, Unsupported
from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.jobs.audience_part import AudiencePart
from kgrecall.recall.base import Naming
from kgrecall.recall.channels.item_knn import ItemKnnChannel, build_item_knn
from kgrecall.recall.channels.popularity import PopularityChannel, item_popularity
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.histories import Histories
from kgrecall.schema import GraphSchema
from kgrecall.store import open_store
from kgrecall.types import Query, Seen

DAY, HOUR = 86_400_000, 3_600_000
NUM_USERS, NUM_ITEMS = 60, 20
SCHEMA = GraphSchema.parse(
    {
        "nodes": {
            "User": {"role": "user", "properties": {"gender": "string", "age": "integer", "joined": "time"}},
            "Item": {"role": "item"},
            "Country": {"title": "name", "properties": {"name": "string"}},
        },
        "edges": {
            "VIEWED": {
                "source": "User",
                "target": "Item",
                "role": "interaction",
                "properties": {"at": "time", "device": "string"},
                "time": "at",
                "context": ["device"],
            },
            "BOUGHT": {"source": "User", "target": "Item", "role": "interaction", "properties": {"at": "time"}, "time": "at"},
            "LIVES_IN": {"source": "User", "target": "Country"},
        },
    }
)

NAMING = Naming("User", "Item", "VIEWED")


def _user(i: int) -> str:
    return f"u{i:02}"


def _snapshot() -> GraphSnapshot:
    """Users 0 .. 29 are women of Norway, 30 .. 59 men of Peru; the last of each has chosen nothing."""
    store = open_store(":memory:")
    store.apply_schema(SCHEMA)
    women = [i < NUM_USERS // 2 for i in range(NUM_USERS)]
    users = {
        "gender": pa.array(["F" if w else "M" for w in women]),
        "age": pa.array([20 + i % 5 if w else 50 + i % 5 for i, w in enumerate(women)]),
        "joined": pa.array([0] * NUM_USERS, pa.int64()),
    }
    store.upsert_nodes("User", pa.array([_user(i) for i in range(NUM_USERS)]), users)
    store.upsert_nodes("Item", pa.array([f"i{i:02}" for i in range(NUM_ITEMS)]), {})
    store.upsert_nodes("Country", pa.array(["no", "pe"]), {"name": pa.array(["Norway", "Peru"])})
    lives = pa.array(["no" if w else "pe" for w in women])
    store.upsert_edges("LIVES_IN", pa.array([_user(i) for i in range(NUM_USERS)]), lives, {})
    for name, events in _events().items():
        source, target, time = zip(*events, strict=True)
        columns = {"at": pa.array(time, pa.int64())}
        if name == "VIEWED":
            columns["device"] = pa.array(["desk" if int(item[1:]) % 2 == 0 else "phone" for item in target])
        store.upsert_edges(name, pa.array(source), pa.array(target), columns)
    return take_snapshot(store, SCHEMA)


def _events() -> dict[str, list[tuple[str, str, int]]]:
    """Even items are viewed at 8 on Mondays, odd ones at 20 on Saturdays; the first view of each user is a purchase too."""
    rng = np.random.default_rng(5)
    viewed, bought = [], []
    for user in [i for i in range(NUM_USERS) if i not in (29, 59)]:
        items = rng.choice(10, 5, replace=False) + (0 if user < 30 else 10)
        for item in items:
            at = 4 * DAY + 8 * HOUR if item % 2 == 0 else 9 * DAY + 20 * HOUR
            viewed.append((_user(user), f"i{item:02}", int(at)))
        bought.append((_user(user), f"i{items[0]:02}", 20 * DAY))
    return {"VIEWED": viewed, "BOUGHT": bought}


@pytest.fixture(scope="module")
def snapshot() -> GraphSnapshot:
    return _snapshot()


@pytest.fixture(scope="module")
def engine(snapshot: GraphSnapshot) -> RecallEngine:
    events = snapshot.interactions()
    popularity, histories = item_popularity(events), Histories.of(events)
    part = AudiencePart.of(snapshot, events)
    return RecallEngine(
        snapshot.users,
        snapshot.items,
        [ItemKnnChannel(build_item_knn(events)), PopularityChannel(popularity)],
        FusionConfig(),
        histories,
        audience=part.audience(snapshot),
        on_signal=part.channels(popularity, histories, naming=NAMING),
        naming=NAMING,
    )


def _share(item_ids: tuple[str, ...], first: int, last: int) -> float:
    return sum(first <= int(i[1:]) <= last for i in item_ids) / len(item_ids)


@pytest.mark.parametrize(
    ("attributes", "first"),
    [
        ({"gender": "F"}, 0),
        ({"gender": "M"}, 10),
        ({"age": 22}, 0),
        ({"age": 51}, 10),
        ({"LIVES_IN": "Norway"}, 0),
        ({"LIVES_IN": "pe"}, 10),
        ({"gender": "M", "age": 53, "LIVES_IN": "Peru"}, 10),
    ],
)
def test_users_who_share_an_attribute_vote(engine: RecallEngine, attributes: dict[str, object], first: int) -> None:
    found = engine.recall(Query(attributes=attributes, k=8))
    assert _share(found.item_ids, first, first + 9) == 1
    assert found.served == "warm"
    assert found.channels == ("peers",)


def test_a_known_user_without_history_has_the_attributes_of_the_graph(engine: RecallEngine) -> None:
    for user, first in ((29, 0), (59, 10)):
        found = engine.recall(Query(user_id=_user(user), k=8))
        assert _share(found.item_ids, first, first + 9) == 1
        assert "peers" in found[0].channels


def test_a_time_is_no_attribute_and_a_misspelt_one_gets_the_nearest(engine: RecallEngine) -> None:
    with pytest.raises(ConfigError, match=r"'joined'"):
        engine.recall(Query(attributes={"joined": 0}))
    with pytest.raises(ConfigError, match="Did you mean 'gender'"):
        engine.recall(Query(attributes={"gendr": "F"}))
    found = engine.recall(Query(attributes={"LIVES_IN": "Mars"}))
    assert found.served == "cold"
    assert found.notes == ("Too few have LIVES_IN 'Mars': it was left out.",)


def test_friends_vote(engine: RecallEngine) -> None:
    found = engine.recall(Query(friends=["u31", "u32", "nobody"], k=6))
    assert _share(found.item_ids, 10, 19) == 1
    assert (found.served, found.notes) == ("warm", ("1 of 3 friends are not in the graph and were skipped.",))
    assert set(found.channels) >= {"friends", "item_knn"}
    alone = engine.recall(Query(friends=["u31", "u32"], channels=("friends",), k=20))
    chosen = {e[1] for e in _events()["VIEWED"] if e[0] in ("u31", "u32")}
    both = {i for i in chosen if sum(e[1] == i and e[0] in ("u31", "u32") for e in _events()["VIEWED"]) == 2}
    assert {c.item_id for c in alone if c.channels} == chosen
    assert {c.item_id for c in alone[: len(both)]} == both


def test_friends_beside_a_history_only_vote(engine: RecallEngine) -> None:
    found = engine.recall(Query(user_id="u03", friends=["u31"], k=20))
    assert found.served == "hot"
    by_friend = {c.item_id for c in found if "friends" in c.channels}
    assert by_friend == {e[1] for e in _events()["VIEWED"] if e[0] == "u31"}


@pytest.mark.parametrize(
    ("context", "parity"),
    [
        ({"hour": 8}, 0),
        ({"hour": 20}, 1),
        ({"device": "desk"}, 0),
        ({"device": "phone"}, 1),
        ({"weekday": 0}, 0),
        ({"weekday": 5}, 1),
        ({"time": "2026-01-03T20:30"}, 1),
    ],
)
def test_the_moment_turns_the_list(engine: RecallEngine, context: dict[str, object], parity: int) -> None:
    found = engine.recall(Query(history=[], context=context, k=8))
    assert [int(i[1:]) % 2 for i in found.item_ids] == [parity] * 8
    assert found.served == "cold"
    assert "context" in found[0].channels


@pytest.mark.parametrize(("context", "parity"), [({"hour": 8}, 0), ({"hour": 20}, 1), ({"device": "phone"}, 1)])
@pytest.mark.parametrize(("start", "first"), [({"user_id": "u03"}, 0), ({"history": ["i15", "i16"]}, 10)])
def test_the_moment_turns_the_list_of_a_taste(
    engine: RecallEngine, start: dict[str, object], first: int, context: dict[str, object], parity: int
) -> None:
    """Items of the visitor's half come first, and of these the ones of the moment."""
    found = engine.recall(Query(**start, context=context, k=20, channels=("context_knn",)))  # type: ignore[arg-type]
    half = [i for i in found.item_ids if "context_knn" in found[found.item_ids.index(i)].channels]
    assert half
    assert _share(tuple(half), first, first + 9) == 1
    fitting = [int(i[1:]) % 2 == parity for i in half]
    assert fitting == sorted(fitting, reverse=True)
    path = engine.explain(Query(**start, context=context, channels=("context_knn",)), half[0])[0]  # type: ignore[arg-type]
    assert "so did user" in path.sentence
    fused = engine.recall(Query(**start, context=context, k=3))  # type: ignore[arg-type]
    plain = engine.recall(Query(**start, k=3))  # type: ignore[arg-type]
    assert sum(int(i[1:]) % 2 == parity for i in fused.item_ids) > sum(int(i[1:]) % 2 == parity for i in plain.item_ids) or (
        [int(i[1:]) % 2 for i in plain.item_ids] == [parity] * 3
    )


def test_a_moment_must_be_one(engine: RecallEngine) -> None:
    with pytest.raises(ConfigError, match="an integer from 0 to 23"):
        engine.recall(Query(context={"hour": 24}))
    with pytest.raises(ConfigError, match="Did you mean 'weekday'"):
        engine.recall(Query(context={"weekdy": 1}))
    with pytest.raises(ConfigError, match="a time"):
        engine.recall(Query(context={"time": "tea"}))


def test_signals_do_not_touch_queries_without_them(engine: RecallEngine) -> None:
    together = engine.recall_many([Query(user_id="u03"), Query(user_id="u03", context={"hour": 8})])
    assert together[0].item_ids == engine.recall(Query(user_id="u03")).item_ids
    assert set(together[0].channel_scores) == {"item_knn", "popularity"}


def test_what_counts_as_seen(engine: RecallEngine) -> None:
    viewed = {e[1] for e in _events()["VIEWED"] if e[0] == "u03"}
    (bought,) = [e[1] for e in _events()["BOUGHT"] if e[0] == "u03"]
    late = {e[1] for e in _events()["VIEWED"] if e[0] == "u03" and e[2] > 8 * DAY}

    def left_out(seen: Seen | bool, **more: object) -> set[str]:
        query = replace(Query(user_id="u03", k=NUM_ITEMS, exclude_seen=seen), **more)  # type: ignore[arg-type]
        return {f"i{i:02}" for i in range(NUM_ITEMS)} - set(engine.recall(query).item_ids)

    assert left_out(True) == viewed
    assert left_out(False) == set()
    assert left_out(Seen(events=("BOUGHT",))) == {bought}
    assert left_out(Seen(days=5)) == {bought}  # before the latest event, a purchase on day 20
    assert left_out(Seen(events=("VIEWED",), days=12)) == late
    assert left_out(Seen(events=("VIEWED",), days=3), context={"time": 10 * DAY}) == late
    assert left_out(Seen(days=1), history=["i01", "i02"], history_times=[DAY, 9 * DAY]) == {"i02"}
    with pytest.raises(ConfigError, match="Did you mean 'BOUGHT'"):
        left_out(Seen(events=("BUOGHT",)))


def test_times_order_a_history(engine: RecallEngine) -> None:
    given = engine.recall(Query(history=["i01", "i12"], history_times=["2026-01-02", "2026-01-01"]))
    assert given.item_ids == engine.recall(Query(history=["i12", "i01"])).item_ids


def test_an_item_that_is_told_twice_counts_twice_and_is_one(engine: RecallEngine) -> None:
    twice = engine.recall(Query(history=["i12", "i01", "i12"]))
    once = engine.recall(Query(history=["i01", "i12"], history_weights=[1, 2]))
    assert twice.item_ids == once.item_ids
    np.testing.assert_array_equal(twice.scores, once.scores)


def test_a_stranger_needs_something_to_start_from(engine: RecallEngine) -> None:
    with pytest.raises(UnknownId):
        engine.recall(Query(user_id="new", context={"hour": 3}))
    found = engine.recall(Query(user_id="new", attributes={"gender": "F"}))
    assert found.notes[0].startswith("User 'new' is not in the graph")


def test_several_starts_at_once(engine: RecallEngine) -> None:
    query = Query(
        user_id="u03",
        item_id="i15",
        friends=["u40"],
        attributes={"gender": "M"},
        context={"hour": 20},
        k=20,
        exclude_seen=False,
    )
    found = engine.recall(query)
    assert set(found.channels) == {"item_knn", "friends", "peers", "context", "context_knn"}
    assert len(found) == len(set(found.item_ids)) == 19
    for candidate in found[:5]:
        added = engine.contributions(query, candidate.item_id)
        assert sum(added.values()) == pytest.approx(candidate.score, rel=1e-5)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (Query(attributes={"gender": "F"}, channels=("peers",)), "'{}' is chosen more by people like you (gender F)."),
        (Query(context={"hour": 8}, channels=("context",)), "'{}' is chosen more at such a time (hour 8)."),
        (Query(friends=["u31"], channels=("friends",)), "Your friend u31 viewed '{}'"),
    ],
)
def test_signals_are_explained(engine: RecallEngine, query: Query, sentence: str) -> None:
    best = engine.recall(query).item_ids[0]
    (path,) = engine.explain(query, best)
    assert path.sentence == sentence.format(best)
    assert path.weight == pytest.approx(1)


def test_an_engine_without_an_audience_says_so(snapshot: GraphSnapshot) -> None:
    events = snapshot.interactions()
    bare = RecallEngine(
        snapshot.users, snapshot.items, [PopularityChannel(item_popularity(events))], FusionConfig(), Histories.of(events)
    )
    for query in (
        Query(attributes={"gender": "F"}),
        Query(context={"hour": 3}),
        Query(user_id="u03", exclude_seen=Seen(days=3)),
    ):
        with pytest.raises(Unsupported, match="an engine that knows"):
            bare.recall(query)
