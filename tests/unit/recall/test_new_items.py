"""New items get weights of their own, and known ones keep theirs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from kgrecall.recall.base import Hits, QueryBatch
from kgrecall.recall.channels.item_knn import ItemKnnChannel
from kgrecall.recall.fusion.combiner import Combiner
from kgrecall.recall.fusion.combiner_fit import odds_of
from kgrecall.recall.fusion.fusion_weights import FittedFusion, weigh
from kgrecall.recall.fusion.learned_fusion import fit_learned
from kgrecall.recall.fusion.merged_lists import MergedLists, merge_lists
from kgrecall.recall.fusion.new_items import CURIOUS, MAIN, VISITOR, Populations, with_new_items
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.fusion.surroundings import Surroundings
from kgrecall.recall.panel import Panel
from kgrecall.types import BoolArray

NUM_ITEMS, DEPTH, NAMES = 90, 50, ("people", "content")
CONFIG = FusionConfig(method="score")
NEW: BoolArray = np.arange(NUM_ITEMS) % 9 == 0
"""Ten new items; nobody ever chooses number 0."""
CHOSEN: BoolArray = NEW & (np.arange(NUM_ITEMS) > 0)


def planted(num_queries: int = 900, seed: int = 0) -> tuple[MergedLists, Surroundings, np.ndarray, np.ndarray]:
    """A known and a new item are right in each query. ``people`` knows the known one well and no new ones; ``content`` has an
    idea of both, but likes known items better."""
    rng = np.random.default_rng(seed)
    known = rng.choice(np.flatnonzero(~NEW), num_queries)
    new = rng.choice(np.flatnonzero(CHOSEN), num_queries)
    hits = {name: Hits.empty(num_queries, DEPTH) for name in NAMES}
    for i in range(num_queries):
        people, content = rng.random((2, NUM_ITEMS)).astype(np.float32)
        people[known[i]] += 1
        people[NEW] = 0
        content[[known[i], new[i]]] += 0.4
        content[NEW] *= 0.7
        for name, by in zip(NAMES, (people, content), strict=True):
            hits[name].positions[i] = np.argsort(-by)[:DEPTH]
            hits[name].scores[i] = by[hits[name].positions[i]]
    truth = np.stack([known, new], axis=1).ravel()
    indptr = np.arange(0, 2 * num_queries + 1, 2)
    popularity = np.where(NEW, np.float32(np.nan), np.float32(0))[None]
    around = Surroundings(
        popularity, np.zeros(num_queries, np.int64), np.ones(num_queries, np.float32), np.zeros(num_queries, np.bool_)
    )
    return merge_lists(hits, indptr, truth, CONFIG), around, indptr, truth


def populations(num_queries: int = 900, seed: int = 0) -> tuple[Populations, Surroundings]:
    lists, around, indptr, truth = planted(num_queries, seed)
    return Populations.of(lists, around, CHOSEN[None], indptr, truth, np.full(num_queries, MAIN, np.int8)), around


def test_each_list_holds_its_kind_and_counts_its_truth() -> None:
    lists, _ = populations(50)
    assert not NEW[lists.known.positions[lists.known.positions >= 0]].any()
    assert NEW[lists.new.positions[lists.new.positions >= 0]].all()
    for part in (lists.every, lists.known, lists.new):
        assert (part.found.any(axis=-1) == (part.positions >= 0)).all()
        assert not part.relevant[part.positions < 0].any()
    assert lists.known.num_true.tolist() == lists.new.num_true.tolist() == [1] * 50
    assert lists.every.num_true.tolist() == [2] * 50
    assert (lists.unmet == (NEW[lists.every.positions] & (lists.every.positions >= 0))).all()


def test_an_item_that_nobody_ever_chose_is_in_no_list() -> None:
    whole, _, _, _ = planted(50)
    assert (whole.positions == 0).any()
    lists, _ = populations(50)
    assert not any((part.positions == 0).any() for part in (lists.every, lists.known, lists.new))


def test_what_each_kind_of_query_teaches() -> None:
    lists, around, indptr, truth = planted(60)
    kind = np.repeat(np.array([MAIN, CURIOUS, VISITOR], np.int8), 20)
    found = Populations.of(lists, around, CHOSEN[None], indptr, truth, kind)
    main, visitors = list(range(20)), list(range(40, 60))
    assert found.known.queries.tolist() == main
    assert found.every.queries.tolist() == found.taught.queries.tolist() == main + visitors
    assert found.new.queries.tolist() == list(range(60))


def fitted(lists: Populations) -> FittedFusion:
    fit = weigh(lists.known, NAMES, CONFIG)
    return FittedFusion(with_new_items(fit.config, lists, NAMES), fit.values, fit.equal_weights)


def test_weights_of_new_items_bring_them_into_the_list_of_all() -> None:
    lists, _ = populations()
    fit = fitted(lists).config
    assert fit.weights == weigh(lists.known, NAMES, CONFIG).config.weights
    assert set(fit.new_weights) == set(NAMES)
    known = lists.every.scores @ np.array([fit.weight(name) for name in NAMES], np.float32)
    new = lists.every.scores @ np.array([fit.new_weight(name) for name in NAMES], np.float32)
    there = lists.every.positions >= 0
    before = lists.every.ndcg(np.where(there, known, -np.inf), 20).mean()
    after = lists.every.ndcg(np.where(there, np.where(lists.unmet, new, known), -np.inf), 20).mean()
    assert after > before + 0.1


def test_too_few_new_items_change_nothing() -> None:
    lists, _ = populations(20)
    assert with_new_items(CONFIG, lists, NAMES) == CONFIG


def test_the_networks_keep_known_items_as_they_are_and_show_new_ones_as_often_as_they_are_right() -> None:
    lists, around = populations()
    learned = fit_learned(fitted(lists), lists, NAMES, around)
    assert learned is not None
    combiner = learned.config.combiner
    assert combiner is not None
    assert combiner.new is not None
    alone = fit_learned(weigh(lists.known, NAMES, CONFIG), lists, NAMES, around)
    assert alone is not None
    assert alone.config.combiner is not None
    assert alone.config.combiner.known == combiner.known
    assert alone.value == learned.value
    assert set(learned.config.new_weights) == set(NAMES)
    share = np.exp(odds_of(lists.every, around, Combiner(combiner).log_odds))
    share /= share.sum(axis=1, keepdims=True)
    right = lists.every.take(lists.every.relevant.any(axis=1))
    new_right = (right.relevant & NEW[right.positions]).sum(axis=1) / right.relevant.sum(axis=1)
    assert (share * lists.unmet).sum(axis=1).mean() == pytest.approx(new_right.mean(), abs=0.03)


def test_new_items_that_no_list_of_known_ones_holds_are_judged_as_known_ones() -> None:
    """Nothing finds them unless they are asked for alone: how they compete cannot be learned, and no number may be NaN."""
    lists, around = populations()
    every = lists.every.among(~lists.unmet, lists.every.num_true)
    apart = replace(lists, every=every, unmet=np.zeros(every.positions.shape, np.bool_))
    assert apart.enough
    learned = fit_learned(fitted(lists), apart, NAMES, around)
    assert learned is not None
    assert learned.config.combiner is not None
    assert learned.config.combiner.new is None
    assert learned.config.new_weights == {}


def asked_of_a_panel(**changes: object) -> list[int]:
    """The answer to a history of five times item 0; both channels know item 1, only ``content`` knows item 2, which is new."""
    people = sp.csr_array(np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]], np.float32))
    content = sp.csr_array(np.array([[0, 1, 0.9], [0, 0, 0], [0, 0, 0]], np.float32))
    channels = [ItemKnnChannel(people, name="people"), ItemKnnChannel(content, name="content")]
    fusion = FusionConfig(method="score", new_weights={"people": 0.0, "content": 5.0})
    panel = Panel(channels, fusion, depth=3, popularity=np.array([2, 1, 0], np.float32))
    batch = QueryBatch(
        num_items=3,
        user_pos=np.array([-1]),
        history_indptr=np.array([0, 5]),
        history_pos=np.zeros(5, np.int32),
        history_weight=np.ones(5, np.float32),
        exclude_indptr=np.array([0, 1]),
        exclude_pos=np.array([0], np.int32),
    )
    names = changes.pop("names", NAMES)
    answer = panel.ask(replace(batch, **changes), names, 3)  # type: ignore[arg-type]
    return answer.fused.positions[0].tolist()


def test_new_items_have_their_weights_where_somebody_will_choose_next() -> None:
    assert asked_of_a_panel() == [2, 1, -1]


def test_what_is_like_an_item_and_what_some_channels_say_is_answered_by_plain_weights() -> None:
    assert asked_of_a_panel(alike=np.array([True])) == [1, 2, -1]
    assert asked_of_a_panel(names=("content",)) == [1, 2, -1]


def test_who_has_hardly_a_history_is_answered_by_plain_weights() -> None:
    short = {"history_indptr": np.array([0, 2]), "history_pos": np.zeros(2, np.int32), "history_weight": np.ones(2, np.float32)}
    assert asked_of_a_panel(**short) == [1, 2, -1]


def test_new_items_that_are_hard_to_predict_have_their_share_of_the_places() -> None:
    """What is new is right as often as elsewhere, but nobody can say which: the best NDCG would never show any."""
    lists, _ = populations()
    rng = np.random.default_rng(2)
    shuffled = np.where(lists.unmet[..., None], rng.permuted(lists.every.scores, axis=1), lists.every.scores)
    blind = replace(lists, every=replace(lists.every, scores=shuffled * lists.every.found))
    fit = with_new_items(CONFIG, blind, NAMES)
    known, new = (blind.every.scores @ np.array([of(n) for n in NAMES], np.float32) for of in (fit.weight, fit.new_weight))
    assert blind.shown(blind.totals(known, new)) >= blind.due > 0
