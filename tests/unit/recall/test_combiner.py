from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kgrecall.recall.base import Hits
from kgrecall.recall.fusion import combiner_training
from kgrecall.recall.fusion.combiner import TOTAL, Combiner, Items, Network, together
from kgrecall.recall.fusion.combiner_fit import FittedNetwork, fit_for_new_items, fit_network, odds_of
from kgrecall.recall.fusion.combiner_weights import CombinerWeights, NetworkWeights, NewItemWeights
from kgrecall.recall.fusion.fusion_weights import weigh
from kgrecall.recall.fusion.merged_lists import MergedLists, merge_lists
from kgrecall.recall.fusion.rank_fusion import Fused, FusionConfig, fuse, stacked
from kgrecall.recall.fusion.surroundings import Surroundings, log_length, log_popularity
from kgrecall.threads import SWITCH
from kgrecall.types import FloatArray

NUM_ITEMS, DEPTH, NAMES = 60, 25, ("a", "b")
CONFIG = FusionConfig(method="learned")


def weights(seed: int = 0) -> CombinerWeights:
    return CombinerWeights(channels=NAMES, known=network(seed), floor=-8.0)


def network(seed: int) -> NetworkWeights:
    rng = np.random.default_rng(seed)
    num_features, units = 3 * len(NAMES) + 4, 5
    draw = rng.normal(size=(num_features, units)).round(3)
    rest = [tuple(rng.normal(size=n).round(3).tolist()) for n in (units, units, num_features)]
    hidden = tuple(tuple(row) for row in draw.tolist())
    return NetworkWeights(first=(1.0, 0.5), hidden=hidden, bias=rest[0], out=rest[1], direct=rest[2])


def fused(seed: int = 0, num_queries: int = 4) -> tuple[Fused, Surroundings]:
    """Two channels' random hits fused by the first weights, and random surroundings."""
    rng = np.random.default_rng(seed)
    lists = stacked([drawn(rng, num_queries) for _ in NAMES])
    parts = CONFIG.calibrate(NAMES, lists) * np.array(weights().known.first, np.float32)[:, None, None]
    popularity = log_popularity(rng.integers(1, 30, NUM_ITEMS).astype(np.float32))
    return fuse(lists, parts, 40), Surroundings.now(
        popularity, np.arange(0, 3 * num_queries + 1, 3), np.zeros(num_queries, np.bool_)
    )


def drawn(rng: np.random.Generator, num_queries: int) -> Hits:
    hits = Hits.empty(num_queries, DEPTH)
    for i in range(num_queries):
        by = rng.random(NUM_ITEMS).astype(np.float32)
        hits.positions[i] = np.argsort(-by)[:DEPTH]
        hits.scores[i] = by[hits.positions[i]]
    return hits


def naive_score(learned: CombinerWeights, lists: Fused, around: Surroundings, i: int, j: int) -> float:
    """The network written out for one item of one list."""
    return max(naive_odds(learned.known, lists, around, i, j) - learned.floor, 1e-6)


def naive_odds(net: NetworkWeights, lists: Fused, around: Surroundings, i: int, j: int) -> float:
    found = ~np.isnan(lists.channel_scores[:, i, j])
    scores = lists.parts[:, i, j] / np.array(net.first)
    item = [float(np.nan_to_num(around.popularity[0, lists.positions[i, j]])), around.history[i]]
    total = np.log(1 + 1000 * (scores @ np.array(net.first)))
    x = np.concatenate([scores, np.log(1 + scores), found, [found.sum(), total], item])
    units = np.maximum(x @ np.array(net.hidden) + np.array(net.bias), 0)
    return float(units @ np.array(net.out) + x @ np.array(net.direct))


