"""Who brings few events and is unknown to the build is judged by a network of their own, where that serves them better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kgrecall.recall.base import Hits
from kgrecall.recall.fusion.combiner import Combiner
from kgrecall.recall.fusion.combiner_fit import odds_of
from kgrecall.recall.fusion.combiner_weights import CombinerWeights
from kgrecall.recall.fusion.fusion_weights import weigh
from kgrecall.recall.fusion.learned_fusion import fit_learned
from kgrecall.recall.fusion.merged_lists import MergedLists, merge_lists
from kgrecall.recall.fusion.new_items import MAIN, VISITOR, Populations
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.fusion.surroundings import Surroundings

NUM_ITEMS, DEPTH, NAMES = 60, 30, ("people", "popular")
CONFIG = FusionConfig(method="score")


def planted(num_known: int, num_visitors: int, *, alike: bool = False) -> tuple[MergedLists, Surroundings, Populations]:
    """``people`` is right about known users, ``popular`` about visitors, whose histories are as short; or, where they are
    ``alike``, ``people`` about all."""
    rng = np.random.default_rng(3)
    count = num_known + num_visitors
    kind = np.where(np.arange(count) < num_known, MAIN, VISITOR).astype(np.int8)
    truth = rng.integers(0, NUM_ITEMS, count)
    hits = {name: Hits.empty(count, DEPTH) for name in NAMES}
    for i in range(count):
        right = "popular" if kind[i] == VISITOR and not alike else "people"
        for name in NAMES:
            by = rng.random(NUM_ITEMS).astype(np.float32)
            by[truth[i]] += 0.5 * (name == right)
            hits[name].positions[i] = np.argsort(-by)[:DEPTH]
            hits[name].scores[i] = by[hits[name].positions[i]]
    indptr = np.arange(count + 1)
    history = np.log1p(rng.integers(1, 9, count)).astype(np.float32)
    around = Surroundings(np.zeros((1, NUM_ITEMS), np.float32), np.zeros(count, np.int64), history, kind == VISITOR)
    lists = merge_lists(hits, indptr, truth, CONFIG)
    return lists, around, Populations.of(lists, around, np.zeros((1, NUM_ITEMS), np.bool_), indptr, truth, kind)


def learned(lists: Populations, around: Surroundings) -> CombinerWeights:
    fitted = fit_learned(weigh(lists.known, NAMES, CONFIG), lists, NAMES, around)
    assert fitted is not None
    assert fitted.config.combiner is not None
    assert len(fitted.values) == len(lists.known.queries), "known users alone choose between ways of fusing"
    return fitted.config.combiner


def test_visitors_get_what_suits_them_and_known_users_keep_theirs() -> None:
    lists, around, populations = planted(600, 300)
    weights = learned(populations, around)
    assert weights.visitor is not None
    assert weights.visitor.most == 8
    visitors = around.unknown[lists.queries]
    own, shared = (
        lists.ndcg(odds_of(lists, around, Combiner(used).log_odds), 20)
        for used in (weights, weights.model_copy(update={"visitor": None}))
    )
    assert own[visitors].mean() > shared[visitors].mean() + 0.1
    assert own[~visitors].tolist() == shared[~visitors].tolist()


def test_a_long_history_is_judged_as_that_of_a_known_user() -> None:
    lists, around, populations = planted(600, 300)
    combiner = Combiner(learned(populations, around))
    for length, same in ((8, False), (9, True)):
        asked = [
            odds_of(
                lists,
                replace(around, history=np.full_like(around.history, np.log1p(length)), unknown=unknown),
                combiner.log_odds,
            )
            for unknown in (np.ones_like(around.unknown), np.zeros_like(around.unknown))
        ]
        assert np.array_equal(*asked) == same


@pytest.mark.parametrize(("num_visitors", "alike"), [(90, False), (300, True)], ids=["too few to learn from", "no different"])
def test_without_a_reason_there_is_one_network_for_all(num_visitors: int, alike: bool) -> None:
    _, around, populations = planted(600, num_visitors, alike=alike)
    assert learned(populations, around).visitor is None
