"""A build with a budget: what does not fit is left out, what is useless is dropped, and it says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.artifact import Artifact
from kgrecall.jobs.asked import Asked
from kgrecall.jobs.auto import plan_within
from kgrecall.jobs.build import build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.serve import load_engine
from kgrecall.recall.base import Hits
from kgrecall.recall.fusion.fusion_weights import FittedFusion
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.fusion.surroundings import Surroundings
from kgrecall.types import Query

Planted = Callable[..., GraphSnapshot]
CHANNELS = ("item_knn", "attributes", "neighbors", "popularity")


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


def test_what_is_too_dear_is_never_built(planted: Planted) -> None:
    """A clock that the probe moves: the second channel costs more than there is."""
    tried: list[tuple[str, ...]] = []

    def probe(snapshot: GraphSnapshot, config: BuildConfig) -> None:
        tried.append(config.channels)

    plan = plan_within(planted(), settings(600), probe, budget=600, seed=0)
    assert tried == [("item_knn", "popularity"), *(("item_knn", "popularity", name) for name in ("attributes", "neighbors"))]
    assert set(plan.config.channels) == set(CHANNELS)
    none = plan_within(planted(), settings(1e-9), probe, budget=1e-9, seed=0)
    assert set(none.config.channels) == {"item_knn", "popularity"}


def test_what_needs_an_order_is_not_tried_where_events_have_none(planted: Planted) -> None:
    tried = set[str]()
    config = BuildConfig.auto(600, channels=(*CHANNELS, "sequence", "attention"), encoder=None)
    plan = plan_within(planted(), config, lambda snapshot, some: tried.update(some.channels), budget=600, seed=0)
    assert tried == set(plan.config.channels) == set(CHANNELS)


def test_attention_is_tried_beside_the_usual_channels(shop_snapshot: GraphSnapshot) -> None:
    tried = set[str]()
    config = BuildConfig.auto(600, encoder=None)
    plan = plan_within(shop_snapshot, config, lambda snapshot, some: tried.update(some.channels), budget=600, seed=0)
    assert set(plan.config.channels) == tried == {*BuildConfig().channels, "attention"}


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
