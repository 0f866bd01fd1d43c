from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.errors import ConfigError, ShapeError, UnknownId, Unsupported
from kgrecall.graph.columns import ItemColumns
from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.channels.item_knn import ItemKnnChannel, build_item_knn
from kgrecall.recall.channels.popularity import PopularityChannel, item_popularity
from kgrecall.recall.engine import EngineConfig, RecallEngine
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.histories import Histories
from kgrecall.recall.queries import user_batches
from kgrecall.schema import GraphSchema
from kgrecall.store import open_store
from kgrecall.threads import SWITCH
from kgrecall.types import Interactions, Query

NUM_USERS, NUM_ITEMS = 8, 25
HIDDEN = "i24"


def _random_engine() -> RecallEngine:
    """Item i costs i; the last item is hidden."""
    rng = np.random.default_rng(3)
    users, items = np.nonzero(rng.random((NUM_USERS, NUM_ITEMS)) < 0.3)
    events = Interactions(users, items, np.ones(len(users), np.float32), None, NUM_USERS, NUM_ITEMS)
    channels = [ItemKnnChannel(build_item_knn(events)), PopularityChannel(item_popularity(events))]
    snapshot = _snapshot()
    return RecallEngine(
        snapshot.users,
        snapshot.items,
        channels,
        FusionConfig(),
        Histories.of(events),
        filters=FilterMasks(ItemColumns(snapshot)),
        hidden=[HIDDEN],
        config=EngineConfig(depth=3),
    )


def _snapshot() -> GraphSnapshot:
    nodes = {"User": {"role": "user"}, "Item": {"role": "item", "properties": {"price": "integer"}}}
    schema = GraphSchema.parse(
        {"nodes": nodes, "edges": {"CHOSE": {"source": "User", "target": "Item", "role": "interaction"}}}
    )
    store = open_store(":memory:")
    store.apply_schema(schema)
    store.upsert_nodes("User", pa.array([f"u{i:02}" for i in range(NUM_USERS)]), {})
    store.upsert_nodes("Item", pa.array([f"i{i:02}" for i in range(NUM_ITEMS)]), {"price": pa.array(range(NUM_ITEMS))})
    return take_snapshot(store, schema)


RANDOM = _random_engine()
ids = st.sampled_from([f"i{i:02}" for i in range(NUM_ITEMS + 2)])  # the last two are not in the graph
id_sets = st.frozensets(ids, max_size=NUM_ITEMS)
queries = st.builds(
    Query,
    user_id=st.sampled_from([f"u{i:02}" for i in range(NUM_USERS)]),
    history=st.none() | st.lists(ids, max_size=6),
    item_id=st.none() | ids.filter(lambda i: int(i[1:]) < NUM_ITEMS),
    k=st.integers(1, NUM_ITEMS + 5),
    exclude=id_sets,
    allow=st.none() | id_sets,
    filter=st.none() | st.integers(0, 30).map(lambda price: f"price < {price}"),
    exclude_seen=st.booleans(),
    channels=st.sampled_from([None, ("item_knn",), ("popularity",), ("popularity", "item_knn")]),
)


def eligible(query: Query) -> set[str]:
    seen = RANDOM.recall(Query(user_id=query.user_id, k=NUM_ITEMS)).item_ids
    stored = {f"i{i:02}" for i in range(NUM_ITEMS)} - set(seen)
    left = {f"i{i:02}" for i in range(NUM_ITEMS)} - query.exclude - {query.item_id, HIDDEN}
    if isinstance(query.filter, str):
        left &= {f"i{i:02}" for i in range(int(query.filter.split()[-1]))}
    if query.exclude_seen:
        left -= stored if query.history is None else set(query.history)
    return left if query.allow is None else left & query.allow


@settings(max_examples=150, deadline=None)
@given(queries)
def test_exactly_k_distinct_eligible_items_whenever_there_are_so_many(query: Query) -> None:
    found = RANDOM.recall(query)
    allowed = eligible(query)
    assert set(found.item_ids) <= allowed
    assert len(found) == len(set(found.item_ids)) == min(query.k, len(allowed))
    assert (np.diff(found.scores) <= 0).all()
    ranked = [(-c.score, c.item_id) for c in found]
    assert ranked == sorted(ranked)


@settings(max_examples=40, deadline=None)
@given(st.lists(queries, max_size=5))
def test_many_queries_are_answered_like_single_ones(many: list[Query]) -> None:
    for query, together in zip(many, RANDOM.recall_many(many), strict=True):
        alone = RANDOM.recall(query)
        assert together.item_ids == alone.item_ids
        assert (together.served, together.notes) == (alone.served, alone.notes)
        np.testing.assert_array_equal(together.scores, alone.scores)


def test_threads_get_the_same_answers() -> None:
    many = [Query(user_id=f"u{i % NUM_USERS:02}", k=10) for i in range(64)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(RANDOM.recall, many))
    assert [f.item_ids for f in found] == [f.item_ids for f in RANDOM.recall_many(many)]


