from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.sparse import csr_array

from kgrecall.errors import ConfigError, UnknownId
from kgrecall.graph.knowledge import Incidence
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.index.base import ExactIndex
from kgrecall.recall.channels.attributes import AttributesChannel, build_attribute_similarity
from kgrecall.recall.channels.ease import EaseConfig, build_ease
from kgrecall.recall.channels.item_knn import ItemKnnChannel, build_item_knn, interaction_matrix
from kgrecall.recall.channels.neighbors import NeighborsChannel
from kgrecall.recall.channels.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.popularity import PopularityChannel, item_popularity
from kgrecall.recall.channels.text import TextChannel
from kgrecall.recall.channels.vector import VectorChannel, normalised
from kgrecall.recall.engine import EngineConfig, RecallEngine
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.histories import Histories
from kgrecall.types import Embeddings, Interactions, Query

NUM_USERS, NUM_ITEMS = 20, 40
IDS = tuple(f"i{i:02}" for i in range(NUM_ITEMS))
ADDITIVE = ("item_knn", "attributes", "neighbors", "popularity")


def _engine(method: str, ids: tuple[str, ...] = IDS) -> RecallEngine:
    rng = np.random.default_rng(11)
    users, items = np.nonzero(rng.random((NUM_USERS, NUM_ITEMS)) < 0.2)
    events = Interactions(users, items, np.ones(len(users), np.float32), None, NUM_USERS, NUM_ITEMS)
    genre = csr_array((rng.random((NUM_ITEMS, 6)) < 0.3).astype(np.float32))
    people = csr_array(interaction_matrix(events).T)
    knowledge = build_node_space([Incidence("HAS_GENRE", "Genre", genre, reverse=False)], NodeSpaceConfig(hub_share=1))
    walked = build_node_space([Incidence("CHOSE", "User", people, reverse=True)], NodeSpaceConfig(hub_share=1))
    learned, texts = (normalised(rng.standard_normal((NUM_ITEMS, 6)).astype(np.float32)) for _ in range(2))
    trained = normalised(rng.standard_normal((NUM_USERS, 6)).astype(np.float32))
    channels = [
        VectorChannel(ExactIndex(learned), Embeddings(trained, learned, learned)),
        ItemKnnChannel(build_item_knn(events)),
        ItemKnnChannel(build_ease(events, EaseConfig(l2=3)), name="ease"),
        AttributesChannel(build_attribute_similarity(knowledge), knowledge),
        NeighborsChannel(walked, num_users=NUM_USERS),
        TextChannel(ExactIndex(texts), texts),
        PopularityChannel(item_popularity(events)),
    ]
    return RecallEngine(
        Vocabulary([f"u{i:02}" for i in range(NUM_USERS)]),
        Vocabulary(list(ids)),
        channels,
        FusionConfig(method=method),
        Histories.of(events),
        encode_text=lambda lines: texts[[len(line) for line in lines]],
        config=EngineConfig(depth=8),
    )


ENGINES = {method: _engine(method) for method in ("rrf", "score")}
QUERIES = {
    "user": Query(user_id="u03", k=10),
    "visitor": Query(history=["i01", "i05", "i09", "i30"], history_weights=[1, 0.5, 2, 1], k=10),
    "like": Query(item_id="i07", k=10),
    "text": Query(user_id="u03", text="x" * 5, k=10),
}
asked = pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
engines = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())


@engines
@asked
def test_contributions_and_attribution_add_up_to_the_score(engine: RecallEngine, query: Query) -> None:
    for candidate in engine.recall(query)[:5]:
        added = engine.contributions(query, candidate.item_id)
        found = engine.attribution(query, candidate.item_id)
        assert sum(added.values()) == pytest.approx(candidate.score, rel=1e-5)
        assert found.score == pytest.approx(candidate.score, rel=1e-5)
        assert found.channels == pytest.approx(added, rel=1e-5)
        assert sum(found.sources.values()) == pytest.approx(candidate.score, rel=1e-4)
        assert set(found.exact) & set(added) >= set(ADDITIVE) & set(added)


def test_linear_channels_are_attributed_exactly() -> None:
    engine, query = ENGINES["score"], Query(history=["i01", "i05", "i09"], channels=("item_knn",), k=10)
    similarity = build_item_knn(_events()).toarray()
    for candidate in engine.recall(query):
        votes = similarity[[1, 5, 9], int(candidate.item_id[1:])]
        shares = engine.attribution(query, candidate.item_id).sources
        for item, vote in zip(("i01", "i05", "i09"), votes, strict=True):
            assert shares.get(item, 0.0) == pytest.approx(candidate.score * vote / votes.sum(), abs=1e-6)


def _events() -> Interactions:
    users, items = np.nonzero(np.random.default_rng(11).random((NUM_USERS, NUM_ITEMS)) < 0.2)
    return Interactions(users, items, np.ones(len(users), np.float32), None, NUM_USERS, NUM_ITEMS)


