"""An import into Neo4j that is killed goes on where it stopped, and two never mix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kgrecall.errors import StoreConflict
from kgrecall.schema import GraphSchema
from kgrecall.sources.reader import read_tables
from kgrecall.sources.sample_shop import write_sample_shop
from kgrecall.store import open_store
from kgrecall.store.fingerprint import fingerprint
from kgrecall.store.ingest import ingest
from kgrecall.store.journal import Journal
from kgrecall.store.neo4j import Neo4jStore
from kgrecall.store.neo4j.server import LocalServer
from kgrecall.store.report import ImportReport

pytestmark = pytest.mark.neo4j
MAPPING = Path(__file__).parents[2] / "graph_schema" / "mappings" / "shop.toml"
ROWS = 400

KILLED = """
import os, signal, sys
from kgrecall.schema import GraphSchema
from kgrecall.sources.reader import read_tables
from kgrecall.store.ingest import ingest
from kgrecall.store.neo4j import Neo4jStore
url, user, password, mapping, folder, rows, step = sys.argv[1:]
calls = iter(range(int(step), 0, -1))
def told(*_):
    if next(calls) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
schema = GraphSchema.load(mapping)
ingest(read_tables(folder, schema), Neo4jStore(url, user, password), schema, write_rows=int(rows), progress=told)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_shop(tmp_path_factory.mktemp("shop"), num_users=60, num_items=40)


@pytest.fixture(scope="module")
def clean(folder: Path) -> tuple[str, int]:
    """Fingerprint and number of records of an undisturbed import."""
    store = open_store(":memory:")
    report = run(store, folder)
    found = fingerprint(store)
    store.close()
    return found, report.total.read


def run(store: object, folder: Path) -> ImportReport:
    schema = GraphSchema.load(MAPPING)
    return ingest(read_tables(folder, schema), store, schema, write_rows=ROWS)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_killed_import_is_completed(
    neo4j_store: Neo4jStore, empty_neo4j: LocalServer, folder: Path, clean: tuple[str, int], step: int
) -> None:
    login = [empty_neo4j.uri, empty_neo4j.user, empty_neo4j.password]
    command = [sys.executable, "-c", KILLED, *login, str(MAPPING), str(folder), str(ROWS), str(step)]
    assert subprocess.run(command, check=False).returncode == -9
    assert fingerprint(neo4j_store) != clean[0]
    before = neo4j_store.version()
    report = run(neo4j_store, folder)
    assert report.total.balanced
    assert (fingerprint(neo4j_store), report.total.read) == clean
    assert report.total.unchanged > 0, "what was there is not written again"
    assert neo4j_store.version() != before


def test_a_second_importer_learns_who_is_at_work(neo4j_store: Neo4jStore, folder: Path) -> None:
    neo4j_store.apply_schema(GraphSchema.load(MAPPING))
    holder: Journal = neo4j_store.journal()
    assert holder.claim() == []
    with pytest.raises(StoreConflict, match=r"process \d+ on .*Wait until"):
        run(neo4j_store, folder)
    holder.release(complete=False)
    assert run(neo4j_store, folder).total.balanced


def test_notes_count_only_until_something_else_is_written(
    neo4j_store: Neo4jStore, folder: Path, clean: tuple[str, int]
) -> None:
    schema = GraphSchema.load(MAPPING)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for disturbed in (False, True):
        with pytest.raises(KeyboardInterrupt):
            ingest(read_tables(folder, schema), neo4j_store, schema, write_rows=ROWS, progress=stop)
        if disturbed:
            users = next(iter(neo4j_store.scan_nodes("User", []))).column("id")
            neo4j_store.delete_nodes("User", users)
        journal = neo4j_store.journal()
        assert bool(journal.claim()) is not disturbed
        journal.release(complete=False)
    run(neo4j_store, folder)
    assert fingerprint(neo4j_store) == clean[0]
