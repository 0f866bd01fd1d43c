"""A build is complete, deterministic, honest about what it chose, and refuses what cannot work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kgrecall.errors import BudgetExceeded, ConfigError, CorruptArtifact, NotBuilt
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.artifact import Artifact, current_build
from kgrecall.jobs.build import build, build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.build_report import BuildReport
from kgrecall.jobs.ingredients import CHANNELS, load
from kgrecall.jobs.serve import load_engine
from kgrecall.model.trainer import ModelConfig
from kgrecall.recall.channels.ease import EaseConfig, build_ease
from kgrecall.recall.channels.pagerank import PageRankConfig
from kgrecall.store import open_store
from kgrecall.types import Query


def test_every_channel_is_built_and_answers(shop_build: BuildReport) -> None:
    engine = load_engine(shop_build.out)
    assert engine.channel_names == CHANNELS
    answer = engine.recall(Query(user_id="u007", k=20))
    assert len(set(answer.item_ids)) == 20
    assert answer.served == "hot"
    for name in CHANNELS:
        assert not np.isnan(answer.channel_scores[name]).all(), f"{name} found none of the candidates"


def test_the_content_channel_is_built_where_it_is_named(shop_snapshot: GraphSnapshot, tmp_path: Path) -> None:
    events = shop_snapshot.interactions()
    new = int(events.item_pos[0])  # an item that nobody has met: only what is known of it can bring it up
    known = shop_snapshot.with_interactions(events.take(events.item_pos != new))
    config = BuildConfig(encoder="hashing", channels=("item_knn", "content", "popularity"))
    build_snapshot(known, config, out=tmp_path / "model", cache=tmp_path / "texts")
    engine = load_engine(tmp_path / "model")
    assert engine.channel_names == ("item_knn", "content", "popularity")
    users = np.unique(events.user_pos[events.item_pos == new])
    assert (engine.rank(users, 80, channel="content") == new).any()
    assert not (engine.rank(users, 80, channel="item_knn") == new).any()


def test_settings_are_chosen_on_events_that_are_kept_for_it(shop_snapshot: GraphSnapshot, tmp_path: Path) -> None:
    events = shop_snapshot.interactions()
    assert events.time is not None
    late = events.time > np.quantile(events.time, 0.8)
    known, config = shop_snapshot.with_interactions(events.take(~late)), BuildConfig(encoder=None, channels=("item_knn",))
    plain = build_snapshot(known, config, out=tmp_path / "plain")
    kept = build_snapshot(known, config, out=tmp_path / "kept", valid=events.take(late))
    assert kept.validation_users != plain.validation_users
    assert load_engine(kept.out).histories.indptr[-1] == load_engine(plain.out).histories.indptr[-1], "and are not learned from"


def test_a_built_engine_filters_by_properties_and_relations(shop_build: BuildReport, shop_snapshot: GraphSnapshot) -> None:
    engine = load_engine(shop_build.out)
    prices = shop_snapshot.properties["Item"].column("price").to_pylist()
    cheap = {i for i, price in zip(shop_snapshot.items.ids.to_pylist(), prices, strict=True) if price < 40}
    assert cheap
    found = engine.recall(Query(user_id="u007", k=80, filter="price < 40", exclude_seen=False))
    assert set(found.item_ids) == cheap
    branded = engine.recall(Query(user_id="u007", k=80, filter="MADE_BY any ['Norra']", exclude_seen=False))
    assert branded
    assert all(title is not None and title.startswith("Norra") for title in branded.titles)
    with pytest.raises(ConfigError, match="Did you mean 'price'"):
        engine.recall(Query(user_id="u007", filter="prise < 40"))


def test_the_report_balances(shop_build: BuildReport, shop_snapshot: GraphSnapshot) -> None:
    assert shop_build.texts_encoded + shop_build.texts_cached >= len(set(shop_snapshot.texts("Item")))
    assert set(shop_build.weights) == set(CHANNELS)
    assert shop_build.validation_users > 0
    assert shop_build.validation_ndcg is not None
    assert shop_build.validation_ndcg_equal_weights is not None
    assert shop_build.validation_ndcg >= shop_build.validation_ndcg_equal_weights
    assert {"encode", "train", "channels", "choose"} <= set(shop_build.seconds)
    assert json.loads(json.dumps(shop_build.to_dict(), default=str))["build"] == shop_build.build
    assert f"{shop_build.validation_users:,} users" in str(shop_build)


def test_the_manifest_says_what_it_is(shop_build: BuildReport, shop_snapshot: GraphSnapshot) -> None:
    manifest = Artifact(shop_build.out).manifest
    assert manifest["vocabulary"] == shop_snapshot.items.fingerprint
    assert manifest["snapshot"] == shop_snapshot.fingerprint
    assert manifest["encoder"] == "hashing"
    assert manifest["schema"]["name"] == "shop"
    assert manifest["config"]["model"]["epochs"] == 2
    assert manifest["libraries"]["numpy"] == np.__version__


def test_the_same_seed_gives_the_same_answers(
    shop_build: BuildReport, shop_snapshot: GraphSnapshot, quick_config: BuildConfig, tmp_path: Path
) -> None:
    again = build_snapshot(shop_snapshot, quick_config, out=tmp_path / "model", cache=shop_build.out.parent / "texts")
    assert again.texts_encoded == 0, "the cache was not used"
    first, second = (load_engine(report.out).recall(Query(user_id="u003", k=30)) for report in (shop_build, again))
    assert first.item_ids == second.item_ids
    assert first.scores.tolist() == second.scores.tolist()


def test_a_graph_without_texts_and_knowledge_still_builds(shop_snapshot: GraphSnapshot, tmp_path: Path) -> None:
    config = BuildConfig(encoder=None, channels=("item_knn", "popularity", "text"))
    report = build_snapshot(shop_snapshot, config, out=tmp_path)
    assert load_engine(tmp_path).channel_names == ("item_knn", "popularity")
    assert report.curve == ()


TOO_LARGE = (EaseConfig(max_memory_gb=1e-6),)


def test_a_catalogue_too_large_for_ease_is_built_without_it(shop_snapshot: GraphSnapshot, tmp_path: Path) -> None:
    config = BuildConfig(encoder=None, model=ModelConfig(epochs=1), ease=TOO_LARGE)
    report = build_snapshot(shop_snapshot, config, out=tmp_path)
    assert load_engine(tmp_path).channel_names == tuple(name for name in CHANNELS if name not in ("ease", "text"))
    assert len(report.notes) == 1
    assert report.notes[0].startswith("The channel ease was left out. EASE: expected at most 1e-06 GB, got 80 items")
    assert report.notes[0] in str(report)
    assert Artifact(tmp_path).manifest["report"]["notes"] == list(report.notes)


def test_ease_asked_for_by_name_is_refused_before_any_work(shop_snapshot: GraphSnapshot, tmp_path: Path) -> None:
    with pytest.raises(BudgetExceeded, match="Raise max_memory_gb"):
        build_snapshot(shop_snapshot, BuildConfig(channels=("ease", "popularity"), ease=TOO_LARGE), out=tmp_path / "model")
    assert list(tmp_path.rglob("*.npy")) == []
    without = BuildConfig(encoder=None, channels=("item_knn",), ease=TOO_LARGE)
    assert build_snapshot(shop_snapshot, without, out=tmp_path / "model").notes == ()


def test_ease_and_pagerank_are_served_as_they_were_configured(shop_snapshot: GraphSnapshot, tmp_path: Path) -> None:
    pagerank = PageRankConfig(restart=0.6, max_steps=4, relation_weights={"VIEWED": 0.0})
    config = BuildConfig(encoder=None, channels=("ease", "pagerank"), ease=(EaseConfig(l2=50, k=7),), pagerank=pagerank)
    report = build_snapshot(shop_snapshot, config, out=tmp_path)
    loaded = load(Artifact(tmp_path))
    assert loaded.pagerank == pagerank
    assert report.chosen["ease"]["l2"] == 50
    assert loaded.behaviour.ease is not None
    assert (loaded.behaviour.ease != build_ease(shop_snapshot.interactions(), config.ease[0])).nnz == 0
    answer = load_engine(tmp_path).recall(Query(user_id="u003", k=10))
    assert set(answer.channel_scores) == {"ease", "pagerank"}


def test_a_relation_that_is_not_there_is_said_before_any_work(shop_snapshot: GraphSnapshot, tmp_path: Path) -> None:
    config = BuildConfig(encoder="no-such-model", pagerank=PageRankConfig(relation_weights={"VIEWD": 1.0}))
    with pytest.raises(ConfigError, match="Did you mean 'VIEWED'"):
        build_snapshot(shop_snapshot, config, out=tmp_path / "model")


def test_a_store_is_built_without_a_snapshot_in_between(shop_store: Path, tmp_path: Path) -> None:
    store = open_store(shop_store)
    config = BuildConfig(encoder=None, channels=("item_knn", "popularity"))
    build(store, store.schema, config, out=tmp_path)
    store.close()
    assert len(load_engine(tmp_path).recall(Query(history=["i001"], k=5))) == 5


def test_serving_imports_no_torch_and_no_driver(shop_build: BuildReport) -> None:
    code = (
        "import sys, kgrecall as kg\n"
        f"engine = kg.load_engine({str(shop_build.out)!r})\n"
        "assert len(engine.recall(kg.Query(user_id='u001', k=5))) == 5\n"
        "heavy = {'torch', 'torch_geometric', 'transformers', 'neo4j', 'networkx', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("name", ["snapshot/manifest.json", "items.index", "popularity.npy"])
def test_a_flipped_byte_anywhere_is_refused(shop_build: BuildReport, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    files = Artifact(shop_build.out).manifest["files"]
    victim = next(file for file in files if file.startswith(name))
    for file in [*files, "manifest.json"]:
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        (copy / file).write_bytes((current_build(shop_build.out) / file).read_bytes())
    data = bytearray((copy / victim).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / victim).write_bytes(data)
    with pytest.raises(CorruptArtifact, match=victim.replace(".", r"\.")):
        load_engine(copy)


def test_no_interactions_is_said_before_any_work(shop_snapshot: GraphSnapshot, tmp_path: Path) -> None:
    events = shop_snapshot.interactions()
    empty = shop_snapshot.with_interactions(events.take(np.zeros(len(events), np.bool_)))
    with pytest.raises(ConfigError, match="at least one event"):
        build_snapshot(empty, BuildConfig(encoder="hashing"), out=tmp_path / "model")
    assert list(tmp_path.rglob("*.npy")) == []


def test_an_encoder_that_is_not_there_is_named(
    shop_snapshot: GraphSnapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = BuildConfig(encoder=str(tmp_path / "no-such-model"))
    with pytest.raises(ConfigError, match="no-such-model"):
        build_snapshot(shop_snapshot, config, out=tmp_path / "model")
    with pytest.raises(NotBuilt):
        load_engine(tmp_path / "model")


def test_an_unknown_channel_names_the_nearest(shop_build: BuildReport) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'item_knn'"):
        BuildConfig(channels=("item_kn",))
    with pytest.raises(ConfigError, match="Did you mean 'neighbors'"):
        load_engine(shop_build.out, channels=("neighbours",))


def test_channels_in_any_order_are_the_same_engine(shop_build: BuildReport) -> None:
    engine = load_engine(shop_build.out)
    turned = load_engine(shop_build.out, channels=tuple(reversed(engine.channel_names)))
    assert turned.channel_names == engine.channel_names
    assert turned.fusion == engine.fusion


@pytest.mark.parametrize("given", [{"channels": []}, {"channels": "text"}, {"hidden": "i001"}])
def test_a_single_name_or_an_empty_list_is_refused(shop_build: BuildReport, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        load_engine(shop_build.out, **given)


def test_a_negative_seed_is_refused(shop_snapshot: GraphSnapshot, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 or more"):
        build_snapshot(shop_snapshot, out=tmp_path / "model", seed=-1)


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "build.toml"
    path.write_text('encoder = "hashing"\nvalidation = 0.2\n[[item_knn]]\na = 0.1\n[model]\nepochs = 3\n')
    config = BuildConfig.load(path)
    assert (config.encoder, config.validation, config.item_knn[0].a, config.model.epochs) == ("hashing", 0.2, 0.1, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("encoderr = 1", "encoder"),
        ("[[item_knn]]\nalpha = 1", "ItemKnnConfig.alpha"),
        ("[model]\nepoch = 1", "Did you mean 'epochs'"),
        ("validation = 2.0", "less than 0.5"),
        ("validation = [", "readable TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "build.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        BuildConfig.load(path)


def test_a_missing_settings_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="readable TOML"):
        BuildConfig.load(tmp_path / "none.toml")


def test_what_no_channel_needs_is_neither_made_nor_kept(shop_snapshot: GraphSnapshot, tmp_path: Path) -> None:
    config = BuildConfig(encoder=None, channels=("user_knn", "popularity"))
    build_snapshot(shop_snapshot, config, out=tmp_path / "built")
    files = Artifact(tmp_path / "built").manifest["files"]
    assert not [name for name in files if name.startswith(("item_knn", "attributes", "embeddings"))]
    engine = load_engine(tmp_path / "built")
    assert engine.channel_names == ("user_knn", "popularity")
    assert len(engine.recall(Query(history=[], k=5)).item_ids) == 5


@pytest.mark.parametrize("device", ["cuda:9", "foo"])
def test_a_device_that_is_not_there_is_said_before_anything_is_done(
    shop_snapshot: GraphSnapshot, tmp_path: Path, device: str
) -> None:
    with pytest.raises(ConfigError, match="a device that torch can use here"):
        build_snapshot(shop_snapshot, out=tmp_path / "model", device=device)
    assert not (tmp_path / "model").exists()