def test_scores_are_those_of_the_network_and_order_the_list() -> None:
    lists, around = fused()
    found = Combiner(weights()).rescore(lists, around, np.ones(4, np.bool_), 10)
    for i in range(4):
        expected = {
            int(lists.positions[i, j]): naive_score(weights(), lists, around, i, j)
            for j in np.flatnonzero(lists.positions[i] >= 0)
        }
        best = sorted(expected, key=lambda item: (-round(expected[item], 5), item))[:10]
        assert found.positions[i].tolist() == best
        assert found.scores[i] == pytest.approx([expected[item] for item in best], rel=1e-4)


def test_parts_add_up_and_belong_to_the_channels_that_found_the_item() -> None:
    lists, around = fused(1)
    loud = network(1).model_copy(update={"direct": (2.0, -6.0, *(0.0,) * 8)})
    against = weights(1).model_copy(update={"known": loud})
    found = Combiner(against).rescore(lists, around, np.ones(4, np.bool_), 30)
    valid = found.positions >= 0
    assert found.parts.sum(axis=0)[valid] == pytest.approx(found.scores[valid], abs=1e-4)
    assert (found.parts[np.isnan(found.channel_scores)] == 0).all()
    assert (found.parts < 0).any(), "a channel can speak against an item"


def test_a_channel_that_the_network_ignores_adds_only_its_even_share() -> None:
    flat = network(0).model_copy(update={"hidden": ((0.0,) * 5,) * 10, "direct": (3.0, *(0.0,) * 9)})
    plain = weights().model_copy(update={"known": flat, "floor": 0.0})
    lists, around = fused(2)
    found = Combiner(plain).rescore(lists, around, np.ones(4, np.bool_), 30)
    bias = float(np.maximum(flat.bias, 0) @ np.array(flat.out))
    both = ~np.isnan(found.channel_scores).any(axis=0) & (found.scores > 1e-3)
    assert both.any()
    assert found.parts[1][both] == pytest.approx(np.full(both.sum(), bias / 2), abs=1e-4)


def test_other_rows_stay_as_they_were() -> None:
    lists, around = fused()
    found = Combiner(weights()).rescore(lists, around, np.array([True, False, True, False]), 10)
    assert found.positions[[1, 3]].tolist() == lists.positions[[1, 3], :10].tolist()
    assert found.parts[:, 1].tolist() == lists.parts[:, 1, :10].tolist()
    assert found.positions[0].tolist() != lists.positions[0, :10].tolist()


def test_short_lists_stay_padded() -> None:
    one = Hits(np.array([[3, 5, -1]], np.int32), np.array([[2.0, 1.0, -np.inf]], np.float32))
    hits = stacked([one, Hits.empty(1, 3)])
    lists = fuse(hits, CONFIG.calibrate(["a", "a"], hits), 3)
    around = Surroundings.now(np.zeros(NUM_ITEMS, np.float32), np.array([0, 1]), np.zeros(1, np.bool_))
    found = Combiner(weights()).rescore(lists, around, np.ones(1, np.bool_), 3)
    assert sorted(found.positions[0].tolist()) == [-1, 3, 5]
    assert found.positions[0, 2] == -1
    assert found.scores[0, 2] == -np.inf
    assert (found.parts[:, 0, 2] == 0).all()


def planted(num_queries: int) -> tuple[MergedLists, Surroundings]:
    """Channel a is right about people with short histories, b about those with long ones: no weights serve both."""
    rng = np.random.default_rng(7)
    lengths = np.where(np.arange(num_queries) % 2 == 0, 2, 40)
    truth = rng.integers(0, NUM_ITEMS, num_queries)
    hits = {name: Hits.empty(num_queries, DEPTH) for name in NAMES}
    for i in range(num_queries):
        for name, right in zip(NAMES, (lengths[i] == 2, lengths[i] == 40), strict=True):
            by = rng.random(NUM_ITEMS).astype(np.float32)
            by[truth[i]] += 0.5 * right
            hits[name].positions[i] = np.argsort(-by)[:DEPTH]
            hits[name].scores[i] = by[hits[name].positions[i]]
    merged = merge_lists(hits, np.arange(num_queries + 1), truth, CONFIG)
    around = Surroundings(
        np.zeros((1, NUM_ITEMS), np.float32), np.zeros(num_queries, np.int64), np.log1p(lengths), lengths == 0
    )
    return merged, around


