"""The evaluator on four users whose lists are known, and its refusals."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.errors import ConfigError, NotBuilt, ShapeError
from kgrecall.evaluate import AUC, NDCG, Coverage, Diversity, Evaluation, Novelty, Recall, evaluate, rank_by_score
from kgrecall.types import Interactions


def interactions(pairs, num_users, num_items):
    users, items = np.array(pairs, np.int64).reshape(-1, 2).T
    return Interactions(users, items, np.ones(len(users), np.float32), None, num_users, num_items)


TRUTH = interactions([(0, 1), (0, 4), (2, 0), (3, 5), (3, 5)], 4, 6)
LISTS = np.array([[1, 2, 4], [0, 1, 2], [5, 4, -1], [3, 5, 0]], np.int32)


def rank(user_pos, k):
    return LISTS[user_pos, :k]


def test_means_and_values_per_user_are_those_worked_out_by_hand():
    evaluation = evaluate(rank, TRUTH, [Recall(3), "recall@1"])
    assert evaluation.users.tolist() == [0, 2, 3]  # user 1 has nothing to find
    assert evaluation.per_user[Recall(3)].tolist() == [1.0, 0.0, 1.0]  # user 3's repeated item counts once
    assert evaluation[Recall(3)] == pytest.approx(2 / 3)
    assert evaluation["Recall@1"] == pytest.approx(0.5 / 3)


def test_coverage_counts_items_shown_to_evaluated_users_within_its_cut():
    evaluation = evaluate(rank, TRUTH, ["coverage@2", "coverage@3"])
    assert evaluation[Coverage(2)] == pytest.approx(5 / 6)  # 1 2, 5 4, 3 5
    assert evaluation[Coverage(3)] == pytest.approx(1.0)
    assert evaluation.per_user == {}


def test_novelty_takes_popularity_from_the_history():
    history = interactions([(0, 2), (1, 2), (2, 2), (3, 2), (0, 1), (1, 1), (1, 1)], 4, 6)
    evaluation = evaluate(rank, TRUTH, [Novelty(2)], history=history)
    # item 2 is held by 4 of 4 users (0 bits), item 1 by 2 (1 bit), the unseen others count as held by one (2 bits)
    np.testing.assert_allclose(evaluation.per_user[Novelty(2)], [0.5, 2.0, 2.0])


def test_features_need_not_be_normalised():
    features = np.array([[1, 0], [3, 0], [0, 7], [1, 1], [5, 0], [0, 0]], np.float32)
    evaluation = evaluate(rank, TRUTH, [Diversity(2)], features=features)
    np.testing.assert_allclose(evaluation.per_user[Diversity(2)], [1.0, 1.0, 1.0], atol=1e-6)


def test_auc_leaves_out_the_items_of_the_history():
    scores = np.arange(24, dtype=np.float32).reshape(4, 6)  # item 5 best, item 0 worst
    truth = interactions([(0, 4), (1, 0)], 4, 6)
    history = interactions([(0, 5), (1, 1)], 4, 6)
    evaluation = evaluate(rank, truth, ["auc"], history=history, score=lambda users: scores[users])
    assert evaluation.per_user[AUC()].tolist() == [1.0, 0.0]
    assert evaluate(rank, truth, ["auc"], score=lambda users: scores[users]).per_user[AUC()].tolist() == [0.8, 0.0]


def test_auc_alone_never_asks_for_lists():
    def never(user_pos, k):
        raise AssertionError("ranked")

    assert evaluate(never, TRUTH, [AUC()], score=lambda users: np.zeros((len(users), 6), np.float32))["auc"] == 0.5


def test_only_the_chosen_users_with_truth_are_ranked():
    asked = []

    def spy(user_pos, k):
        asked.extend(user_pos.tolist())
        return rank(user_pos, k)

    evaluation = evaluate(spy, TRUTH, ["recall@3"], users=np.array([3, 1, 0]))
    assert asked == evaluation.users.tolist() == [0, 3]


@given(st.integers(1, 7))
def test_the_size_of_the_blocks_changes_nothing(block):
    measures = ["recall@3", "ndcg@2", "coverage@3"]
    whole, parts = evaluate(rank, TRUTH, measures), evaluate(rank, TRUTH, measures, block=block)
    assert whole.values == parts.values


@given(st.permutations(range(6)), st.permutations(range(4)))
def test_renumbering_items_and_users_changes_nothing(item_order, user_order):
    items, users = np.array([*item_order, -1]), np.array(user_order)  # the last entry keeps -1 at -1
    renamed = Interactions(users[TRUTH.user_pos], items[TRUTH.item_pos], TRUTH.weight, None, 4, 6)
    lists = np.empty_like(LISTS)
    lists[users] = items[LISTS]
    measures = ["recall@3", "ndcg@3", "map@3", "mrr@3", "coverage@3"]
    renumbered = evaluate(lambda u, k: lists[u, :k], renamed, measures).values
    for measure, value in evaluate(rank, TRUTH, measures).values.items():
        assert renumbered[measure] == pytest.approx(value)


def test_a_segment_is_read_off_without_ranking_again():
    evaluation = evaluate(rank, TRUTH, ["recall@3", "coverage@3"])
    among = evaluation.among(np.array([1, 2, 3]))
    assert among.users.tolist() == [2, 3]
    assert dict(among.values) == {Recall(3): 0.5}
    with pytest.raises(ConfigError, match="evaluated users"):
        evaluation.among(np.array([1]))


def test_the_report_is_ready_for_json_and_for_people():
    evaluation = Evaluation({Recall(3): 0.5, NDCG(3): 0.25}, {}, np.array([0, 2]), 1.5)
    measures = {"Recall@3": 0.5, "NDCG@3": 0.25}
    assert json.loads(json.dumps(evaluation.to_dict())) == {"num_users": 2, "seconds": 1.5, "measures": measures}
    assert evaluation.table() == "measure    value\n--------  ------\nRecall@3  0.5000\nNDCG@3    0.2500"


def test_progress_reaches_the_number_of_users():
    seen = []
    evaluate(rank, TRUTH, ["recall@3"], block=2, progress=lambda *step: seen.append(step))
    assert seen == [("rank", 2, 3), ("rank", 3, 3)]


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        (lambda u, k: LISTS[u, :1], "fill short lists with -1"),
        (lambda u, k: LISTS[u, :k].astype(float), "integers"),
        (lambda u, k: LISTS[u, :k] + 3, "from -1 to 5"),
        (lambda u, k: LISTS[u, :k] - 2, "from -1 to 5"),
        (lambda u, k: np.zeros((len(u), k), int), "item 0 twice in row 0"),
    ],
)
def test_a_ranker_that_breaks_its_contract_is_refused(lists, said):
    with pytest.raises(ShapeError, match=said):
        evaluate(lists, TRUTH, ["recall@3"])


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"measures": []}, ConfigError, "at least one measure"),
        ({"measures": "recall@3"}, ConfigError, "a list"),
        ({"measures": ["recal@3"]}, ConfigError, "Did you mean"),
        ({"users": np.array([1])}, ConfigError, "3 users with relevant items, none of them"),
        ({"truth": interactions([], 4, 6)}, ConfigError, "at least one user"),
        ({"block": 0}, ConfigError, "block"),
        ({"measures": [AUC()]}, NotBuilt, "Pass score="),
        ({"measures": [Novelty(3)]}, NotBuilt, "Pass history="),
        ({"measures": [Diversity(3)]}, NotBuilt, "Pass features="),
        ({"features": np.ones((5, 2), np.float32)}, ShapeError, "one row of features per item"),
        ({"history": interactions([(0, 0)], 4, 7)}, ShapeError, "one split"),
        ({"measures": [AUC()], "score": lambda u: np.full((len(u), 6), np.nan, np.float32)}, ShapeError, "18 of them NaN"),
        ({"measures": [AUC()], "score": lambda u: np.ones((len(u), 5), np.float32)}, ShapeError, "every item"),
    ],
)
def test_impossible_arguments_are_refused_with_a_remedy(arguments, error, said):
    with pytest.raises(error, match=said):
        evaluate(rank, **{"truth": TRUTH, "measures": ["recall@3"], **arguments})


def test_a_ranker_by_score_evaluates_like_any_other():
    scores = np.array([[0, 9, 1, 0, 8, 0]] * 4, np.float32)
    evaluation = evaluate(rank_by_score(lambda users: scores[users]), TRUTH, ["recall@2"])
    assert evaluation.per_user[Recall(2)].tolist() == [1.0, 0.0, 0.0]
