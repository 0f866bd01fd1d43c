"""A small shop, imported and built once per worker: what the jobs and the command line are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.jobs.build import build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.build_report import BuildReport
from kgrecall.model.trainer import ModelConfig
from kgrecall.schema import GraphSchema
from kgrecall.sources.mappings import find_mapping
from kgrecall.sources.reader import read_tables
from kgrecall.sources.sample_shop import write_sample_shop
from kgrecall.store import open_store
from kgrecall.store.ingest import ingest


@pytest.fixture(scope="session")
def shop_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_shop(tmp_path_factory.mktemp("shop") / "raw", num_users=120, num_items=80)


@pytest.fixture(scope="session")
def shop_store(shop_files: Path) -> Path:
    """A SQLite file that holds the shop."""
    path = shop_files.parent / "shop.sqlite"
    schema = GraphSchema.load(find_mapping("shop"))
    store = open_store(path)
    ingest(read_tables(shop_files, schema), store, schema)
    store.close()
    return path


@pytest.fixture(scope="session")
def shop_snapshot(shop_store: Path) -> GraphSnapshot:
    store = open_store(shop_store)
    try:
        return take_snapshot(store, store.schema)
    finally:
        store.close()


@pytest.fixture(scope="session")
def quick_config() -> BuildConfig:
    """Everything a build does, in seconds."""
    return BuildConfig(encoder="hashing", model=ModelConfig(epochs=2))


@pytest.fixture(scope="session")
def shop_build(
    shop_snapshot: GraphSnapshot, quick_config: BuildConfig, tmp_path_factory: pytest.TempPathFactory
) -> BuildReport:
    """A built engine; tests must not change its folder."""
    root = tmp_path_factory.mktemp("built")
    return build_snapshot(shop_snapshot, quick_config, out=root / "model", cache=root / "texts")
