"""The gate on planted worlds, whose answer is known: a graph that tells, one that is noise, texts that tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.gate import BUILT, QUICK, GateConfig, run_gate
from kgrecall.jobs.gate_quick import drawn_by_lot
from kgrecall.jobs.gate_report import GateReport, Worth
from kgrecall.jobs.gate_split import NEW, NEW_IN_ALL, SPARSE, WARM, GateSplit
from tests.unit.jobs.conftest import Planted

FAST = GateConfig(pipeline="quick", test=0.2, new_items=0.2)
CONFIG = BuildConfig(encoder="hashing", channels=("item_knn", "attributes", "popularity"))


@pytest.fixture(scope="module")
def telling(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> GateReport:
    return run_gate(planted(noise=True), CONFIG, FAST, cache=tmp_path_factory.mktemp("texts"))


def worth(report: GateReport, question: str) -> Worth:
    return next(worth for worth in report.graph if worth.question == question)


def test_a_graph_that_tells_is_proven(telling: GateReport) -> None:
    assert [found.question for found in telling.graph] == [WARM, SPARSE, NEW, NEW_IN_ALL]
    assert telling.graph_proven
    warm, new = worth(telling, WARM), worth(telling, NEW)
    assert warm.proven
    assert new.proven
    assert new.gain.difference > 0.2  # chance finds 20 of 48 hidden items, the tags of a block nearly all of its 8
    assert warm.real > max(warm.shuffled)
    assert "These relations carry it: TELLS." in str(telling)
    assert "the graph helps" in str(telling)


def test_relations_are_told_apart(telling: GateReport) -> None:
    assert {found.relation: found.verdict for found in telling.relations}["TELLS"] == "carries"
    assert {found.relation: found.verdict for found in telling.relations}["NOISE"] != "carries"
    assert telling.relation_table().splitlines()[0].startswith("relation")
    assert json.loads(json.dumps(telling.to_dict()))["pipeline"] == QUICK


def test_equal_scores_say_nothing() -> None:
    """Not even the order of the ids."""
    users = np.arange(3_000)
    top = drawn_by_lot(np.zeros((3_000, 40), np.float32), users, 10)
    share = np.bincount(top.ravel(), minlength=40) / 3_000
    assert share.min() > 0.2
    assert share.max() < 0.3
    np.testing.assert_array_equal(top, drawn_by_lot(np.zeros((3_000, 40), np.float32), users, 10))
    scores = np.tile(np.array([1, 5, -np.inf, 3], np.float32), (2, 1))
    np.testing.assert_array_equal(drawn_by_lot(scores, np.array([0, 7]), 4), [[1, 3, 0, -1]] * 2)


def test_a_graph_of_noise_is_not_proven(planted: Planted) -> None:
    report = run_gate(planted(tells=False, noise=True), CONFIG, FAST)
    assert not report.graph_proven
    assert report.relations == ()  # one relation alone is the graph
    assert "the graph helps" not in str(report)


def test_texts_that_tell_are_proven(planted: Planted, tmp_path: Path) -> None:
    report = run_gate(planted(tells=False, words=True), CONFIG, FAST, cache=tmp_path)
    assert report.graph == ()
    assert {found.question for found in report.text if found.proven} >= {NEW}
    assert str(report).startswith("Your texts are worth")


@pytest.mark.parametrize("pipeline", ["quick", "build"])
def test_vectors_that_tell_are_proven(planted: Planted, pipeline: Literal["quick", "build"]) -> None:
    gate = FAST.model_copy(update={"pipeline": pipeline, "shuffles": 1})
    config = CONFIG.model_copy(update={"channels": ("item_knn", "content")})
    report = run_gate(planted(tells=False, look=True), config, gate)
    assert (report.graph, report.text) == ((), ())
    assert {found.question for found in report.vectors if found.proven} >= {NEW}
    assert str(report).startswith("Your vectors are worth")
    assert "the set of vectors helps." in str(report)
    assert report.table().count("vectors: ") == len(report.vectors)


def test_whole_builds_are_compared(planted: Planted, tmp_path: Path) -> None:
    gate = GateConfig(shuffles=1, relations=False, test=0.2, new_items=0.2)
    report = run_gate(planted(), CONFIG, gate, cache=tmp_path)
    assert report.pipeline == BUILT
    assert worth(report, NEW).proven
    assert worth(report, WARM).real > worth(report, WARM).without


def test_without_time_for_builds_the_closed_forms_are_used_and_it_is_said(planted: Planted, tmp_path: Path) -> None:
    gate = GateConfig(shuffles=1, budget_seconds=0.001)
    report = run_gate(planted(noise=True), CONFIG, gate, cache=tmp_path)
    assert report.pipeline == QUICK
    assert "builds would take about" in str(report)
    assert "Not tried for lack of time: NOISE, TELLS." in str(report)


def test_without_graph_and_texts_there_is_nothing_to_judge(planted: Planted) -> None:
    with pytest.raises(ConfigError, match="none of them"):
        run_gate(planted(tells=False), CONFIG, FAST)


def test_hidden_items_are_in_no_training_event_and_asked_for(planted: Planted) -> None:
    events = planted().interactions()
    split = GateSplit.carve(events, test=0.1, new_items=0.2, max_users=30, seed=1)
    assert split.hidden.sum() == round(0.2 * len(np.unique(events.item_pos)))
    assert not split.hidden[split.train.item_pos].any()
    asked = {one.name: one for one in split.asked}
    assert split.hidden[asked[NEW].truth.item_pos].all()
    assert not split.hidden[asked[WARM].truth.item_pos].any()
    assert len(asked[WARM].users) == 30
    history = np.bincount(split.train.user_pos, minlength=events.num_users)
    others = np.setdiff1d(asked[WARM].users, asked[SPARSE].users)
    assert history[asked[SPARSE].users].max() <= history[others].min()
    assert len(asked[SPARSE].users) == 10
