"""The files of the offline importer, imported with the server's own tool and read back over Bolt."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from kgrecall.errors import ConfigError, ConstraintViolated
from kgrecall.schema import GraphSchema
from kgrecall.sources.tables import ARROW_TYPES
from kgrecall.store import open_store
from kgrecall.store.base import GraphStore
from kgrecall.store.fingerprint import fingerprint
from kgrecall.store.neo4j import Neo4jStore
from kgrecall.store.neo4j.admin import export_for_admin
from kgrecall.store.neo4j.java import admin_tool
from kgrecall.store.neo4j.server import ServerConfig, runs_in_java, start_server

SCHEMA = GraphSchema.parse(
    {
        "nodes": {
            "User": {"role": "user"},
            "Item": {
                "role": "item",
                "properties": {
                    "title": "text",
                    "year": "integer",
                    "price": "number",
                    "sold": "boolean",
                    "tags": "strings",
                    "vector": "numbers",
                },
            },
        },
        "edges": {
            "SEEN": {
                "role": "interaction",
                "source": "User",
                "target": "Item",
                "properties": {"time": "time", "device": "string"},
                "key": ["time"],
            },
            "FOLLOWS": {"role": "social", "source": "User", "target": "User"},
        },
    }
)
IDS = ["plain", "with,comma", 'a"quote', "a\nnewline", "\\back", "é🎬", " space ", "007", "", "a;b", "'"]


@pytest.fixture
def store() -> Iterator[GraphStore]:
    """Odd ids, every type, nulls, empty texts and lists."""
    store = open_store(":memory:")
    store.apply_schema(SCHEMA)
    n = len(IDS)
    store.upsert_nodes("User", pa.array(IDS), {})
    columns = {
        "title": [*IDS[:-1], None],
        "year": [-(2**63), 2**63 - 1, 0, None, *range(n - 4)],
        "price": [0.1, -1e300, 5e-324, None, 2.0, *[0.5] * (n - 5)],
        "sold": [True, False, None, *[True] * (n - 3)],
        "tags": [["a", 'b"c', "d,e"], ["x\ny", ""], None, ["one"], *[["t", "u"]] * (n - 4)],
        "vector": [[0.5, -1.25], None, [1e-30], *[[3.0]] * (n - 3)],
    }
    kinds = SCHEMA.node("Item").properties
    store.upsert_nodes("Item", pa.array(IDS), {name: pa.array(c, ARROW_TYPES[kinds[name]]) for name, c in columns.items()})
    times, devices = pa.array(range(n), pa.int64()), pa.array([*IDS[1:], None])
    store.upsert_edges("SEEN", pa.array(IDS), pa.array(IDS[::-1]), {"time": times, "device": devices})
    store.upsert_edges("SEEN", pa.array(["plain"]), pa.array(["'"]), {"time": pa.array([99])})
    store.upsert_edges("FOLLOWS", pa.array(IDS[1:]), pa.array(IDS[:-1]), {})
    yield store
    store.close()


@pytest.mark.neo4j
def test_the_servers_own_tool_imports_the_same_graph(store: GraphStore, tmp_path: Path, neo4j_version: str) -> None:
    if not runs_in_java(neo4j_version):
        pytest.skip("no Java with Maven, so no admin tool")
    exported = export_for_admin(store, tmp_path / "files")
    assert (exported.nodes, exported.edges) == ({"User": 11, "Item": 11}, {"SEEN": 12, "FOLLOWS": 10})
    home = tmp_path / "home"
    home.mkdir()
    command, env = admin_tool(home, neo4j_version)
    tool = [*command, "database", "import", "full", "neo4j", "@import.args"]
    done = subprocess.run(tool, cwd=exported.folder, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    server = start_server(home, ServerConfig(version=neo4j_version, heap="512m", pagecache="64m"), tied=True)
    try:
        loaded = Neo4jStore.connect(server.uri, server.user, server.password)
        loaded.apply_schema(SCHEMA)
        assert fingerprint(loaded) == fingerprint(store)
        assert loaded.upsert_edges("SEEN", pa.array(["plain"]), pa.array(["'"]), {"time": pa.array([99])}).unchanged == 1
        loaded.close()
    finally:
        os.kill(server.pid, signal.SIGKILL)


def test_headers_name_id_spaces_and_types(store: GraphStore, tmp_path: Path) -> None:
    folder = export_for_admin(store, tmp_path / "new").folder
    header = (folder / "nodes-Item.csv").read_text().partition("\n")[0]
    assert header == "id:ID(Item),title:string,year:long,price:double,sold:boolean,tags:string[],vector:double[]"
    assert (folder / "edges-SEEN.csv").read_text().startswith(":START_ID(User),:END_ID(Item),time:long,device:string\n")
    assert "--relationships=FOLLOWS=./edges-FOLLOWS.csv" in (folder / "import.args").read_text().splitlines()


def test_a_folder_that_is_in_use_is_left_alone(store: GraphStore, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ConfigError, match="new or empty folder"):
        export_for_admin(store, tmp_path)


@pytest.mark.parametrize("tags", [["a\x1fb"], [""]])
def test_what_the_format_cannot_say_is_refused(store: GraphStore, tmp_path: Path, tags: list[str]) -> None:
    store.upsert_nodes("Item", pa.array(["plain"]), {"tags": pa.array([tags], pa.list_(pa.string()))})
    with pytest.raises(ConstraintViolated, match="Mend that value"):
        export_for_admin(store, tmp_path / "files")
