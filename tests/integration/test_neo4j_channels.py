"""A built model published into its database, and an engine that asks there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kgrecall.cli import app
from kgrecall.errors import ConfigError, Unsupported
from kgrecall.jobs.build import build
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.database import publish
from kgrecall.jobs.serve import load_engine
from kgrecall.model.trainer import ModelConfig
from kgrecall.query import Query
from kgrecall.recall.engine import RecallEngine
from kgrecall.schema import GraphSchema
from kgrecall.sources.reader import read_tables
from kgrecall.sources.sample_shop import write_sample_shop
from kgrecall.store import open_store
from kgrecall.store.ingest import ingest
from kgrecall.store.neo4j import Neo4jStore
from kgrecall.store.neo4j.server import LocalServer

pytestmark = pytest.mark.neo4j
SCHEMA = GraphSchema.load(Path(__file__).parents[2] / "graph_schema" / "mappings" / "shop.toml")
USERS = [f"u{n:03d}" for n in range(0, 60, 7)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_shop(tmp_path_factory.mktemp("shop"), num_users=60, num_items=40)


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = open_store(":memory:")
    ingest(read_tables(folder, SCHEMA), store, SCHEMA)
    channels = ("vector", "item_knn", "neighbors", "text", "popularity")
    config = BuildConfig(channels=channels, encoder="hashing", model=ModelConfig(epochs=3))
    out = tmp_path_factory.mktemp("models") / "shop"
    build(store, SCHEMA, config, out=out)
    store.close()
    return out


@pytest.fixture
def store(neo4j_store: Neo4jStore, folder: Path) -> Neo4jStore:
    ingest(read_tables(folder, SCHEMA), neo4j_store, SCHEMA)
    return neo4j_store


def test_vectors_words_and_walks_of_the_database_are_channels(
    store: Neo4jStore, model: Path, cypher: Callable[..., list[list[object]]]
) -> None:
    before = store.version()
    published = publish(model, store)
    assert published == publish(model, store)
    assert store.version() == before, "vectors are derived data"
    counts = cypher("MATCH (n) WHERE n.embedding IS NOT NULL RETURN labels(n)[0] AS label, count(*) ORDER BY label")
    assert counts == [[label, published.vectors[label]] for label in ("Item", "User")]
    assert published.full_text

    engine = load_engine(model, channels=["vector", "neo4j_vector"], store=store)
    queries = [Query(user_id=user, k=10) for user in USERS]
    pairs = [(_ids(engine, query, "vector"), _ids(engine, query, "neo4j_vector")) for query in queries]
    assert np.mean([len(set(own) & set(live)) / len(own) for own, live in pairs]) > 0.95
    filtered = _ids(engine, Query(user_id="u007", k=5, filter={"in_stock": True}), "neo4j_vector")
    assert len(filtered) == 5

    title = str(cypher("MATCH (n:Item {id: 'i007'}) RETURN n.title")[0][0])
    words = load_engine(model, channels=["text", "neo4j_fulltext"], store=store)
    assert "i007" in _ids(words, Query(user_id="u000", text=title, k=10, exclude_seen=False), "neo4j_fulltext")
    assert _ids(words, Query(user_id="u000", k=5), "neo4j_fulltext"), "without a text the titles of the history speak"
    walk = load_engine(model, channels=["item_knn", "neo4j_walk"], store=store)
    assert len(_ids(walk, Query(user_id="u000", k=10), "neo4j_walk")) == 10


def test_the_command_publishes(
    store: Neo4jStore, empty_neo4j: LocalServer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGRECALL_NEO4J_USER", empty_neo4j.user)
    monkeypatch.setenv("KGRECALL_NEO4J_PASSWORD", empty_neo4j.password)
    done = CliRunner().invoke(app, ["publish", "--model", str(model), "--store", empty_neo4j.uri])
    assert done.exit_code == 0, done.output
    assert "40 of Item" in done.output


def test_what_the_database_cannot_answer(store: Neo4jStore, model: Path) -> None:
    with pytest.raises(ConfigError, match="neo4j_vektor"):
        load_engine(model, channels=["neo4j_vektor"], store=store)
    with pytest.raises(ConfigError, match="neo4j_vector"):
        load_engine(model, channels=["neo4j_vector"])
    with pytest.raises(Unsupported, match="a Neo4j store"):
        load_engine(model, channels=["neo4j_walk"], store=open_store(":memory:"))
    with pytest.raises(Unsupported, match="a Neo4j store"):
        publish(model, open_store(":memory:"))


def _ids(engine: RecallEngine, query: Query, channel: str) -> list[str]:
    """What the channel itself found, without the popular items that fill the list up."""
    return [found.item_id for found in engine.recall(replace(query, channels=(channel,))) if found.score > 0]
