"""A cold start hides what it says it hides, and asks every kind of question that the graph allows."""

import numpy as np
import pytest

from kgrecall.graph.split import split_random
from kgrecall.jobs.build import build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.serve import load_engine
from tests.benchmarks.quality import cold_start
from tests.benchmarks.quality.cold_cases import Cases, Hidden
from tests.benchmarks.quality.systems import Problem
from tests.benchmarks.record import Cost, read_figures


class ShopTask:
    name = "shop"

    def __init__(self, snapshot):
        self.snapshot = snapshot
        self.split = split_random(snapshot.interactions(), valid=0, test=0.1, seed=0)
        self.for_test = Problem(self.split.train, self.split.train, snapshot)


@pytest.fixture(scope="module")
def task(shop_snapshot):
    return ShopTask(shop_snapshot)


@pytest.fixture(scope="module")
def hidden(task):
    return Hidden.of(task.for_test.train, task.split.test, items=0.2, users=15, seed=1)


def test_hidden_items_and_users_are_in_no_training_event(task, hidden):
    assert hidden.items.sum() == round(0.2 * len(np.unique(task.split.train.item_pos)))
    assert not hidden.items[hidden.train.item_pos].any()
    assert not np.isin(hidden.train.user_pos, hidden.users).any()
    assert hidden.items[hidden.lives.item_pos].any(), "hidden items are a part of life"
    assert set(hidden.lives.user_pos.tolist()) == set(hidden.users.tolist())
    assert not np.isin(hidden.truth.user_pos, hidden.users).any()
    assert hidden.items[hidden.truth.item_pos].any()
    assert not hidden.items[hidden.truth.item_pos].all()
    of = [set(zip(part.user_pos, part.item_pos, strict=True)) for part in (hidden.next, task.split.test, hidden.train)]
    assert of[0] == {pair for pair in of[1] - of[2] if pair[0] not in set(hidden.users)}


def test_every_question_is_asked_and_recorded(task, hidden, tmp_path, monkeypatch):
    monkeypatch.setenv("KGRECALL_BENCH_RESULTS", str(tmp_path / "figures.jsonl"))
    config = BuildConfig(encoder="hashing", channels=("item_knn", "attributes", "text", "popularity"))
    known = task.snapshot.with_interactions(hidden.train)
    build_snapshot(known, config, out=tmp_path / "model", cache=tmp_path / "texts")
    cases = Cases(task.snapshot, load_engine(tmp_path / "model"), hidden, 50, 0)
    answered = {one.case.name: one for one in cold_start._answers(cases)}
    assert list(answered) == [
        "new items among themselves",
        "known items among themselves",
        "all items in one list",
        "new items in the list of all",
        "what came next, all items in one list",
        "new user, three events",
        "new user, attributes",
        "new user, friends",
        "new user, one sentence",
    ]
    for one in answered.values():
        assert set(one.found) == {"kgrecall", "text alone", "graph alone", "popularity"}
    shown = answered["new items among themselves"].case.ranks["kgrecall"](hidden.train.user_pos[:5], 5)
    assert hidden.items[shown].all()
    started = answered["new user, three events"].case
    user = started.users[:1]
    told = set(hidden.lives.item_pos[hidden.lives.user_pos == user[0]]) - set(
        started.truth.item_pos[started.truth.user_pos == user[0]]
    )
    assert len(told) == 3
    assert not told & set(started.ranks["kgrecall"](user, 40)[0].tolist())
    cold_start._record(task, answered["new user, friends"], Cost(), 0, ["item_knn"])
    assert {figure.metric for figure in read_figures()} == {"Recall@20, new user, friends", "NDCG@20, new user, friends"}