def test_the_score_is_the_sum_of_the_contributions(engine: RecallEngine) -> None:
    query = Query(user_id="ann")
    for candidate in engine.recall(query):
        added = engine.contributions(query, candidate.item_id)
        assert sum(added.values()) == pytest.approx(max(candidate.score, 0), rel=1e-5)


def test_a_known_user_is_served_hot(engine: RecallEngine) -> None:
    found = engine.recall(Query(user_id="ann", k=2))
    assert found.served == "hot"
    assert found.item_ids[0] == "blade_runner"  # by director, by people who watched Alien, and popular
    assert found[0].title == "Blade Runner"
    assert set(found[0].channels) >= {"item_knn", "attributes", "popularity"}
    assert not {"alien", "aliens"} & set(found.item_ids)
    assert found.notes == ()


def test_seen_items_can_be_asked_for(engine: RecallEngine) -> None:
    assert {"alien", "aliens"} <= set(engine.recall(Query(user_id="ann", exclude_seen=False)).item_ids)


def test_a_visitor_with_a_history_is_served_warm(engine: RecallEngine) -> None:
    found = engine.recall(Query(history=["jaws"], k=3))
    assert found.served == "warm"
    assert "jaws" not in found.item_ids
    by_director = engine.recall(Query(history=["jaws"], k=2, channels=("attributes",)))
    assert by_director.item_ids == ("unseen", "et")  # nobody watched the first


def test_nobody_is_served_cold_by_popularity_and_then_the_whole_catalogue(engine: RecallEngine) -> None:
    for query in (Query(user_id="eve", k=9), Query(history=[], k=9), Query(user_id="nobody", history=[], k=9)):
        found = engine.recall(query)
        assert found.served == "cold"
        assert found.item_ids == ("alien", "aliens", "blade_runner", "jaws", "et", "unseen")
        assert found.scores[-2:].tolist() == [-1, -2]
        assert "2 of 6 places were filled up" in found.notes[-1]


def test_more_like_this_leaves_the_item_out(engine: RecallEngine) -> None:
    found = engine.recall(Query(item_id="alien", k=3))
    assert found.served == "warm"
    assert found.item_ids[0] in {"aliens", "blade_runner"}
    assert "alien" not in engine.recall(Query(item_id="alien", k=6, exclude_seen=False)).item_ids


def test_more_like_this_for_a_user_leaves_out_what_was_seen(engine: RecallEngine) -> None:
    assert set(engine.recall(Query(item_id="jaws", user_id="ann", k=6)).item_ids) == {"et", "blade_runner", "unseen"}


def test_free_text(engine: RecallEngine) -> None:
    found = engine.recall(Query(text="robot", k=2))
    assert (found.served, found.item_ids[0]) == ("warm", "blade_runner")
    assert engine.explain(Query(text="robot"), "blade_runner")[0].sentence.endswith("what you asked for.")


def test_blank_text_asks_nothing(engine: RecallEngine) -> None:
    assert engine.recall(Query(text="  \n")).served == "cold"


def test_text_outweighs_the_history(engine: RecallEngine) -> None:
    assert engine.recall(Query(user_id="ann", text="shark", k=1)).item_ids == ("jaws",)


def test_channels_can_be_chosen(engine: RecallEngine) -> None:
    found = engine.recall(Query(user_id="ann", channels=("attributes",)))
    assert set(found.channel_scores) == {"attributes"}
    with pytest.raises(ConfigError, match="Did you mean 'attributes'"):
        engine.recall(Query(user_id="ann", channels=("atributes",)))
    with pytest.raises(ConfigError, match="at least one name"):
        engine.recall(Query(user_id="ann", channels=()))


def test_unknown_ids(engine: RecallEngine) -> None:
    with pytest.raises(UnknownId, match=r"Query.user_id.*'anna'.*Did you mean 'ann'.*history"):
        engine.recall(Query(user_id="anna"))
    with pytest.raises(UnknownId, match=r"Query.item_id.*Did you mean 'jaws'"):
        engine.recall(Query(item_id="jawz"))
    with pytest.raises(UnknownId, match="jawz"):
        engine.explain(Query(user_id="ann"), "jawz")
    found = engine.recall(Query(history=["jaws", "gone"], exclude=frozenset({"lost"}), allow=frozenset({"et", "away"})))
    assert found.item_ids == ("et",)
    assert found.notes == (
        "1 of 2 history items are not in the graph and were skipped.",
        "1 of 1 excluded items are not in the graph.",
        "1 of 2 allowed items are not in the graph.",
    )


def test_filters_are_refused_where_they_cannot_be_answered(engine: RecallEngine) -> None:
    with pytest.raises(Unsupported, match="item columns"):
        engine.recall(Query(user_id="ann", filter="price < 3"))
    with pytest.raises(ConfigError, match="Did you mean 'price'"):
        RANDOM.recall(Query(user_id="u00", filter="prize < 3"))


def test_an_allow_list_and_a_filter_hold_together() -> None:
    found = RANDOM.recall(Query(history=[], allow=frozenset({"i01", "i07"}), filter={"price": {">": 3}}))
    assert found.item_ids == ("i07",)


def test_text_needs_an_encoder() -> None:
    with pytest.raises(Unsupported, match="text encoder"):
        RANDOM.recall(Query(text="robot"))


