"""Systems side by side, segments, the precision-recall curve and plain tables."""

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.evaluate import compare, is_cold_item, precision_recall_curve, truth_by_warmth, users_by_activity
from kgrecall.evaluate.tables import plain_table
from kgrecall.types import Interactions

NUM = 40


def one_each(items):
    return Interactions(np.arange(NUM), np.asarray(items), np.ones(NUM, np.float32), None, NUM, 3)


TRUTH = one_each(np.zeros(NUM, int))
HALF = np.where(np.arange(NUM) % 2, 0, 1)
SYSTEMS = {
    "half": lambda users, k: np.stack([HALF[users], 1 - HALF[users]], axis=1)[:, :k],
    "always": lambda users, k: np.tile(np.array([0, 2]), (len(users), 1))[:, :k],
}


@pytest.fixture
def comparison():
    return compare(SYSTEMS, TRUTH, ["recall@1", "mrr@2", "coverage@2"])


def test_the_best_system_of_each_measure_is_found_and_marked(comparison):
    assert comparison.best("recall@1") == comparison.best("mrr@2") == "always"
    assert comparison.best("coverage@2") == "half"  # the first of equals
    lines = comparison.table().splitlines()
    assert lines[0].split() == ["system", "Recall@1", "MRR@2", "Coverage@2"]
    assert lines[2].split() == ["half", "0.5000", "0.7500", "0.6667*"]
    assert lines[3].split() == ["always", "1.0000*", "1.0000*", "0.6667*"]


def test_rows_hold_plain_numbers(comparison):
    assert comparison.rows()[0] == {"system": "half", "Recall@1": 0.5, "MRR@2": 0.75, "Coverage@2": pytest.approx(2 / 3)}


def test_a_difference_is_paired_by_user(comparison):
    difference = comparison.difference("always", "half", "recall@1", seed=0)
    assert difference.difference == 0.5
    assert difference.low > 0.3
    assert difference.p_value < 0.001


@pytest.mark.parametrize(
    ("system", "measure", "said"),
    [("halve", "recall@1", "Did you mean 'half'"), ("half", "coverage@2", "values per user"), ("half", "ndcg@3", "Known")],
)
def test_unknown_systems_and_measures_without_users_are_refused(comparison, system, measure, said):
    with pytest.raises(ConfigError, match=said):
        comparison.difference(system, "always", measure, seed=0)


def test_a_comparison_needs_a_system():
    with pytest.raises(ConfigError, match="systems"):
        compare({}, TRUTH, ["recall@1"])


def test_users_fall_into_one_segment_each():
    history = Interactions(np.array([1, 2, 2, 2, 2, 3, 3, 3, 3, 3]), np.zeros(10, int), np.ones(10, np.float32), None, 5, 1)
    segments = users_by_activity(history, bounds=(1, 2, 5))
    assert {name: users.tolist() for name, users in segments.items()} == {"0": [0, 4], "1": [1], "2-4": [2], "5+": [3]}


@pytest.mark.parametrize("bounds", [(0, 5), (5, 5), (7, 3)])
def test_bounds_must_rise(bounds):
    with pytest.raises(ConfigError, match="bounds"):
        users_by_activity(TRUTH, bounds=bounds)


def test_truth_is_split_by_what_the_history_has_seen():
    history = Interactions(np.array([0, 1, 2]), np.array([0, 0, 1]), np.ones(3, np.float32), None, 3, 3)
    truth = Interactions(np.array([0, 1, 2]), np.array([2, 1, 0]), np.ones(3, np.float32), None, 3, 3)
    assert is_cold_item(history).tolist() == [False, False, True]
    assert is_cold_item(history, max_events=1).tolist() == [False, True, True]
    parts = truth_by_warmth(truth, history)
    assert parts["cold"].item_pos.tolist() == [2]
    assert parts["warm"].item_pos.tolist() == [1, 0]


def test_the_curve_holds_one_point_per_cut():
    curve = precision_recall_curve(SYSTEMS["half"], TRUTH, [2, 1])
    assert curve.k.tolist() == [1, 2]
    assert curve.precision.tolist() == [0.5, 0.5]
    assert curve.recall.tolist() == [0.5, 1.0]


def test_plain_tables_align():
    assert plain_table(["a", "bb"], [["long", "1"], ["x", "200"]]) == "a      bb\n----  ---\nlong    1\nx     200"
