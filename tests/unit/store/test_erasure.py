"""What is erased is in no byte of any file."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import SourceError, StoreConflict
from kgrecall.schema import GraphSchema
from kgrecall.sources.quarantine import QuarantineLimits
from kgrecall.sources.reader import read_tables
from kgrecall.store.erasure import Erasure, erase
from kgrecall.store.ingest import ingest
from kgrecall.store.sqlite import SqliteStore

SECRET = "mary.smith@example.org"
SCHEMA = GraphSchema.parse(
    {
        "nodes": {"User": {"role": "user", "properties": {"age": "integer"}}, "Item": {"role": "item"}},
        "edges": {
            "SEEN": {
                "role": "interaction",
                "source": "User",
                "target": "Item",
                "properties": {"time": "time"},
                "key": ["time"],
                "time": "time",
            },
            "FOLLOWS": {"role": "social", "source": "User", "target": "User"},
        },
        "files": [
            {"path": "users.csv", "nodes": [{"label": "User", "id": "id", "properties": {"age": "age"}}]},
            {"path": "items.csv", "nodes": [{"label": "Item", "id": "id"}]},
            {"path": "follows.csv", "edges": [{"type": "FOLLOWS", "source": "a", "target": "b"}]},
            {
                "path": "seen.csv",
                "edges": [{"type": "SEEN", "source": "u", "target": "i", "properties": {"time": {"column": "t", "unit": "s"}}}],
            },
        ],
    }
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A thousand users, one of whom is in every file, in a bad cell and at the end of a dangling edge."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    users = [SECRET if i == 500 else f"user{i}" for i in range(1_000)]
    (folder / "users.csv").write_text("id,age\n" + "".join(f"{u},{SECRET if u == 'user7' else 30}\n" for u in users))
    (folder / "items.csv").write_text("id\n" + "".join(f"i{i}\n" for i in range(50)))
    (folder / "follows.csv").write_text(f"a,b\nuser1,{SECRET}\n{SECRET},user2\n{SECRET}2,user2\nnobody,{SECRET}\n")
    events = [f"{rng.choice(users)},i{rng.integers(50)},{i}" for i in range(3_000)] + [f"{SECRET},i1,99"]
    (folder / "seen.csv").write_text("u,i,t\n" + "\n".join(events) + "\n")
    return folder


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_an_erased_user_is_in_no_file(tmp_path: Path, data: Path) -> None:
    store = SqliteStore(tmp_path / "graph.sqlite")
    store.apply_schema(SCHEMA)
    connection = store._connections._own(create=False)
    connection.execute("PRAGMA secure_delete = OFF")  # some builds of SQLite overwrite deleted bytes at once, most do not
    bad = tmp_path / "bad.jsonl"
    reader = read_tables(data, SCHEMA, quarantine=bad, limits=QuarantineLimits(max_share=1))
    report = ingest(reader, store, SCHEMA, write_rows=100)
    assert report.total.quarantined == 3 + len([u for u in (data / "seen.csv").read_text().split() if u.startswith("user7,")])
    assert SECRET.encode() in bytes_of(tmp_path)
    lines = len(bad.read_text().splitlines())
    erased = erase(store, "User", [SECRET, f"{SECRET}2"], quarantines=[bad, tmp_path / "none.jsonl"])
    assert erased.nodes == 1
    assert SECRET.encode() not in bytes_of(tmp_path)
    remaining = [json.loads(line) for line in bad.read_text().splitlines()]
    assert len(remaining) == lines - erased.quarantined
    assert {"nobody"} <= {line["value"] for line in remaining}
    assert store.count_nodes("User") == 998
    assert erase(store, "User", [SECRET], quarantines=[bad]) == Erasure(0, 0)
    store.close()
    assert SECRET.encode() not in bytes_of(tmp_path)


def test_only_whole_words_are_mentions(tmp_path: Path) -> None:
    store = SqliteStore(":memory:")
    store.apply_schema(SCHEMA)
    bad = tmp_path / "bad.jsonl"
    values = ["u1", "u12", "x u1, y", "u1.5", "", "ü1", "uu1", "u1\\n"]
    bad.write_text("".join(json.dumps({"file": "f", "value": value}) + "\n" for value in values))
    assert erase(store, "User", ["u1"], quarantines=[bad]) == Erasure(0, 4)
    assert [json.loads(line)["value"] for line in bad.read_text().splitlines()] == ["u12", "", "ü1", "uu1"]


def test_a_quarantine_that_is_none_is_named(tmp_path: Path) -> None:
    store = SqliteStore(":memory:")
    store.apply_schema(SCHEMA)
    (tmp_path / "bad.jsonl").write_text("no json\n")
    with pytest.raises(SourceError, match=r"bad\.jsonl"):
        erase(store, "User", ["u1"], quarantines=[tmp_path / "bad.jsonl"])


def test_a_reader_in_the_way_is_said(tmp_path: Path) -> None:
    path = tmp_path / "graph.sqlite"
    store = SqliteStore(path, busy_timeout=0)
    store.apply_schema(SCHEMA)
    store.upsert_nodes("User", pa.array(["u1"]), {})
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM _meta").fetchall()
        with pytest.raises(StoreConflict):
            erase(store, "User", ["u1"])
        other.execute("COMMIT")
    erase(store, "User", ["u1"])
    assert b"u1" not in path.read_bytes()
    store.close()


def test_what_a_killed_import_left_behind_is_cleaned_too(tmp_path: Path) -> None:
    store = SqliteStore(":memory:")
    store.apply_schema(SCHEMA)
    line = json.dumps({"file": "f", "value": SECRET}) + "\n"
    other = json.dumps({"file": "f", "value": "somebody else"}) + "\n"
    (tmp_path / "bad.jsonl").write_text(line)
    (tmp_path / "bad.jsonl.part").write_text(line + other + line[:-8])
    assert erase(store, "User", [SECRET], quarantines=[tmp_path / "bad.jsonl"]).quarantined == 3
    assert (tmp_path / "bad.jsonl.part").read_text() == other
    assert SECRET.encode() not in bytes_of(tmp_path)
    store.close()
