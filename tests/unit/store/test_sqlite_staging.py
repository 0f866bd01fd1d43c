"""Rows laid out by us are read by SQLite as they were meant, and writes by this way equal writes row by row."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.schema import GraphSchema
from kgrecall.store.fingerprint import fingerprint
from kgrecall.store.sqlite import SqliteStore, staging


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def staged(connection: sqlite3.Connection, columns: list[pa.Array]) -> list[tuple[object, ...]] | None:
    """The rows as SQLite reads them; the database must be sound."""
    connection.execute("BEGIN")
    expressions = staging.stage(connection, columns, len(columns[0]))
    found = None
    if expressions is not None:
        assert connection.execute("PRAGMA staged.integrity_check").fetchall() == [("ok",)]
        found = connection.execute(f"SELECT {', '.join(expressions)} FROM {staging.TABLE}").fetchall()
    connection.execute("COMMIT")
    staging.forget(connection)
    return found


_INT64 = st.integers(-(2**63), 2**63 - 1)
_ROW = st.tuples(
    st.none() | st.text(max_size=90),
    _INT64,
    st.none() | st.floats(allow_nan=False),
    st.none() | st.booleans(),
    st.none() | st.binary(max_size=9),
    st.none() | _INT64,
    st.text(max_size=3),
)
_TYPES = (pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.binary(), pa.int64(), pa.string())


@settings(max_examples=100, deadline=None)
@given(st.lists(_ROW, min_size=1, max_size=30))
def test_any_values(rows: list[tuple[object, ...]]) -> None:
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), _TYPES, strict=True)]
    connection = sqlite3.connect(":memory:", isolation_level=None)
    assert staged(connection, columns) == rows
    connection.close()


@pytest.mark.parametrize("rows", [1, 1_500, 1_501, 3_000, 100_000])
def test_one_page_and_many(connection: sqlite3.Connection, rows: int) -> None:
    numbers = np.arange(rows)
    assert staged(connection, [pa.array(numbers), pa.array(-numbers / 3)]) == list(
        zip(numbers.tolist(), (-numbers / 3).tolist(), strict=True)
    )


def test_rows_of_all_lengths(connection: sqlite3.Connection) -> None:
    texts = ["x" * (i * 7 % 15_000) for i in range(500)]
    assert staged(connection, [pa.array(texts)]) == [(text,) for text in texts]


def test_what_does_not_fit_is_left_to_others(connection: sqlite3.Connection) -> None:
    assert staged(connection, [pa.array(["x" * 20_000])]) is None
    assert staged(connection, [pa.array([1])] * 127) is None
    assert staged(connection, [pa.array([1])]) == [(1,)]


_EDGE = {"time": "time", "weight": "number", "device": "string", "seen": "boolean", "words": "strings", "vector": "numbers"}
SCHEMA = GraphSchema.parse(
    {
        "nodes": {"User": {"role": "user", "properties": {"name": "text", "age": "integer"}}, "Item": {"role": "item"}},
        "edges": {
            "SEEN": {"role": "interaction", "source": "User", "target": "Item", "properties": _EDGE, "key": ["device"]},
            "PLAYED": {"role": "interaction", "source": "User", "target": "Item", "properties": _EDGE, "time": "time"},
        },
    }
)


def fill(store: SqliteStore, seed: int, rows: int = 5_000) -> list[object]:
    """Nodes and edges with repeated keys, nulls and unknown ends, in two writes each; what the store said about them."""
    rng = np.random.default_rng(seed)
    store.apply_schema(SCHEMA)
    said: list[object] = []

    def maybe(values: list[object], kind: pa.DataType) -> pa.Array:
        return pa.array(
            [None if gone else value for value, gone in zip(values, rng.random(len(values)) < 0.2, strict=True)], kind
        )

    for keep in ("last", "first"):
        ids = [f"ü{i}" for i in rng.integers(0, 3_000, rows)]
        columns = {
            "name": maybe([f"n {i}" for i in ids], pa.string()),
            "age": maybe(rng.integers(0, 9, rows).tolist(), pa.int64()),
        }
        said.append(store.upsert_nodes("User", pa.array(ids), columns, keep=keep))
        said.append(store.upsert_nodes("Item", pa.array([f"i{i}" for i in range(50)]), {}, keep=keep))
        for relation in ("SEEN", "PLAYED"):
            columns = {
                "time": maybe(rng.integers(0, 99, rows).tolist(), pa.int64()),
                "weight": maybe(rng.random(rows).tolist(), pa.float64()),
                "device": pa.array(rng.choice(["a", "b\0", "é"], rows).tolist()),
                "seen": maybe((rng.random(rows) < 0.5).tolist(), pa.bool_()),
                "words": maybe([["x", f"{i}"] for i in range(rows)], pa.list_(pa.string())),
                "vector": maybe([[0.5, float(i)] for i in range(rows)], pa.list_(pa.float32())),
            }
            sources = pa.array([f"ü{i}" for i in rng.integers(0, 3_100, rows)])
            targets = pa.array([f"i{i}" for i in rng.integers(0, 51, rows)])
            stats = store.upsert_edges(relation, sources, targets, columns, keep=keep)
            said.append((stats.written, stats.unchanged, stats.missing.tolist(), stats.conflicts.tolist()))
    return said


@pytest.mark.parametrize("seed", range(3))
def test_the_store_does_not_depend_on_it(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    staged_store, plain_store = SqliteStore(":memory:"), SqliteStore(":memory:")
    by_stage = fill(staged_store, seed)
    monkeypatch.setattr(staging, "available", lambda: False)
    by_row = fill(plain_store, seed)
    assert [str(said) for said in by_stage] == [str(said) for said in by_row]
    assert fingerprint(staged_store) == fingerprint(plain_store)
    staged_store.close()
    plain_store.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_it_works_in_a_fork(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "graph.sqlite")
    fill(store, 0)
    pid = os.fork()
    if pid == 0:
        try:
            fill(store, 1)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    other = SqliteStore(":memory:")
    fill(other, 0)
    fill(other, 1)
    assert fingerprint(store) == fingerprint(other)
    store.close()
    other.close()
