"""Every record is accounted for: written, unchanged or in the quarantine with its file and row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import SchemaError, TooManyBadRows
from kgrecall.schema import GraphSchema
from kgrecall.sources.quarantine import Quarantine, QuarantineLimits, Reason
from kgrecall.sources.reader import read_tables
from kgrecall.sources.tables import Batch, EdgeBatch, NodeBatch, Origin
from kgrecall.store import open_store
from kgrecall.store import pool as pool_module
from kgrecall.store.base import GraphStore
from kgrecall.store.ingest import ingest
from kgrecall.store.pool import Pool
from kgrecall.store.report import ImportReport, Tally
from kgrecall.store.sqlite import SqliteStore

SCHEMA = GraphSchema.parse(
    {
        "nodes": {"User": {"role": "user", "properties": {"age": "integer"}}, "Item": {"role": "item"}, "Tag": {}},
        "edges": {
            "BOUGHT": {"role": "interaction", "source": "User", "target": "Item", "properties": {"n": "integer"}},
            "TAGGED": {"source": "Item", "target": "Tag"},
            "LIKE": {"source": "Tag", "target": "Tag"},
        },
    }
)


def ids(text: str) -> pa.StringArray:
    return pa.array(text.split(), pa.string())


def nodes(label: str, keys: str, file: str = "n.csv", first: int = 1, **columns: pa.Array) -> NodeBatch:
    n = len(keys.split())
    return NodeBatch(label, ids(keys), columns, Origin(file, np.arange(first, first + n)))


def edges(relation: str, pairs: str, file: str = "e.csv", first: int = 1, create: str = "", **columns: pa.Array) -> EdgeBatch:
    """``pairs``: ``"a>b c>d"``; ``create``: some of "source", "target"."""
    ends = [pair.split(">") for pair in pairs.split()]
    sources, targets = (pa.array([end[side] for end in ends], pa.string()) for side in (0, 1))
    origin = Origin(file, np.arange(first, first + len(ends)))
    return EdgeBatch(relation, sources, targets, columns, origin, "source" in create, "target" in create)


class Source:
    """Batches with the counts and the quarantine that a reader of files has."""

    def __init__(self, batches: list[Batch], quarantine: Quarantine) -> None:
        self.batches, self.quarantine = batches, quarantine
        self.records_read: dict[str, int] = {}
        self.rows_read: dict[str, int] = {}

    def __iter__(self) -> Any:
        for batch in self.batches:
            name = batch.label if isinstance(batch, NodeBatch) else batch.edge_type
            self.records_read[name] = self.records_read.get(name, 0) + len(batch)
            yield batch
        self.quarantine.close()


@pytest.fixture
def store() -> Iterator[GraphStore]:
    store = open_store(":memory:")
    yield store
    store.close()


def pairs(store: GraphStore, relation: str) -> set[tuple[str, ...]]:
    return {tuple(row.values()) for batch in store.scan_edges(relation, []) for row in batch.to_pylist()}


def labelled(store: GraphStore, label: str) -> list[str]:
    return [i for batch in store.scan_nodes(label, []) for i in batch["id"].to_pylist()]


def test_every_record_is_counted_once(store: GraphStore) -> None:
    batches = [
        nodes("User", "u1 u2 u1"),
        nodes("Item", "i1 i2"),
        edges("BOUGHT", "u1>i1 u2>i2 u2>i2 u9>i1 u1>i9 u9>i9", n=pa.array([1, 2, 3, 4, 5, 6])),
        edges("TAGGED", "i1>t1 i2>t1 i9>t2 i1>t3", create="target"),
    ]
    report = ingest(batches, store, SCHEMA)
    assert report.nodes == {"User": Tally(3, 2, 1), "Item": Tally(2, 2), "Tag": Tally(created=2)}
    assert report.edges == {"BOUGHT": Tally(6, 2, 1, 3), "TAGGED": Tally(4, 3, 0, 1), "LIKE": Tally()}
    assert report.reasons == {"dangling_source": 3, "dangling_target": 1}
    assert report.total == Tally(15, 9, 2, 4, 2)
    assert report.total.balanced
    assert report.rows == {"n.csv": 3, "e.csv": 6}
    again = ingest(batches, store, SCHEMA)
    assert again.total == Tally(15, 0, 11, 4, 0)
    assert pairs(store, "BOUGHT") == {("u1", "i1"), ("u2", "i2")}


def test_a_dangling_edge_creates_no_node(store: GraphStore) -> None:
    ingest([nodes("Item", "i1"), edges("TAGGED", "nowhere>t1", create="target")], store, SCHEMA)
    assert labelled(store, "Tag") == []


def test_an_edge_may_create_both_its_ends(store: GraphStore) -> None:
    report = ingest([edges("LIKE", "a>b b>c a>a a>b", create="source target")], store, SCHEMA)
    assert report.edges["LIKE"] == Tally(4, 3, 1)
    assert report.nodes["Tag"] == Tally(created=3)
    assert pairs(store, "LIKE") == {("a", "b"), ("b", "c"), ("a", "a")}


def test_a_created_node_is_filled_by_its_own_record_later(store: GraphStore) -> None:
    schema = GraphSchema.parse(
        SCHEMA.model_dump() | {"nodes": SCHEMA.model_dump()["nodes"] | {"Tag": {"properties": {"n": "integer"}}}}
    )
    ingest([edges("LIKE", "a>b", create="source target")], store, schema)
    report = ingest([nodes("Tag", "a c", n=pa.array([1, 2]))], store, schema)
    assert report.nodes["Tag"] == Tally(2, 2)
    assert labelled(store, "Tag") == ["a", "b", "c"]


def test_dangling_edges_keep_their_file_and_row(store: GraphStore, tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "bad.jsonl")
    batches = [
        nodes("User", "u1"),
        nodes("Item", "i1"),
        edges("BOUGHT", "u1>i1 u1>x", "a.csv", first=1),
        edges("BOUGHT", "y>i1 u1>i1", "a.csv", first=3),
        edges("BOUGHT", "y>x", "b.csv", first=7),
    ]
    report = ingest(Source(batches, quarantine), store, SCHEMA)
    lines = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    found = {(line["file"], line["row"], line["record"], line["reason"], line["value"]) for line in lines}
    assert found == {
        ("a.csv", 2, "BOUGHT", "dangling_target", "x"),
        ("a.csv", 3, "BOUGHT", "dangling_source", "y"),
        ("b.csv", 7, "BOUGHT", "dangling_source", "y"),
    }
    assert report.quarantine == str(tmp_path / "bad.jsonl")
    assert report.edges["BOUGHT"] == Tally(5, 1, 1, 3)


def test_dangling_edges_count_for_the_limit(store: GraphStore) -> None:
    source = Source([edges("LIKE", "a>b c>d e>f")], Quarantine(limits=QuarantineLimits(max_rows=2)))
    with pytest.raises(TooManyBadRows, match="dangling_source"):
        ingest(source, store, SCHEMA)


def test_records_that_the_reader_refused_are_in_the_account(store: GraphStore) -> None:
    source = Source([nodes("User", "u1 u2")], Quarantine())
    source.quarantine.add("n.csv", 3, record="User", column="age", reason=Reason.NOT_AN_INTEGER, value="x")
    source.records_read["User"] = 1
    assert ingest(source, store, SCHEMA).nodes["User"] == Tally(3, 2, 0, 1)


def test_nodes_of_the_same_pool_come_before_edges(store: GraphStore) -> None:
    batches = [edges("BOUGHT", "u1>i1"), nodes("User", "u1"), nodes("Item", "i1")]
    assert ingest(batches, store, SCHEMA).edges["BOUGHT"].written == 1


def test_an_unknown_property_stops_with_its_name(store: GraphStore) -> None:
    with pytest.raises(SchemaError, match="agee"):
        ingest([nodes("User", "u1", agee=pa.array([1]))], store, SCHEMA)


def test_files_to_store(store: GraphStore, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id,age\nu1,30\nu2,old\n,5\n")
    (tmp_path / "items.csv").write_text("id,tags\ni1,a|b\ni2,\n")
    (tmp_path / "buys.csv").write_text("u,i,n\nu1,i1,1\nu2,i1,2\nu1,i9,3\n")
    files = [
        {"path": "users.csv", "nodes": [{"label": "User", "id": "id", "properties": {"age": "age"}}]},
        {
            "path": "items.csv",
            "nodes": [{"label": "Item", "id": "id"}],
            "edges": [{"type": "TAGGED", "source": "id", "target": {"column": "tags", "separator": "|"}, "create": ["target"]}],
        },
        {"path": "buys.csv", "edges": [{"type": "BOUGHT", "source": "u", "target": "i", "properties": {"n": "n"}}]},
    ]
    schema = GraphSchema.parse(SCHEMA.model_dump() | {"files": files})
    reports = [ingest(read_tables(tmp_path, schema, quarantine=tmp_path / "bad.jsonl"), store, schema) for _ in range(2)]
    assert [r.total.balanced for r in reports] == [True, True]
    assert reports[0].nodes["User"] == Tally(3, 1, 0, 2)
    assert reports[0].edges == {"BOUGHT": Tally(3, 1, 0, 2), "TAGGED": Tally(2, 2), "LIKE": Tally()}
    assert reports[1].total == Tally(10, 0, 6, 4)
    assert reports[0].rows == {"users.csv": 3, "items.csv": 2, "buys.csv": 3}


def test_progress_is_told(store: GraphStore) -> None:
    told: list[tuple[str, int, int | None]] = []
    ingest([nodes("User", "u1 u2"), nodes("Item", "i1")], store, SCHEMA, progress=lambda *call: told.append(call))
    assert told == [("ingest", 2, None), ("ingest", 3, None)]


def test_the_pool_joins_batches_of_one_shape_and_file() -> None:
    pool = Pool()
    parts = [
        edges("BOUGHT", "a>b", first=1, n=pa.array([1])),
        nodes("User", "a", age=pa.array([1])),
        edges("BOUGHT", "c>d", first=2, n=pa.array([2])),
        edges("BOUGHT", "e>f", first=3),
        edges("BOUGHT", "g>h", "other.csv"),
        nodes("User", "", "empty.csv"),
    ]
    for part in parts:
        pool.add(part)
    assert not pool.full
    user, joined, bare, other = pool.take()
    assert isinstance(user, NodeBatch)
    assert isinstance(joined, EdgeBatch)
    assert joined.sources.to_pylist() == ["a", "c"]
    assert joined.targets.to_pylist() == ["b", "d"]
    assert joined.columns["n"].to_pylist() == [1, 2]
    assert joined.origin.rows.tolist() == [1, 2]
    assert [len(bare), other.origin.file] == [1, "other.csv"]
    assert pool.take() == []


def test_the_pool_is_bounded_by_bytes_too() -> None:
    pool = Pool()
    text = pa.array(["x" * 2**20] * 96, pa.string())
    pool.add(NodeBatch("Item", pa.array([str(i) for i in range(96)]), {"text": text}, Origin("t", np.arange(1, 97))))
    assert pool.full


def test_a_growing_pool_takes_as_many_as_before_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "WRITE_ROWS", 4)
    monkeypatch.setattr(pool_module, "_MOST_ROWS", 12)

    def sizes(pool: Pool) -> list[int]:
        taken = []
        for i in range(60):
            pool.add(edges("BOUGHT", "a>b", first=i + 1))
            if pool.full:
                taken.append(sum(map(len, pool.take())))
        return taken

    assert sizes(Pool(growing=True)) == [4, 4, 8, 12, 12, 12]
    assert sizes(Pool()) == [4] * 15
    assert sizes(Pool(10, growing=True)) == [10] * 6


class SteadyStore(SqliteStore):
    """Says nothing about the size of writes."""

    @property
    def capabilities(self) -> frozenset[str]:
        return super().capabilities - {"large_writes"}


@pytest.mark.parametrize(("kind", "ends"), [(SqliteStore, [5, 10, 20, 25]), (SteadyStore, [5, 10, 15, 20, 25])])
def test_writes_grow_where_that_pays(kind: type[SqliteStore], ends: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "WRITE_ROWS", 5)
    told: list[int] = []
    records = [nodes("User", f"u{i}", first=i + 1) for i in range(25)]
    store = kind(":memory:")
    ingest(records, store, SCHEMA, progress=lambda _, done, __: told.append(done))
    store.close()
    assert told == ends


def test_the_report_reads_well() -> None:
    report = ImportReport(
        nodes={"User": Tally(1_000, 900, 50, 50, 0)},
        edges={"BOUGHT": Tally(2_000, 2_000)},
        rows={"users.csv": 1_000, "buys.csv": 2_000},
        reasons={"missing_id": 50},
        quarantine="bad.jsonl",
        seconds=2.0,
    )
    assert str(report).splitlines() == [
        "               read      written    unchanged  quarantined      created",
        "User          1,000          900           50           50            0",
        "BOUGHT        2,000        2,000            0            0            0",
        "total         3,000        2,900           50           50            0",
        "users.csv: 1,000 rows",
        "buys.csv: 2,000 rows",
        "Quarantined: 50 missing_id. See bad.jsonl.",
        "3,000 rows in 2.0 s (1,500 rows/s).",
    ]
    data = json.loads(json.dumps(report.to_dict()))
    assert data["nodes"]["User"] == {"read": 1_000, "written": 900, "unchanged": 50, "quarantined": 50, "created": 0}
    assert data["rows_per_second"] == 1_500
