"""What files looked like is remembered: a column that is new, gone or of another type is told, and stops the import where the
policy says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kgrecall.errors import NotBuilt, SchemaError, SourceError, TooManyBadRows
from kgrecall.schema import GraphSchema
from kgrecall.sources.reader import read_tables
from kgrecall.store.base import GraphStore
from kgrecall.store.ingest import Remembering, ingest
from kgrecall.store.report import ImportReport

SCHEMA = GraphSchema.parse(
    {
        "nodes": {"User": {"role": "user"}, "Item": {"role": "item", "properties": {"title": "text", "price": "number"}}},
        "edges": {
            "BOUGHT": {
                "role": "interaction",
                "source": "User",
                "target": "Item",
                "properties": {"at": "time", "device": "string"},
                "key": ["at"],
            }
        },
        "files": [
            {"path": "items.parquet", "format": "parquet", "nodes": [
                {"label": "Item", "id": "id", "properties": {"title": "title", "price": "price"}}]},
            {"path": "buys-*.csv", "edges": [
                {"type": "BOUGHT", "source": "user", "target": "item", "create": ["source"],
                 "properties": {"at": "at", "device": "device"}}]},
        ],
    }
)  # fmt: skip


@pytest.fixture
def store(fresh_store: GraphStore) -> GraphStore:
    """Empty, and without a schema."""
    return fresh_store


def write(
    folder: Path, *, prices: object = 1.5, header: str = "user,item,at,device", row: str = "u,i1,1700000000,phone"
) -> None:
    pl.DataFrame({"id": ["i1", "i2"], "title": ["A", "B"], "price": [prices] * 2}).write_parquet(folder / "items.parquet")
    (folder / "buys-1.csv").write_text(f"{header}\n{row}\n")


def run(folder: Path, store: GraphStore, drift: Any = "extend") -> ImportReport:
    return ingest(read_tables(folder, SCHEMA, drift=drift), store, SCHEMA, drift=drift)


def test_the_same_files_do_not_drift(tmp_path: Path, store: GraphStore) -> None:
    write(tmp_path)
    assert [run(tmp_path, store).drift for _ in range(2)] == [(), ()]
    (tmp_path / "buys-1.csv").rename(tmp_path / "buys-2.csv")
    assert run(tmp_path, store, "stop").drift == ()


def test_notes_are_no_part_of_the_graph(store: GraphStore) -> None:
    assert isinstance(store, Remembering)
    with pytest.raises(NotBuilt):
        store.note("shape")
    with pytest.raises(NotBuilt):
        store.keep_note("shape", "round")
    store.apply_schema(SCHEMA)
    assert store.note("shape") is None
    before = store.version()
    for text in ("round", "schön \x00 'quoted'"):
        store.keep_note("shape", text)
        assert store.note("shape") == text
    assert store.note("other") is None
    assert store.version() == before


def test_a_new_column_and_a_changed_type(tmp_path: Path, store: GraphStore) -> None:
    write(tmp_path)
    run(tmp_path, store)
    write(tmp_path, prices="2.5", header="user,item,at,device,colour", row="u,i1,1700000000,phone,red")
    with pytest.raises(
        SchemaError, match=r"items.parquet: the column 'price' was double and is (large_)?string.*'colour' is new"
    ):
        run(tmp_path, store, "stop")
    said = run(tmp_path, store).drift
    assert len(said) == 2
    assert said[0].startswith("items.parquet: the column 'price' was double and is ")
    assert said[1] == "buys-*.csv: the column 'colour' is new."
    assert run(tmp_path, store).drift == ()


def test_a_lost_column(tmp_path: Path, store: GraphStore) -> None:
    write(tmp_path)
    run(tmp_path, store)
    write(tmp_path, header="user,item,at", row="u,i1,1700000000")
    for drift in ("extend", "stop"):
        with pytest.raises(SourceError, match="expected one called 'device'"):
            run(tmp_path, store, drift)
    report = run(tmp_path, store, "accept")
    assert report.drift == ("buys-*.csv: the column 'device' is gone; BOUGHT.device stays as it is.",)
    assert report.drift[0] in str(report)
    assert [batch.to_pylist() for batch in store.scan_edges("BOUGHT", ["device"])] == [
        [{"source": "u", "target": "i1", "device": "phone"}]
    ]


@pytest.mark.parametrize("header", ["user,at,device", "item,at,device", "user,item,device"])
def test_without_ids_or_keys_there_is_nothing_to_accept(tmp_path: Path, header: str) -> None:
    write(tmp_path, header=header, row="u,1700000000,phone")
    with pytest.raises(SourceError, match="expected one called"):
        read_tables(tmp_path, SCHEMA, drift="accept")


def test_a_column_that_nobody_mapped_may_go(tmp_path: Path, store: GraphStore) -> None:
    write(tmp_path, header="user,item,at,device,colour", row="u,i1,1700000000,phone,red")
    run(tmp_path, store)
    write(tmp_path)
    assert run(tmp_path, store).drift == ("buys-*.csv: the column 'colour' is gone.",)


def test_dangling_edges_count_towards_the_share(tmp_path: Path, store: GraphStore) -> None:
    write(tmp_path, header="user,item,at,device", row="\n".join(f"u,nothing,{1_700_000_000 + k},phone" for k in range(1_200)))
    with pytest.raises(TooManyBadRows, match="dangling_target"):
        run(tmp_path, store)