def test_sampled_values_are_near_the_exact_shapley_values() -> None:
    """Against all 4! orders of a visitor's history, in the vector channel."""
    from itertools import permutations

    engine, items = ENGINES["score"], ["i01", "i05", "i09", "i30"]

    def score(part: tuple[str, ...], target: str) -> float:
        if not part:
            return 0.0
        found = engine.recall(Query(history=part, channels=("vector",), k=NUM_ITEMS, exclude=frozenset(items)))
        return {c.item_id: c.channels["vector"] for c in found if "vector" in c.channels}.get(target, 0.0)

    best = engine.recall(Query(history=items, channels=("vector",), k=3))[0]
    expected = dict.fromkeys(items, 0.0)
    for order in permutations(items):
        for i, item in enumerate(order):
            gain = score(_in_order(order[: i + 1], items), best.item_id) - score(_in_order(order[:i], items), best.item_id)
            expected[item] += gain / 24
    found = engine.attribution(Query(history=items, channels=("vector",), k=3), best.item_id)
    raw = best.channels["vector"]
    for item in items:
        assert found.sources.get(item, 0.0) * raw / found.score == pytest.approx(expected[item], abs=0.05)


def _in_order(part: tuple[str, ...], items: list[str]) -> tuple[str, ...]:
    return tuple(item for item in items if item in part)


def test_a_text_leads_and_is_owed_its_part() -> None:
    query = QUERIES["text"]
    best = ENGINES["rrf"].recall(query)[0]
    found = ENGINES["rrf"].attribution(query, best.item_id)
    assert found.table["text"] == {"text": pytest.approx(found.channels["text"])}


@engines
def test_without_is_asking_again(engine: RecallEngine) -> None:
    query = QUERIES["visitor"]
    best = engine.recall(query)[0].item_id
    found = engine.without(query, "i09", best)
    again = engine.recall(Query(history=["i01", "i05", "i30"], history_weights=[1, 0.5, 1], exclude=frozenset({"i09"}), k=10))
    expected = {c.item_id: (c.rank, c.score) for c in again}
    assert found.rank_before == 1
    assert (found.rank, found.score) == (expected[best][0], pytest.approx(expected[best][1]))


@engines
@asked
def test_counterfactuals_fall_and_name_the_history(engine: RecallEngine, query: Query) -> None:
    best = engine.recall(query)[0]
    told = engine.explanation(query, best.item_id, counterfactuals=3)
    for found in told.counterfactuals:
        assert found.fell
        assert (found.rank_before, found.score_before) == (1, pytest.approx(best.score, rel=1e-5))
        again = engine.without(query, found.without, best.item_id)
        assert again == found
    ranks = [np.inf if c.rank is None else c.rank for c in told.counterfactuals]
    assert ranks == sorted(ranks, reverse=True)


def test_an_item_that_rests_on_no_single_choice_is_said_to_stay() -> None:
    query = Query(history=["i01", "i05", "i09"], channels=("popularity",), k=10)
    best = ENGINES["score"].recall(query)[0]
    (told,) = ENGINES["score"].explanation(query, best.item_id, counterfactuals=3).counterfactuals
    assert not told.fell
    assert told.rank == told.rank_before == 1
    assert told.sentence.endswith("would still be rank 1.")


def test_an_explanation_is_json_and_text() -> None:
    engine, query = ENGINES["rrf"], QUERIES["visitor"]
    best = engine.recall(query)[0]
    told = engine.explanation(query, best.item_id, language="zh")
    assert json.loads(json.dumps(told.to_dict(), ensure_ascii=False))["rank"] == 1
    assert told.paths[0].sentence.startswith("您选过《i")
    assert "如果没有您对《i" in str(told)
    assert str(told).splitlines()[-1].startswith(f"{told.score:.4f} = ")


def test_an_item_that_no_channel_recalls() -> None:
    engine, query = ENGINES["rrf"], Query(history=["i01"], channels=("ease",), k=10)
    recalled = set(engine.recall(query).item_ids[: len(engine.recall(query))])
    outside = next(f"i{i:02}" for i in range(NUM_ITEMS) if not engine.contributions(query, f"i{i:02}") and i != 1)
    told = engine.explanation(query, outside)
    assert recalled
    assert (told.rank, told.score, told.contributions, told.attribution.table) == (None, 0.0, {}, {})
    assert engine.without(query, "i01", outside).sentence == f"'{outside}' is recalled by no channel."


def test_errors_name_the_remedy() -> None:
    engine, query = ENGINES["rrf"], QUERIES["visitor"]
    with pytest.raises(ConfigError, match="history"):
        engine.without(query, "i02", "i03")
    with pytest.raises(ConfigError, match="en or zh"):
        engine.explain(query, "i03", language="de")
    with pytest.raises(UnknownId):
        engine.without(query, "i1", "i03")


def test_an_item_called_text_or_rest_does_not_hide_what_the_text_and_the_rest_are_owed() -> None:
    engine = _engine("score", ids=(*IDS[:-2], "rest", "text"))
    query = Query(history=["text", "rest", "i05"], k=10)
    for candidate in engine.recall(query)[:5]:
        found = engine.attribution(query, candidate.item_id)
        assert sum(found.sources.values()) == pytest.approx(candidate.score, rel=1e-4)