def fitted(num_queries: int) -> FittedNetwork | None:
    merged, around = planted(num_queries)
    return fit_network(merged, np.ones(2, np.float32), around)


def test_what_depends_on_the_user_is_learned_and_holds_for_unseen_queries() -> None:
    learned = fitted(1500)
    assert learned is not None
    best_weights = weigh(planted(1500)[0], NAMES, CONFIG).value
    assert learned.values.mean() > best_weights + 0.05


def test_a_crowd_teaches_the_network_and_leaves_its_value_as_cautious_as_it_was() -> None:
    merged, around = planted(4000)
    few, crowd, unseen = (merged.take(np.arange(*part)) for part in ((0, 320), (320, 3000), (3000, 4000)))
    short = crowd.head(np.ones(2, np.float32), 12)
    alone = fit_network(few, np.ones(2, np.float32), around)
    taught = fit_network(few, np.ones(2, np.float32), around, crowd=[(crowd, around), (short, around)])
    assert alone is not None
    assert taught is not None
    assert taught.values.tolist() == alone.values.tolist()
    value = {
        name: unseen.ndcg(odds_of(unseen, around, Network(found.weights).judge), 20).mean()
        for name, found in (("alone", alone), ("taught", taught))
    }
    assert value["taught"] > value["alone"] + 0.01


def test_many_queries_teach_a_wider_network(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(found.weights.bias) for found in (fitted(400),) if found] == [16]
    monkeypatch.setattr(combiner_training, "_MANY_QUERIES", 300)
    assert [len(found.weights.bias) for found in (fitted(400),) if found] == [32]


def test_where_there_is_nothing_to_learn_the_value_is_no_better_than_the_weights() -> None:
    merged, around = planted(600)
    rng = np.random.default_rng(0)
    order = rng.permuted(np.tile(np.arange(merged.relevant.shape[1]), (600, 1)), axis=1)
    valid = merged.positions >= 0
    shuffled = np.take_along_axis(merged.relevant, order, axis=1) & valid
    noise = MergedLists(merged.queries, merged.positions, merged.scores, merged.found, shuffled, merged.num_true)
    learned = fit_network(noise, np.ones(2, np.float32), around)
    assert learned is not None
    assert learned.values.mean() < weigh(noise, NAMES, CONFIG).value + 0.02


def test_what_holds_in_one_stretch_of_time_only_does_not_count() -> None:
    """Who is right depends on the fold, which shows in how popular everything was: of no use for the time to come."""
    merged, around = planted(1200)
    fold = (around.history > np.log1p(10)).astype(np.int64)
    popularity = np.stack([np.full(NUM_ITEMS, value, np.float32) for value in (0.0, 3.0)])
    alike = np.ones(1200, np.float32)
    within = fit_network(merged, np.ones(2, np.float32), replace(around, source=0 * fold))
    across = fit_network(merged, np.ones(2, np.float32), Surroundings(popularity, fold, alike, around.unknown))
    assert within is not None
    assert across is not None
    best_weights = weigh(merged, NAMES, CONFIG).value
    assert within.values.mean() > best_weights + 0.05
    assert across.values.mean() < best_weights


