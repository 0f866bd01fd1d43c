"""Variants of the model are recorded question by question, with how far the whole is above each."""

import numpy as np
import pytest
import torch

from kgrecall.graph.split import split_random
from kgrecall.jobs.gate_split import NEW, SPARSE, WARM, GateSplit
from tests.benchmarks.quality.tower import FULL, Found, _questions, record_all, table
from tests.benchmarks.quality.tower_contrast import info_nce
from tests.benchmarks.quality.tower_tried import score_by_interests
from tests.benchmarks.record import read_figures


class ToyTask:
    name = "toy"


def test_every_variant_is_recorded_with_its_distance_to_the_whole(monkeypatch, tmp_path):
    monkeypatch.setenv("KGRECALL_BENCH_RESULTS", str(tmp_path / "figures.jsonl"))
    whole, less = np.linspace(0.2, 0.4, 50), np.linspace(0.1, 0.3, 50)
    found = {name: Found({(WARM, "Recall@20"): values}, [3]) for name, values in ((FULL, whole), ("without graph", less))}
    record_all(ToyTask(), "test", found, seeds=1)
    figures = {figure.system: figure for figure in read_figures()}
    assert figures[FULL].value == 0.3
    assert "whole model above" not in figures[FULL].config
    assert round(figures["without graph"].config["whole model above"], 6) == 0.1
    assert {figure.benchmark for figure in figures.values()} == {"tower"}
    assert {figure.metric for figure in figures.values()} == {"Recall@20, warm users"}


def test_known_items_are_asked_for_alone_and_all_items_in_one_list(shop_snapshot):
    parts = split_random(shop_snapshot.interactions(), valid=0, test=0.2, seed=0)
    split = GateSplit.of(parts.train, parts.test, new_items=0.2, max_users=50, seed=0)
    asked = {one.name: one for one in _questions(split)}
    for name in (WARM, SPARSE):
        known = asked[f"{name}, known items"]
        assert (known.among == ~split.hidden).all()
        assert known.users.tolist() == asked[name].users.tolist()
    both = asked["all items"]
    assert both.among is None
    assert len(both.truth) == len(asked[WARM].truth) + len(asked[NEW].truth)


def test_the_table_names_every_variant():
    class Question:
        name = WARM

    values = {(WARM, kind): np.full(9, 0.25) for kind in ("Recall@20", "NDCG@20")}
    text = table({FULL: Found(values), "ids alone": Found(values)}, [Question()])
    assert "ids alone" in text
    assert "0.2500 (+0.0000" in text


def test_a_user_of_two_interests_is_asked_for_each_of_them():
    inputs = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.6, 0.6]], np.float32)
    both, none = score_by_interests([np.array([0, 1, 2]), np.array([], np.int64)], inputs, np.eye(2, dtype=np.float32), 2)
    np.testing.assert_allclose(both, [1, 1], atol=0.01)  # the mean of the history would reach 0.87 and 0.5
    assert not none.any()
    (one,) = score_by_interests([np.array([0, 1, 2])], inputs, np.eye(2, dtype=np.float32), 1)
    np.testing.assert_allclose(one, [1.9 / np.hypot(1.9, 1.1), 1.1 / np.hypot(1.9, 1.1)], atol=1e-6)


def test_views_of_one_item_are_told_from_those_of_others():
    views, apart = torch.eye(4), torch.roll(torch.eye(4), 1, 0)
    assert float(info_nce(views, 3 * views, 0.1)) == pytest.approx(float(np.log1p(3 * np.exp(-10))), abs=1e-6)
    assert float(info_nce(views, apart, 0.1)) == pytest.approx(10 + float(np.log1p(3 * np.exp(-10))), abs=1e-4)
    assert float(info_nce(torch.ones(4, 2), torch.ones(4, 2), 0.1)) == pytest.approx(float(np.log(4)))