def test_a_long_history_is_cut_to_its_newest_items(watched: Interactions) -> None:
    users, items = Vocabulary(["a", "b", "c"]), Vocabulary(["i0", "i1", "i2", "i3", "i4", "i5"])
    channel = ItemKnnChannel(build_item_knn(watched))
    engine = RecallEngine(users, items, [channel], FusionConfig(), Histories.of(watched), config=EngineConfig(max_history=1))
    found = engine.recall(Query(history=["i4", "i1"], k=3))
    assert found.item_ids[0] == "i0"  # what goes with i1; i4 is still seen
    assert "i4" not in found.item_ids
    assert found.notes[0] == "Only the newest 1 of 2 history items were used."


def test_rank_is_what_recall_returns() -> None:
    users = np.arange(NUM_USERS)
    ranked = RANDOM.rank(users, NUM_ITEMS + 2)
    assert ranked.shape == (NUM_USERS, NUM_ITEMS + 2)
    for user, row in zip(users, ranked, strict=True):
        found = RANDOM.recall(Query(user_id=f"u{user:02}", k=NUM_ITEMS)).item_ids
        assert [f"i{p:02}" for p in row[row >= 0]] == list(found)


def test_a_single_channel_can_be_ranked() -> None:
    hits = RANDOM.channel_hits(np.array([2, 5]), 6)
    for name in RANDOM.channel_names:
        np.testing.assert_array_equal(RANDOM.rank(np.array([2, 5]), 6, channel=name), hits[name].positions)
        assert NUM_ITEMS - 1 not in hits[name].positions  # the hidden one
    with pytest.raises(ConfigError, match="channels"):
        RANDOM.rank(np.array([0]), 3, channel="vector")
    with pytest.raises(ShapeError, match="user_pos"):
        RANDOM.rank(np.array([NUM_USERS]), 3)


def test_hits_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_batches, "_BLOCK", 2)
    users, found = np.arange(NUM_USERS), []
    for number in ("1", "3"):
        monkeypatch.setenv(SWITCH, number)
        found.append(RANDOM.channel_hits(users, 6))
    for name, hits in found[0].items():
        np.testing.assert_array_equal(hits.positions, found[1][name].positions)
        np.testing.assert_array_equal(hits.scores, found[1][name].scores)
        np.testing.assert_array_equal(hits.positions, RANDOM.rank(users, 6, channel=name))


def test_visitors_are_asked_about_by_what_they_told() -> None:
    told = Interactions(np.array([2, 2, 5]), np.array([1, 4, 3]), np.ones(3, np.float32), np.arange(3), NUM_USERS, NUM_ITEMS)
    hits = RANDOM.channel_hits(np.array([2, 5]), 6, told=Histories.of(told))
    for i, history in enumerate((["i01", "i04"], ["i03"])):
        for name in RANDOM.channel_names:
            answer = RANDOM.recall(Query(history=history, channels=(name,), k=6))
            row = hits[name].positions[i]
            found = [f"i{position:02}" for position in row[row >= 0]]
            assert found == list(answer.item_ids[: len(found)])


def test_explanations_say_popular_last(engine: RecallEngine) -> None:
    paths = engine.explain(Query(user_id="ann"), "blade_runner", limit=9)
    assert paths[-1].channel == "popularity"
    assert {path.channel for path in paths} == {"item_knn", "attributes", "popularity"}
    assert "You watched 'Alien' — both directed by Ridley Scott — 'Blade Runner'" in [path.sentence for path in paths]
    with pytest.raises(ConfigError, match="limit"):
        engine.explain(Query(user_id="ann"), "blade_runner", limit=0)


def test_an_item_without_a_reason_has_no_path(engine: RecallEngine) -> None:
    assert engine.explain(Query(user_id="eve"), "unseen") == []


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_channels_need_distinct_names(names: list[str], watched: Interactions) -> None:
    channels = [PopularityChannel(item_popularity(watched), name=name) for name in names]
    with pytest.raises(ConfigError, match="distinct names"):
        RecallEngine(Vocabulary(["a", "b", "c"]), Vocabulary(list("012345")), channels, FusionConfig(), Histories.of(watched))


def test_parts_must_fit(watched: Interactions) -> None:
    channels = [PopularityChannel(item_popularity(watched))]
    users, items = Vocabulary(["a", "b", "c"]), Vocabulary(list("012345"))
    with pytest.raises(ShapeError, match="one snapshot"):
        RecallEngine(items, items, channels, FusionConfig(), Histories.of(watched))
    with pytest.raises(ConfigError, match="Did you mean 'popularity'"):
        RecallEngine(users, items, channels, FusionConfig(weights={"popularty": 1}), Histories.of(watched))


def test_an_answer_is_pickled_without_the_catalogue(engine: RecallEngine) -> None:
    answer = engine.recall(Query(user_id="ann", k=2))
    copy = pickle.loads(pickle.dumps(answer))
    assert list(copy) == list(answer)
    assert (copy.item_ids, copy.titles, copy.served) == (answer.item_ids, answer.titles, answer.served)
    assert len(copy.catalogue) == 2 < len(engine.items)