def hidden_items(asked: range, seed: int) -> tuple[MergedLists, Surroundings]:
    """600 queries about some of the items, none of which anybody has chosen. Channel a is right as often as not; channel b says
    which item it is: five of them are most of what was chosen."""
    rng, items = np.random.default_rng(seed), np.array(asked)
    truth = rng.choice(items, 600, p=np.where(np.arange(len(items)) < 5, 16.0, 1.0) / (75 + len(items)))
    hits = {name: Hits.empty(600, len(items)) for name in NAMES}
    for i in range(600):
        right = rng.random(len(items)).astype(np.float32) + 0.5 * (items == truth[i])
        for name, by in (("a", right), ("b", (items % 30 / 30 + 0.1).astype(np.float32))):
            order = np.argsort(-by)
            hits[name].positions[i], hits[name].scores[i] = items[order], by[order]
    merged = merge_lists(hits, np.arange(601), truth, CONFIG)
    nobody = log_popularity(np.zeros(NUM_ITEMS, np.float32))[None]
    return merged, Surroundings(nobody, np.zeros(600, np.int64), np.zeros(600, np.float32), np.zeros(600, np.bool_))


FIRST = np.array([1.0, 0.02], np.float32)


def taught_by_hidden_items() -> tuple[NetworkWeights, NetworkWeights]:
    """A network, and the same beside the weighted sum."""
    lists, around = hidden_items(range(30), 0)
    alone, both = fit_network(lists, FIRST, around), fit_for_new_items(lists, FIRST, around, enough=100)
    assert alone is not None
    assert both is not None
    return alone.weights, both


def test_what_a_network_knows_of_single_new_items_counts_half_and_the_weighted_sum_the_rest() -> None:
    alone, both = taught_by_hidden_items()
    assert both.direct[TOTAL] > alone.direct[TOTAL] / 2
    others, around = hidden_items(range(59, 29, -1), 1)

    def ndcg(judge: Callable[[Items], FloatArray]) -> float:
        return float(others.ndcg(odds_of(others, around, judge), 20).mean())

    by_sum = ndcg(lambda items: items.scores @ FIRST)
    assert ndcg(Network(alone).judge) < ndcg(Network(both).judge) <= by_sum


def test_the_weighted_sum_of_new_items_counts_as_much_as_explains_what_was_chosen() -> None:
    alone, both = taught_by_hidden_items()
    strength, lists = 2 * both.direct[TOTAL] - alone.direct[TOTAL], hidden_items(range(30), 0)[0]
    logarithm = np.log(1 + 1000 * (lists.scores @ FIRST))

    def likelihood(a: float) -> float:
        odds = a * logarithm
        right = np.where(lists.relevant, odds - np.log(np.exp(odds).sum(axis=1, keepdims=True)), 0)
        return float(right.sum(axis=1).mean())

    assert likelihood(strength) > max(likelihood(0.9 * strength), likelihood(1.1 * strength), likelihood(0))


def test_new_items_are_judged_without_a_look_at_the_length_of_the_history() -> None:
    lists, around = hidden_items(range(30), 0)
    long = replace(around, history=np.random.default_rng(0).random(600).astype(np.float32))
    assert fit_for_new_items(lists, FIRST, long, enough=100) == fit_for_new_items(lists, FIRST, around, enough=100)


def test_few_queries_teach_nothing_of_new_items() -> None:
    lists, around = hidden_items(range(30), 0)
    assert fit_for_new_items(lists, np.ones(2, np.float32), around, enough=601) is None


def with_new(offset: float, history: float = 0.0) -> CombinerWeights:
    """Networks of their own for known and for new items."""
    apart = NewItemWeights(network=network(5), offset=offset, history=history, level=2.5)
    return weights().model_copy(update={"new": apart, "floor": -50.0})


