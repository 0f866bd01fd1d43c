"""A build with a budget: what does not fit is left out, what is useless is dropped, and it says so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs import build as build_module
from kgrecall.jobs.artifact import Artifact
from kgrecall.jobs.asked import Asked
from kgrecall.jobs.auto import BuildPlan, plan_within
from kgrecall.jobs.build import build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.clock import Budget, Stopwatch
from kgrecall.jobs.costs import Cost, Overhead, Work
from kgrecall.jobs.maker import Maker
from kgrecall.jobs.serve import load_engine
from kgrecall.model.trainer import ModelConfig
from kgrecall.recall.base import Hits
from kgrecall.recall.fusion.fusion_weights import FittedFusion
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.fusion.surroundings import Surroundings
from kgrecall.types import Query, no_progress

Planted = Callable[..., GraphSnapshot]
CHANNELS = ("item_knn", "attributes", "neighbors", "popularity")
SUM = (FusionConfig(method="score"),)


def settings(seconds: float) -> BuildConfig:
    return BuildConfig.auto(seconds, channels=CHANNELS, encoder=None, new_items=0.0, visitors=0.0)


def test_a_tiny_budget_still_answers(planted: Planted, tmp_path: Path) -> None:
    report = build_snapshot(planted(), settings(0.01), out=tmp_path / "built")
    engine = load_engine(tmp_path / "built")
    assert set(engine.channel_names) <= {"item_knn", "popularity"}
    assert len(engine.recall(Query(user_id="User003", k=20)).item_ids) == 20
    assert any("One setting" in note for note in report.notes)
    assert json.loads((Artifact(tmp_path / "built").path("manifest.json")).read_text())["report"]["notes"] == list(report.notes)


def test_a_graph_of_noise_is_dropped_and_one_that_tells_is_kept(planted: Planted, tmp_path: Path) -> None:
    noise = build_snapshot(planted(tells=False, noise=True), settings(600), out=tmp_path / "noise")
    assert "attributes" not in load_engine(tmp_path / "noise").channel_names
    assert any("attributes was dropped" in note for note in noise.notes)
    assert "attributes was dropped" in str(noise)
    build_snapshot(planted(), settings(600), out=tmp_path / "tells")
    assert "attributes" in load_engine(tmp_path / "tells").channel_names


class Priced:
    """A probe that knows its prices."""

    def __init__(self, prices: dict[str, Cost], tried: list[str], work: Work) -> None:
        self.work, self._prices, self._tried = work, prices, tried
        self.essential = Cost(1.0, 0.0, 0.0), Overhead(0.0, 0.0, 0.0)

    def cost(self, *names: str) -> Cost:
        self._tried.extend(["+".join(names)] if names else [])
        prices = [self._prices.get(name, Cost(0.0, 0.0, 0.0)) for name in names]
        return Cost(
            1.0 + sum(price.learn for price in prices),
            sum(price.epoch for price in prices),
            sum(price.ask for price in prices),
        )


def plan(
    snapshot: GraphSnapshot, config: BuildConfig, prices: dict[str, Cost] | None = None, spent: float = 0.0
) -> tuple[BuildPlan, list[str]]:
    """What is planned at these prices, the same on any number of users, and what was measured."""
    tried: list[str] = []
    events, maker = snapshot.interactions(), Maker(config, config.channels, None, {}, 0, "cpu", no_progress)
    assert config.budget_seconds is not None
    budget = Budget(config.budget_seconds, time.perf_counter() - spent)
    work = Work.of(events, config.model)

    def probe(*_: object) -> Priced:
        return Priced(prices or {}, tried, work)

    return plan_within(snapshot, events, maker, config.carve(events, 0), budget, probe), tried


def test_channels_are_measured_cheapest_first_and_none_where_there_is_no_time(planted: Planted) -> None:
    found, tried = plan(planted(), settings(600))
    assert tried == ["attributes", "neighbors"]
    assert set(found.config.channels) == set(CHANNELS)
    none, tried = plan(planted(), settings(1e-9))
    assert tried == []
    assert set(none.config.channels) == {"item_knn", "popularity"}
    assert sum("no time to measure" in note for note in none.notes) == 2


def test_what_is_too_dear_is_left_out_and_the_rest_is_not(planted: Planted) -> None:
    builds = 1 + len(settings(600).carve(planted().interactions(), 0).folds)
    found, _ = plan(planted(), settings(600), {"attributes": Cost(700 / builds, 0.0, 0.0)})
    assert set(found.config.channels) == {"item_knn", "neighbors", "popularity"}
    assert any("attributes was left out: about 700.0 s" in note for note in found.notes)
    found, _ = plan(planted(), settings(600), {"attributes": Cost(0.0, 0.0, 100.0)})
    assert "attributes" not in found.config.channels  # too slow to ask


def test_what_was_spent_before_is_gone(planted: Planted) -> None:
    prices = {"attributes": Cost(50.0, 0.0, 0.0)}
    assert "attributes" in plan(planted(), settings(900), prices)[0].config.channels
    assert "attributes" not in plan(planted(), settings(900), prices, spent=700)[0].config.channels


def test_vectors_train_fewer_epochs_before_they_are_left_out(planted: Planted) -> None:
    snapshot = planted()
    config = BuildConfig.auto(600, channels=("item_knn", "vector", "popularity"), encoder=None)
    builds = 1 + len(config.carve(snapshot.interactions(), 0).folds)
    cheap, dear, dearest = (plan(snapshot, config, {"vector": Cost(0.0, s / builds, 0.0)})[0] for s in (1, 60, 300))
    assert cheap.config.model == config.model
    assert 4 <= dear.config.model.epochs < 9
    assert any(f"{dear.config.model.epochs} epochs at most" in note for note in dear.notes)
    assert "vector" in dear.config.channels
    assert "vector" not in dearest.config.channels
    assert dearest.config.model == config.model


def test_settings_are_tried_where_there_is_time(planted: Planted) -> None:
    names = ("item_knn", "slim", "factors", "popularity")
    config = BuildConfig.auto(600, channels=names, encoder=None)
    all_tried = plan(planted(), config)[0].config
    assert (all_tried.slim, all_tried.factors, all_tried.item_knn) == (config.slim, config.factors, config.item_knn)
    prices = {"slim": Cost(20.0, 0.0, 0.0)}
    some = plan(planted(), config, prices)[0]
    assert set(some.config.channels) == set(names)
    assert (some.config.slim, some.config.factors) == (config.slim.first(), config.factors)
    assert any("slim has its first setting" in note for note in some.notes)
    none = plan(planted(), config, prices, spent=590)[0]
    assert none.config.item_knn == config.item_knn[:1]
    assert any("One setting of each channel" in note for note in none.notes)


def test_what_needs_an_order_is_not_tried_where_events_have_none(planted: Planted) -> None:
    config = BuildConfig.auto(600, channels=(*CHANNELS, "sequence", "attention"), encoder=None)
    found, tried = plan(planted(), config)
    assert set(found.config.channels) == set(CHANNELS)
    assert not {"sequence", "attention"} & set(tried)


def test_what_nothing_is_known_for_is_not_tried(planted: Planted) -> None:
    config = BuildConfig.auto(600, channels=(*CHANNELS, "item_graph", "text"), encoder=None)
    found, tried = plan(planted(tells=False), config)
    assert tried == ["neighbors"]
    assert set(found.config.channels) == {"item_knn", "neighbors", "popularity"}


def test_attention_is_tried_beside_the_usual_channels(shop_snapshot: GraphSnapshot) -> None:
    config = BuildConfig.auto(600, encoder=None)
    found, tried = plan(shop_snapshot, config)
    assert set(found.config.channels) == {*BuildConfig().channels, "attention"} - {"text"}  # there are none
    assert tried[-1] == "vector+attention"
    without = plan(shop_snapshot, config, {"vector": Cost(1e4, 0.0, 0.0)})[0]
    assert not {"vector", "attention"} & set(without.config.channels)


def test_what_cannot_be_trained_once_more_in_time_is_left_out(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(watch: Stopwatch, stage: str) -> AbstractContextManager[None]:
        return stopped(watch, stage, 10_000.0 if stage == "train" else 0.0)

    config = BuildConfig.auto(
        9000, channels=("item_knn", "vector", "popularity"), encoder=None, fusion=SUM, model=ModelConfig(epochs=2)
    )
    monkeypatch.setattr(build_module, "plan_within", lambda _, __, maker, *___: BuildPlan(maker.config, ()))
    build_snapshot(planted(), config, out=tmp_path / "usual")
    assert "vector" in load_engine(tmp_path / "usual").channel_names
    monkeypatch.setattr(Stopwatch, "__call__", late)
    report = build_snapshot(planted(), config, out=tmp_path / "built")
    assert "vector" not in load_engine(tmp_path / "built").channel_names
    assert any("vector was left out: to train it on everything would take about 10000 s" in note for note in report.notes)


@contextmanager
def stopped(watch: Stopwatch, stage: str, seconds: float) -> Iterator[None]:
    """A stage that took so long."""
    yield
    watch.seconds[stage] = watch.seconds.get(stage, 0.0) + seconds


def test_texts_that_take_too_long_are_left_out(planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = BuildConfig.auto(1000, channels=("item_knn", "text", "popularity"), encoder="hashing", fusion=SUM)
    usual = build_snapshot(planted(words=True), config, out=tmp_path / "usual", cache=tmp_path / "texts")
    assert usual.texts_encoded > 0
    monkeypatch.setattr(build_module, "encoding_seconds", lambda *_: 500.0)
    report = build_snapshot(planted(words=True), config, out=tmp_path / "built", cache=tmp_path / "texts")
    assert (report.texts_encoded, report.texts_cached) == (0, 0)
    assert any("Texts were left out: to encode them would take about 500 s" in note for note in report.notes)
    assert load_engine(tmp_path / "built").channel_names


def test_channels_that_repeat_another_go_and_those_to_keep_stay() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 50, 200)
    good, noise = Hits.empty(200, 20), Hits.empty(200, 20)
    for i in range(200):
        for hits, lift in ((good, 0.6), (noise, 0.0)):
            by = rng.random(50).astype(np.float32)
            by[truth[i]] += lift
            hits.positions[i] = np.argsort(-by)[:20]
            hits.scores[i] = by[hits.positions[i]]
    around = Surroundings(
        np.zeros((1, 50), np.float32), np.zeros(200, np.int64), np.ones(200, np.float32), np.zeros(200, np.bool_)
    )
    none_new, all_main = np.zeros((1, 50), np.bool_), np.zeros(200, np.int8)
    asked = Asked({"good": good, "noise": noise, "again": good}, np.arange(201), truth, around, none_new, all_main)
    names, notes = asked.needed(FusionConfig(method="score"), ())
    assert len(names) == 1
    assert names[0] in {"good", "again"}
    assert len(notes) == 2
    assert "noise" in asked.needed(FusionConfig(method="score"), {"noise"})[0]


def test_a_learned_fusion_stands_unless_another_is_surely_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """It alone was measured on queries that it had not seen; visitors count like known users."""
    rng = np.random.default_rng(0)
    measured = rng.random(400)
    nothing = np.zeros(0, np.int64)
    around = Surroundings(np.zeros((1, 3), np.float32), nothing, np.zeros(0, np.float32), np.zeros(0, np.bool_))
    asked = Asked({}, np.zeros(1, np.int64), nothing, around, np.zeros((1, 3), np.bool_), np.zeros(0, np.int8))
    methods = (FusionConfig(method="score"), FusionConfig(method="learned"), FusionConfig(method="rrf"))
    for ahead, of_visitors, best in ((0.005, 0, "learned"), (0.05, 0, "score"), (0.05, 300, "learned")):
        values = {"score": measured + ahead, "learned": measured, "rrf": measured - 0.1}
        served = {name: np.full(of_visitors, 0.6 if name == "learned" else 0.5) for name in values}
        found = {m.method: FittedFusion(m, values[m.method], 0.0, served[m.method]) for m in methods}
        monkeypatch.setattr(Asked, "fit", lambda _, config, names, found=found: found[config.method])
        assert asked.best(methods)[0].config.method == best


def test_a_budget_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="budget_seconds"):
        BuildConfig.auto(0)
