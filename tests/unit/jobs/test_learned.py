"""A planted world: even items are chosen at a desk, odd ones on a phone. What a build learns in order knows the moment asked
about, and is there only where events have an order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.jobs.artifact import Artifact
from kgrecall.jobs.build import build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.build_report import BuildReport
from kgrecall.jobs.ingredients import load
from kgrecall.jobs.serve import load_engine
from kgrecall.model.attention import AttentionConfig
from kgrecall.model.trainer import ModelConfig
from kgrecall.schema import GraphSchema
from kgrecall.store import open_store
from kgrecall.types import Query
from tests.unit.jobs.conftest import BLOCKS, Planted

NUM_USERS, NUM_ITEMS, EVENTS = 90, 40, 12
MS_PER_MINUTE = 60_000
CONFIG = BuildConfig(
    encoder=None, channels=("item_knn", "attention", "popularity"), model=ModelConfig(epochs=2), new_items=0.0, visitors=0.0
)
SCHEMA = {
    "nodes": {"User": {"role": "user"}, "Item": {"role": "item"}},
    "edges": {
        "VIEWED": {
            "source": "User",
            "target": "Item",
            "role": "interaction",
            "properties": {"at": "time", "device": "string"},
            "time": "at",
            "context": ["device"],
        }
    },
}


@pytest.fixture(scope="module")
def snapshot() -> GraphSnapshot:
    rng = np.random.default_rng(2)
    schema, store = GraphSchema.parse(SCHEMA), open_store(":memory:")
    store.apply_schema(schema)
    store.upsert_nodes("User", pa.array([f"u{i:02}" for i in range(NUM_USERS)]), {})
    store.upsert_nodes("Item", pa.array([f"i{i:02}" for i in range(NUM_ITEMS)]), {})
    items = np.concatenate([rng.permutation(NUM_ITEMS)[:EVENTS] for _ in range(NUM_USERS)])
    columns = {
        "at": pa.array(rng.permutation(len(items)) * MS_PER_MINUTE),
        "device": pa.array(np.where(items % 2 == 0, "desk", "phone")),
    }
    users = [f"u{i // EVENTS:02}" for i in range(len(items))]
    store.upsert_edges("VIEWED", pa.array(users), pa.array([f"i{i:02}" for i in items]), columns)
    return take_snapshot(store, schema)


@pytest.fixture(scope="module")
def built(snapshot: GraphSnapshot, tmp_path_factory: pytest.TempPathFactory) -> BuildReport:
    return build_snapshot(snapshot, CONFIG, out=tmp_path_factory.mktemp("in order"))


def test_new_items_are_placed_by_the_vectors_that_they_bring_along(planted: Planted, tmp_path: Path) -> None:
    snapshot = planted(tells=False, look=True)
    events = snapshot.interactions()
    new = np.arange(len(snapshot.items)) % 8 == 7
    known = snapshot.with_interactions(events.take(~new[events.item_pos]))
    config = CONFIG.model_copy(update={"channels": ("item_knn", "vector", "popularity")})
    found = {
        name: build_snapshot(known, config.model_copy(update={"vectors": names}), out=tmp_path / name)
        for name, names in (("all", None), ("none", ()))
    }
    assert (found["all"].worth, found["none"].worth) == ({"look vectors": 1.0}, {})
    assert "new items are placed by look vectors 100%" in str(found["all"])
    assert "Nothing was learned from sizes" in str(found["all"])
    users = np.arange(len(snapshot.users))
    best = load_engine(found["all"].out).rank(users, 5, channel="vector", among=new)
    assert (best % BLOCKS == users[:, None] % BLOCKS).mean() > 2 / BLOCKS, "twice what chance finds"
    with pytest.raises(ConfigError, match="Did you mean 'look'"):
        build_snapshot(known, config.model_copy(update={"vectors": ("looks",)}), out=tmp_path / "none")


@pytest.mark.parametrize(("device", "parity"), [("desk", 0), ("phone", 1)])
def test_the_moment_of_the_question_is_heard(built: BuildReport, device: str, parity: int) -> None:
    engine = load_engine(built.out)
    right = 0
    for user in range(NUM_USERS):
        query = Query(user_id=f"u{user:02}", context={"device": device}, k=5, channels=("attention",))
        answer = engine.recall(query)
        right += sum(int(item[1:]) % 2 == parity for item in answer.item_ids)
    assert right / (5 * NUM_USERS) > 0.6  # those of the other device are more of what is left: 0.45 by chance


def test_a_visitor_is_served_by_the_order_of_the_call(built: BuildReport) -> None:
    engine = load_engine(built.out)
    there, back = (engine.recall(Query(history=h, k=20, channels=("attention",))) for h in (["i01", "i02"], ["i02", "i01"]))
    assert set(there.channels) == {"attention"}
    assert there.item_ids != back.item_ids
    reasons = engine.explain(Query(history=["i01", "i02"], channels=("attention",)), there.item_ids[0])
    assert all(path.relations == ("VIEWED", "FOLLOWED_BY") for path in reasons)


def test_what_was_learned_is_stored_and_read_back(built: BuildReport) -> None:
    stored = load(Artifact(built.out))
    assert stored.attention is not None
    assert len(stored.attention.encoder.moments) == 24 + 7 + 2
    assert "vector" not in load_engine(built.out).channel_names


def test_without_times_there_is_no_such_channel(planted: Callable[..., GraphSnapshot], tmp_path: Path) -> None:
    report = build_snapshot(planted(), CONFIG, out=tmp_path)
    assert load_engine(tmp_path).channel_names == ("item_knn", "popularity")
    assert report.curve == ()  # nor are the vectors learned that it would stand on


def test_its_settings_are_those_of_the_build(snapshot: GraphSnapshot, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"attention": AttentionConfig(length=7, heads=4, time_tokens=True, min_steps=2)})
    build_snapshot(snapshot, config, out=tmp_path)
    stored = load(Artifact(tmp_path)).attention
    assert stored is not None
    assert stored.encoder.layers[0].distance.shape == (4, 7)
    assert stored.encoder.gaps.any()
