"""A built engine that serves a learned combiner: what channels add is the score that the answer shows."""

from __future__ import annotations

import numpy as np
import pytest

from kgrecall.jobs.artifact import Artifact
from kgrecall.jobs.build_report import BuildReport
from kgrecall.jobs.ingredients import Ingredients, load
from kgrecall.jobs.serve import assemble
from kgrecall.recall.fusion.combiner_weights import CombinerWeights, NetworkWeights, VisitorWeights
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.types import Query

CHANNELS = ("item_knn", "attributes", "popularity")


@pytest.fixture(scope="module")
def ingredients(shop_build: BuildReport) -> Ingredients:
    return load(Artifact(shop_build.out))


@pytest.fixture(scope="module")
def learned() -> FusionConfig:
    rng = np.random.default_rng(0)
    hidden, rest = rng.normal(size=(13, 4)).tolist(), rng.normal(size=(2, 4)).tolist()
    network = NetworkWeights(
        first=(1.0, 0.5, 0.1),
        hidden=tuple(map(tuple, hidden)),
        bias=tuple(rest[0]),
        out=tuple(rest[1]),
        direct=tuple(rng.normal(size=13).tolist()),
    )
    weights = CombinerWeights(channels=CHANNELS, known=network, floor=-20.0)
    return FusionConfig(method="learned", weights=dict(zip(CHANNELS, network.first, strict=True)), combiner=weights)


def test_contributions_add_up_to_the_scores_of_the_answer(ingredients: Ingredients, learned: FusionConfig) -> None:
    engine = assemble(ingredients, CHANNELS, learned, encoder=None)
    query = Query(user_id="u007", k=10)
    answer = engine.recall(query)
    for candidate in answer:
        assert sum(engine.contributions(query, candidate.item_id).values()) == pytest.approx(candidate.score, abs=1e-3)
    plain = assemble(ingredients, CHANNELS, learned.model_copy(update={"combiner": None}), encoder=None)
    assert plain.recall(query).item_ids != answer.item_ids


def test_a_longer_answer_begins_with_the_shorter_one(ingredients: Ingredients, learned: FusionConfig) -> None:
    engine = assemble(ingredients, CHANNELS, learned, encoder=None)
    short, long = (engine.recall(Query(user_id="u007", k=k)) for k in (5, 60))
    assert long.item_ids[:5] == short.item_ids
    assert long.scores[:5].tolist() == short.scores.tolist()


def test_without_a_channel_that_it_knows_the_weighted_sum_serves(ingredients: Ingredients, learned: FusionConfig) -> None:
    fewer = assemble(ingredients, CHANNELS[:2], learned, encoder=None)
    assert fewer.fusion.combiner is None
    assert len(fewer.recall(Query(user_id="u007", k=10)).item_ids) == 10
    every = assemble(ingredients, CHANNELS, learned, encoder=None)
    asked = every.recall(Query(user_id="u007", k=10, channels=CHANNELS[:2]))
    assert asked.item_ids == fewer.recall(Query(user_id="u007", k=10)).item_ids


def test_what_is_like_an_item_is_not_what_people_choose_next(ingredients: Ingredients, learned: FusionConfig) -> None:
    engine = assemble(ingredients, CHANNELS, learned, encoder=None)
    plain = assemble(ingredients, CHANNELS, learned.model_copy(update={"combiner": None}), encoder=None)
    like, of_user = Query(item_id="i005", k=10), Query(user_id="u007", k=10)
    found = engine.recall_many([of_user, like])
    assert found[0].item_ids == engine.recall(of_user).item_ids != plain.recall(of_user).item_ids
    assert found[1].item_ids == plain.recall(like).item_ids


def test_a_visitor_is_judged_by_the_network_of_visitors_and_nobody_else(
    ingredients: Ingredients, learned: FusionConfig
) -> None:
    weights = learned.combiner
    assert weights is not None
    opposite = weights.known.model_copy(
        update={"out": tuple(-x for x in weights.known.out), "direct": tuple(-x for x in weights.known.direct)}
    )
    told = weights.model_copy(update={"visitor": VisitorWeights(network=opposite, most=3)})
    plain, other = (
        assemble(ingredients, CHANNELS, learned.model_copy(update={"combiner": used}), encoder=None) for used in (weights, told)
    )
    history = ["i005", "i017", "i030", "i042"]
    visitor = Query(history=history[:3], k=10)
    assert plain.recall(visitor).item_ids != other.recall(visitor).item_ids
    for alike in (Query(history=history, k=10), Query(user_id="u007", k=10)):
        assert plain.recall(alike).item_ids == other.recall(alike).item_ids
    instead = Query(user_id="u007", history=history[:3], k=10)
    assert plain.recall(instead).item_ids != other.recall(instead).item_ids, "a history in the call stands for the stored user"
