"""From files to batches: order, typing, lists, references, two passes, and an account of every record."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from kgrecall.errors import SchemaError, SourceError, TooManyBadRows
from kgrecall.schema import GraphSchema
from kgrecall.sources.quarantine import QuarantineLimits, Reason
from kgrecall.sources.reader import TableReader, from_tables, read_tables
from kgrecall.sources.tables import ARROW_TYPES, Batch, NodeBatch

_SHOP: dict[str, Any] = {
    "nodes": {
        "User": {"role": "user", "properties": {"age": "integer"}},
        "Item": {"role": "item", "properties": {"title": "text", "price": "number", "tags": "strings"}},
        "Tag": {},
        "Brand": {},
    },
    "edges": {
        "BOUGHT": {
            "role": "interaction",
            "source": "User",
            "target": "Item",
            "properties": {"weight": "number", "time": "time"},
            "time": "time",
            "weight": "weight",
        },
        "TAGGED": {"source": "Item", "target": "Tag"},
        "MADE_BY": {"source": "Item", "target": "Brand"},
        "LIKE": {"source": "Item", "target": "Item"},
        "FOLLOWS": {"role": "social", "source": "User", "target": "User"},
    },
}
_ITEMS = {
    "path": "items.csv",
    "nodes": [
        {
            "label": "Item",
            "id": "id",
            "properties": {"title": "title", "price": "price", "tags": {"column": "tags", "separator": "|"}},
        }
    ],
    "edges": [
        {"type": "TAGGED", "source": "id", "target": {"column": "tags", "separator": "|"}, "create": ["target"]},
        {"type": "MADE_BY", "source": "id", "target": {"column": "brand", "prefix": "b:"}, "create": ["target"]},
    ],
}
_EVENTS = {
    "path": "events.csv",
    "edges": [{"type": "BOUGHT", "source": "user", "target": "item", "properties": {"weight": "n", "time": "at"}}],
}


def schema(*files: dict[str, Any]) -> GraphSchema:
    return GraphSchema.parse({**_SHOP, "files": list(files)})


def write(folder: Path, name: str, *lines: str) -> None:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")


def rows_of(batches: Iterable[Batch]) -> list[tuple[Any, ...]]:
    """(label, id, properties) of nodes and (relation, source, target, properties) of edges, in their order."""
    rows: list[tuple[Any, ...]] = []
    for batch in batches:
        columns = {name: array.to_pylist() for name, array in batch.columns.items()}
        for i in range(len(batch)):
            properties = {name: cells[i] for name, cells in columns.items()}
            if isinstance(batch, NodeBatch):
                rows.append((batch.label, batch.keys[i].as_py(), properties))
            else:
                rows.append((batch.edge_type, batch.sources[i].as_py(), batch.targets[i].as_py(), properties))
    return rows


def assert_accounts(reader: TableReader, batches: list[Batch]) -> None:
    """read = yielded + quarantined, per label and relation."""
    yielded: dict[str, int] = {}
    for batch in batches:
        name = batch.label if isinstance(batch, NodeBatch) else batch.edge_type
        yielded[name] = yielded.get(name, 0) + len(batch)
    for name, read in reader.records_read.items():
        assert read == yielded.get(name, 0) + reader.quarantine.records[name], name


def test_rows_become_nodes_lists_and_references(tmp_path: Path) -> None:
    write(tmp_path, "items.csv", "id,title,price,tags,brand", "007,Lamp,9.5,light| home |,Lumo", "8,,,,")
    batches = list(read_tables(tmp_path, schema(_ITEMS)))
    assert rows_of(batches) == [
        ("Item", "007", {"title": "Lamp", "price": 9.5, "tags": ["light", "home"]}),
        ("Item", "8", {"title": None, "price": None, "tags": None}),
        ("TAGGED", "007", "light", {}),
        ("TAGGED", "007", "home", {}),
        ("MADE_BY", "007", "b:Lumo", {}),
    ]
    assert [batch.origin.rows.tolist() for batch in batches] == [[1, 2], [1, 1], [1]]
    assert {batch.origin.file for batch in batches} == {"items.csv"}
    assert batches[1].create_target
    assert not batches[1].create_source
    for name, array in batches[0].columns.items():
        assert array.type == ARROW_TYPES[_SHOP["nodes"]["Item"]["properties"][name]]


def test_a_missing_reference_is_no_edge_beside_nodes_but_a_bad_row_in_a_file_of_edges(tmp_path: Path) -> None:
    write(tmp_path, "items.csv", "id,title,price,tags,brand", "1,A,1,x,", ",B,1,y,Lumo")
    write(tmp_path, "events.csv", "user,item,n,at", "u1,,1,1700000000", " ,1,1,1700000000", "u1,1,2,1700000000")
    reader = read_tables(tmp_path, schema(_ITEMS, _EVENTS))
    batches = list(reader)
    edges = [row[:3] for row in rows_of(batches) if len(row) == 4]
    assert edges == [("TAGGED", "1", "x"), ("BOUGHT", "u1", "1")]
    assert reader.records_read == {"Item": 2, "TAGGED": 2, "MADE_BY": 1, "BOUGHT": 3}
    assert reader.quarantine.reasons == {Reason.MISSING_ID: 5}
    assert_accounts(reader, batches)


def test_a_bad_cell_costs_only_the_records_that_use_it(tmp_path: Path) -> None:
    write(tmp_path, "items.csv", "id,title,price,tags,brand", "1,A,cheap,x|y,Lumo", "2,B,inf,x,Lumo")
    quarantine = tmp_path / "bad.jsonl"
    reader = read_tables(tmp_path, schema(_ITEMS), quarantine=quarantine, limits=QuarantineLimits(max_share=1))
    batches = list(reader)
    assert [row[0] for row in rows_of(batches)] == ["TAGGED"] * 3 + ["MADE_BY"] * 2
    assert [json.loads(line) for line in quarantine.read_text().splitlines()] == [
        {"file": "items.csv", "row": 1, "record": "Item", "column": "price", "reason": "not_a_number", "value": "cheap"},
        {"file": "items.csv", "row": 2, "record": "Item", "column": "price", "reason": "not_finite", "value": "inf"},
    ]
    assert_accounts(reader, batches)


def test_a_row_that_fell_apart_is_one_lost_record_per_mapping(tmp_path: Path) -> None:
    write(tmp_path, "items.csv", "id,title,price,tags,brand", "1,A,1,x|y", '2,"B,1,x,Lumo', "3,C,1,x,Lumo,more")
    reader = read_tables(tmp_path, schema(_ITEMS))
    batches = list(reader)
    assert batches == []
    assert reader.records_read == {"Item": 3, "TAGGED": 3, "MADE_BY": 3}
    assert reader.quarantine.reasons == {Reason.RAGGED_ROW: 6, Reason.BAD_QUOTE: 3}
    assert_accounts(reader, batches)


def test_nodes_of_a_file_come_before_edges_that_need_later_rows(tmp_path: Path) -> None:
    write(tmp_path, "items.csv", "id,like", "1,2", "2,3", "3,1", "bad")
    file = {
        "path": "items.csv",
        "nodes": [{"label": "Item", "id": "id"}],
        "edges": [{"type": "LIKE", "source": "id", "target": "like"}],
    }
    reader = read_tables(tmp_path, schema(file), batch_rows=1)
    batches = list(reader)
    assert [row[0] for row in rows_of(batches)] == ["Item"] * 3 + ["LIKE"] * 3
    assert reader.rows_read == {"items.csv": 4}
    assert reader.quarantine.records == {"Item": 1, "LIKE": 1}
    assert_accounts(reader, batches)


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 100])
def test_batches_are_bounded_and_rows_keep_their_numbers(tmp_path: Path, batch_rows: int) -> None:
    write(tmp_path, "events.csv", "user,item,n,at", *(f"u{i},i{i},{i},170000000{i}" for i in range(1, 8)))
    batches = list(read_tables(tmp_path, schema(_EVENTS), batch_rows=batch_rows))
    assert max(map(len, batches)) <= batch_rows
    assert [row for batch in batches for row in batch.origin.rows.tolist()] == list(range(1, 8))
    assert [row[1] for row in rows_of(batches)] == [f"u{i}" for i in range(1, 8)]


def test_a_glob_reads_its_parts_by_name_and_an_optional_file_may_be_absent(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for part in ("b", "a"):
        write(tmp_path / "parts", f"{part}.csv", "user,item,n,at", f"u{part},i,1,1700000000")
    reader = read_tables(tmp_path, schema(_EVENTS | {"path": "parts/*.csv"}, _ITEMS | {"optional": True}))
    assert reader.files == ("parts/a.csv", "parts/b.csv")
    assert [row[1] for row in rows_of(reader)] == ["ua", "ub"]


def test_time_units_are_detected_per_file_and_kept(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "user,item,n,at", "u,i,1,", "u,i,1,1700000000", "u,i,1,5")
    write(tmp_path, "b.csv", "user,item,n,at", "u,i,1,1700000000000")
    write(tmp_path, "c.csv", "user,item,n,at", "u,i,1,2023-11-14T22:13:20Z")
    reader = read_tables(tmp_path, schema(*(_EVENTS | {"path": f"{name}.csv"} for name in "abc")), batch_rows=1)
    assert [row[3]["time"] for row in rows_of(reader)] == [None, 1_700_000_000_000, 5_000, 1_700_000_000_000, 1_700_000_000_000]


@pytest.mark.parametrize("batch_rows", [1, 3, 100])
def test_the_first_rows_tell_the_unit_however_they_are_cut(tmp_path: Path, batch_rows: int) -> None:
    times = ("x", "1700000000000", "1700000000001", "17", "nan", "y")
    write(tmp_path, "events.csv", "user,item,n,at", *(f"u{i},i,1,{time}" for i, time in enumerate(times)))
    reader = read_tables(tmp_path, schema(_EVENTS), batch_rows=batch_rows, limits=QuarantineLimits(max_rows=None, max_share=1))
    assert [row[3]["time"] for row in rows_of(reader)] == [1_700_000_000_000, 1_700_000_000_001, 17]


def test_events_lie_between_1970_and_tomorrow(tmp_path: Path) -> None:
    lines = ("u,i,1,1969-12-31T00:00:00Z", "u,i,1,2999-01-01T00:00:00Z", "u,i,1,2000-01-01 00:00:00", "u,i,1,soon")
    write(tmp_path, "events.csv", "user,item,n,at", *lines, "u,i,1,2000-01-01T01:00:00+01:00")
    reader = read_tables(tmp_path, schema(_EVENTS))
    assert [row[3]["time"] for row in rows_of(reader)] == [946_684_800_000]
    assert set(reader.quarantine.reasons) == {Reason.NEGATIVE_TIME, Reason.FUTURE_TIME, Reason.NAIVE_TIME, Reason.NOT_A_TIME}


def test_limits_stop_the_run_and_leave_a_quarantine_to_look_at(tmp_path: Path) -> None:
    write(tmp_path, "events.csv", "user,item,n,at", *["u,i,x,1700000000"] * 3)
    quarantine = tmp_path / "bad.jsonl"
    with pytest.raises(TooManyBadRows, match=r"at most 2 bad records.*row 1, column 'n': not_a_number, x"):
        list(read_tables(tmp_path, schema(_EVENTS), quarantine=quarantine, limits=QuarantineLimits(max_rows=2)))
    assert len(quarantine.read_text().splitlines()) == 3
    with pytest.raises(TooManyBadRows, match=r"10.0% bad"):
        list(read_tables(tmp_path, schema(_EVENTS), limits=QuarantineLimits(share_from=2)))


def test_columns_that_nobody_asked_for_are_reported(tmp_path: Path) -> None:
    write(tmp_path, "events.csv", "user,item,n,at,colour,age")
    write(tmp_path, "items.csv", "id,title,price,tags,brand")
    assert read_tables(tmp_path, schema(_ITEMS, _EVENTS)).unmapped == {"events.csv": ("age", "colour")}


def test_progress_ends_with_all_rows(tmp_path: Path) -> None:
    write(tmp_path, "events.csv", "user,item,n,at", *["u,i,1,1700000000"] * 10)
    seen: list[tuple[str, int, int | None]] = []
    list(read_tables(tmp_path, schema(_EVENTS), batch_rows=4, progress=lambda *step: seen.append(step)))
    assert seen[-1] == ("read events.csv", 10, 10)
    assert [done for _, done, _ in seen] == [4, 8, 10]


@pytest.mark.parametrize("kind", [pl.DataFrame, pa.table, "pandas"])
def test_tables_in_memory_read_like_files(kind: Any) -> None:
    columns = {"user": [1, 2], "item": ["a", "b"], "n": [1.5, 2.0], "at": [1_700_000_000_000] * 2}
    table = pytest.importorskip("pandas").DataFrame(columns) if kind == "pandas" else kind(columns)
    reader = from_tables({"events.csv": table}, schema(_EVENTS, _ITEMS | {"optional": True}))
    assert rows_of(reader) == [
        ("BOUGHT", "1", "a", {"weight": 1.5, "time": 1_700_000_000_000}),
        ("BOUGHT", "2", "b", {"weight": 2.0, "time": 1_700_000_000_000}),
    ]


def test_a_reader_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, "events.csv", "user,item,n,at")
    reader = read_tables(tmp_path, schema(_EVENTS))
    assert list(reader) == []
    with pytest.raises(SourceError, match="Call read_tables again"):
        list(reader)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("usr,item,n,at\n", "expected one called 'user'.*Did you mean 'usr'"),
        ("user^item^n^at\n", "first line: expected columns such as 'user', got 'user.item.n.at'.*set delimiter"),
        ("", "expected a header, got an empty file"),
        ("user,item,n,n,at\n1,2,3,4,5\n", "expected every mapped column once, got 'n' 2 times"),
    ],
)
def test_a_file_that_is_not_what_the_mapping_says(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "events.csv").write_text(content)
    with pytest.raises(SourceError, match=message):
        list(read_tables(tmp_path, schema(_EVENTS)))


def test_absent_files_folders_tables_and_mappings(tmp_path: Path) -> None:
    write(tmp_path, "event.csv", "x")
    with pytest.raises(SourceError, match=r"events.csv: expected a file, got nothing there. Did you mean 'event.csv'"):
        read_tables(tmp_path, schema(_EVENTS))
    with pytest.raises(SourceError, match=r"in an existing folder.*Check the folder"):
        read_tables(tmp_path / "nowhere", schema(_EVENTS))
    with pytest.raises(SourceError, match=r"expected one called 'events.csv'.*Did you mean 'events'"):
        from_tables({"events": pa.table({})}, schema(_EVENTS))
    with pytest.raises(SourceError, match="expected a pyarrow, polars or pandas table, got 'list'"):
        from_tables({"events.csv": [1]}, schema(_EVENTS))
    with pytest.raises(SchemaError, match="at least one"):
        read_tables(tmp_path, schema())


def test_lists_on_both_ends_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "items.csv", "a,b", "1|2,3|4")
    ends = {"source": {"column": "a", "separator": "|"}, "target": {"column": "b", "separator": "|"}}
    with pytest.raises(SourceError, match="a list on one side"):
        list(read_tables(tmp_path, schema({"path": "items.csv", "edges": [{"type": "LIKE", **ends}]})))


def test_a_required_list_without_elements_is_a_lost_record(tmp_path: Path) -> None:
    write(tmp_path, "items.csv", "a,b", "1,2|3", "2,|", ",4|5")
    edge = {"type": "LIKE", "source": "a", "target": {"column": "b", "separator": "|"}}
    reader = read_tables(tmp_path, schema({"path": "items.csv", "edges": [edge]}))
    batches = list(reader)
    assert [row[1:3] for row in rows_of(batches)] == [("1", "2"), ("1", "3")]
    assert reader.records_read == {"LIKE": 5}
    assert reader.quarantine.reasons == {Reason.MISSING_ID: 3}
    assert_accounts(reader, batches)