def some_new(lists: Fused, around: Surroundings) -> tuple[Surroundings, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Every third item is one that nobody has chosen."""
    new = np.arange(NUM_ITEMS) % 3 == 0
    popularity = np.where(new, np.float32(np.nan), around.popularity)
    return replace(around, popularity=popularity), new


def test_new_items_have_odds_of_their_own_against_all_known_ones_together() -> None:
    lists, around = fused(4)
    around, new = some_new(lists, around)
    learned = with_new(-1.5, 0.25)
    found = Combiner(learned).rescore(lists, around, np.ones(4, np.bool_), 40)
    for i in range(4):
        there = np.flatnonzero(lists.positions[i] >= 0)
        known = [j for j in there if not new[lists.positions[i, j]]]
        level = np.log(sum(np.exp(naive_odds(learned.known, lists, around, i, j)) for j in known))
        assert learned.new is not None
        own = {
            int(lists.positions[i, j]): naive_odds(learned.new.network, lists, around, i, j)
            for j in there
            if new[lists.positions[i, j]]
        }
        at = found.positions[i]
        expected = [own[int(item)] + level - 1.5 + 0.25 * around.history[i] + 50 for item in at[at >= 0] if new[item]]
        assert found.scores[i, at >= 0][new[at[at >= 0]]] == pytest.approx(expected, rel=1e-3)
    valid = found.positions >= 0
    assert found.parts.sum(axis=0)[valid] == pytest.approx(found.scores[valid], abs=1e-3)


def test_known_items_score_and_stand_as_they_would_without_new_ones() -> None:
    lists, around = fused(4)
    around, new = some_new(lists, around)
    low, high = (Combiner(with_new(offset)).rescore(lists, around, np.ones(4, np.bool_), 40) for offset in (-9.0, 9.0))
    for i in range(4):
        kept = [found.positions[i][(found.positions[i] >= 0) & ~new[found.positions[i]]].tolist() for found in (low, high)]
        assert kept[0] == kept[1]
        places = [np.flatnonzero(new[found.positions[i]] & (found.positions[i] >= 0)) for found in (low, high)]
        assert places[0].mean() > places[1].mean()


def test_a_list_of_new_items_alone_is_ordered_by_their_network() -> None:
    lists, around = fused(6)
    nobody = replace(around, popularity=np.full_like(around.popularity, np.nan))
    learned = with_new(0.0)
    found = Combiner(learned).rescore(lists, nobody, np.ones(4, np.bool_), 10)
    assert learned.new is not None
    for i in range(4):
        there = np.flatnonzero(lists.positions[i] >= 0)
        odds = {int(lists.positions[i, j]): naive_odds(learned.new.network, lists, nobody, i, j) for j in there}
        assert found.positions[i].tolist() == sorted(odds, key=lambda item: (-round(odds[item], 5), item))[:10]
        assert found.scores[i, 0] == pytest.approx(max(odds.values()) + 2.5 + 50, rel=1e-4)


def test_the_sum_of_exponentials_is_that_of_the_best_of_each_row() -> None:
    odds = np.array([[80, -np.inf, 81], [-np.inf] * 3, [-3, -4, -5]], np.float32)
    assert together(odds).tolist() == pytest.approx([81 + np.log1p(np.exp(-1)), -np.inf, np.log(np.exp([-3, -4, -5]).sum())])
    assert together(odds, 1).tolist() == pytest.approx([81, -np.inf, -3])


def test_few_queries_train_no_network() -> None:
    assert fitted(200) is None


def test_the_same_lists_give_the_same_network_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv(SWITCH, threads)
        network = fitted(400)
        assert network is not None
        found.append(network)
    first, *others = found
    for other in others:
        assert other.weights == first.weights
        np.testing.assert_array_equal(other.values, first.values)


def test_weights_survive_json() -> None:
    config = FusionConfig(method="learned", combiner=weights())
    assert FusionConfig(**config.model_dump()) == config
    assert FusionConfig.model_validate_json(config.model_dump_json()) == config


def test_logarithms() -> None:
    known = log_popularity(np.array([1, 3, 5, 0, 6], np.float32))
    assert known == pytest.approx([*np.log([2 / 4, 1, 6 / 4]), np.nan, np.log(7 / 4)], abs=1e-6, nan_ok=True)
    assert log_length(np.array([0, 0, 3])) == pytest.approx([0, np.log(4)], abs=1e-6)
