"""Parquet, Arrow, JSON lines, RecBole and KGAT files: columns, batches, row numbers, and files that are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.errors import SourceError
from kgrecall.mapping import FileMapping
from kgrecall.sources import jsonl, streams
from kgrecall.sources.columnar import ArrowSource, MemorySource, ParquetSource
from kgrecall.sources.jsonl import JsonLinesSource
from kgrecall.sources.kgat import KgatSource
from kgrecall.sources.quarantine import Reason
from kgrecall.sources.raw import BadRows, TableSource
from kgrecall.sources.recbole import RecBoleSource


def read(source: TableSource, columns: tuple[str, ...] | None = None, batch_rows: int = 100) -> tuple[list[Any], list[Any]]:
    """([(row, cells)], [(row, reason, column, value)])"""
    good: list[Any] = []
    bad: list[Any] = []
    for batch in source.read(columns or source.columns, batch_rows):
        if isinstance(batch, BadRows):
            bad += [(int(row), batch.reason, batch.column, value) for row, value in zip(batch.rows, batch.values, strict=True)]
        else:
            assert 0 < len(batch) <= batch_rows
            assert 0 <= batch.share <= 1
            cells = zip(*(array.to_pylist() for array in batch.columns.values()), strict=True)
            good += list(zip(batch.rows.tolist(), cells, strict=True))
    return good, bad


def source_of(kind: type, path: Path, wanted: tuple[str, ...] = (), **mapping: Any) -> Any:
    return kind(path, path.name, FileMapping(path=path.name, **mapping), wanted)


_TABLE = pa.table({"a": list(range(10)), "b": [f"x{i}" for i in range(10)]})


def write_parquet(path: Path) -> None:
    pq.write_table(_TABLE, path, row_group_size=4)


def write_arrow_file(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, _TABLE.schema) as writer:
        writer.write_table(_TABLE, max_chunksize=4)


def write_arrow_stream(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, _TABLE.schema) as writer:
        writer.write_table(_TABLE, max_chunksize=4)


@pytest.mark.parametrize("batch_rows", [3, 100])
@pytest.mark.parametrize(
    ("write", "kind"), [(write_parquet, ParquetSource), (write_arrow_file, ArrowSource), (write_arrow_stream, ArrowSource)]
)
def test_typed_files(tmp_path: Path, write: Any, kind: type, batch_rows: int) -> None:
    path = tmp_path / "x"
    write(path)
    source = source_of(kind, path)
    assert source.columns == ("a", "b")
    assert read(source, ("b",), batch_rows) == ([(i + 1, (f"x{i}",)) for i in range(10)], [])
    assert read(source, ("b", "a"))[0][9] == (10, ("x9", 9))


@pytest.mark.parametrize(("kind", "name"), [(ParquetSource, "Parquet"), (ArrowSource, "Arrow")])
@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PAR1broken", b"ARROW1\0\0broken"])
def test_broken_typed_files(tmp_path: Path, kind: type, name: str, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"a complete {name} file|a readable file"):
        assert source_of(kind, path).columns


def test_a_parquet_file_that_breaks_off_inside(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(path)
    data = bytearray(path.read_bytes())
    data[4:60] = bytes(56)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"a complete Parquet file|a readable file"):
        read(source_of(ParquetSource, path))


def test_tables_in_memory() -> None:
    frame = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})
    assert read(MemorySource(frame, "t"), ("b",), 2) == ([(1, ("x",)), (2, (None,)), (3, ("z",))], [])
    with pytest.raises(SourceError, match="expected a pyarrow, polars or pandas table, got 'int'"):
        MemorySource(3, "t")


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(
        b'{"id": 12345678901234567890, "n": 1.10, "ok": true, "tags": ["a", 2, null], "o": {"p": "deep"}}\r\n'
        b"\n"
        b'{"id": "b"}\n'
        b"[1]\n"
        b"{broken\n"
        b'{"id": {"x": 1}}\n'
        b'{"id": "c", "tags": [["d"]]}\n'
        b'{"id": "\xff"}\n'
        b'{"id": "\\ud800"}\n'
        b'{"id": "e", "tags": "f", "o": {"p": null}}'
    )
    source = source_of(JsonLinesSource, path)
    assert source.columns == ("id", "n", "ok", "tags", "o.p", "id.x")
    good, bad = read(source, ("id", "n", "ok", "tags", "o.p"))
    assert good == [
        (1, (b"12345678901234567890", "1.10", "true", ["a", "2", None], "deep")),
        (3, (b"b", None, None, None, None)),
        (9, (b"\xed\xa0\x80", None, None, None, None)),
        (10, ("e", None, None, "f", None)),
    ]
    assert sorted(bad) == [
        (4, Reason.BAD_JSON, "", b"[1]"),
        (5, Reason.BAD_JSON, "", b"{broken"),
        (6, Reason.NOT_A_SCALAR, "id", '{"x": "1"}'),
        (7, Reason.NOT_A_SCALAR, "tags", '{"list": [["d"]]}'),
        (8, Reason.BAD_JSON, "", b'{"id": "\xff"}'),
    ]


_LINE = st.one_of(
    st.dictionaries(st.sampled_from("ab"), st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3))).map(
        json.dumps
    ),
    st.sampled_from(["", " ", "{", "}", '{"a": [{}', "{}]}", "{},{}", '{"a":1', "null", "1", '{"a": [1', "2]}"]),
)


@settings(deadline=None)
@given(st.lists(_LINE, max_size=8), st.integers(1, 60))
def test_json_lines_are_judged_one_by_one(tmp_path_factory: pytest.TempPathFactory, lines: list[str], chunk: int) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "CHUNK_BYTES", 4 * chunk)
        good, bad = read(source_of(JsonLinesSource, path), ("a",))
    expected = {}
    for i, line in enumerate(lines):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            expected[i + 1] = value.get("a")
    texts = {row: cell for row, (cell,) in good}
    assert texts.keys() == expected.keys()
    for row, value in expected.items():
        plain = texts[row].decode("utf-8", "surrogatepass") if isinstance(texts[row], bytes) else texts[row]
        assert plain == (value if value is None or isinstance(value, str) else str(value).lower())
    assert {row for row, *_ in bad} == {i + 1 for i, line in enumerate(lines) if line.strip()} - expected.keys()


def test_recbole_files(tmp_path: Path) -> None:
    path = tmp_path / "x.item"
    path.write_text('id:token\tname:token_seq\tx:float\tv:float_seq\n1\t"A b\t2\t1 2\n', encoding="utf-8")
    source = source_of(RecBoleSource, path)
    assert source.columns == ("id", "name", "x", "v")
    assert source.list_columns == {"name", "v"}
    assert read(source) == ([(1, (b"1", b'"A b', b"2", b"1 2"))], [])
    path.write_text("id:token\tname\n")
    with pytest.raises(SourceError, match=r"column names with a type.*got 'name'.*format = \"delimited\""):
        assert source_of(RecBoleSource, path).columns


def test_kgat_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", 8)
    path = tmp_path / "train.txt"
    path.write_text("0 1 2 1\n\n 1\t 2  x \n2\n0 2 4\n")
    source = source_of(KgatSource, path, ("user", "item"))
    assert source.columns == ("user", "item", "position", "split")
    assert read(source) == (
        [
            (1, ("0", "1", 1, "train")),
            (1, ("0", "2", 2, "train")),
            (3, ("1", "2", 1, "train")),
            (3, ("1", "x", 2, "train")),
            (5, ("0", "4", 2, "train")),
        ],
        [],
    )
    assert source.duplicates == 2
    assert read(source, ("item",))[0] == [(1, ("1",)), (1, ("2",)), (3, ("x",)), (5, ("4",))]


def test_kgat_triples(tmp_path: Path) -> None:
    path = tmp_path / "kg_final.txt"
    path.write_text("0 0 5\n0 0 5\n1 1\n5 1 0 9\n5 1 0\n")
    source = source_of(KgatSource, path, ("head", "tail"))
    good, bad = read(source, ("head", "relation", "tail"), 1)
    assert good == [(1, ("0", "0", "5")), (5, ("5", "1", "0"))]
    assert bad == [(3, Reason.RAGGED_ROW, "", "1 1"), (4, Reason.RAGGED_ROW, "", "5 1 0 9")]
    (tmp_path / "relation_list.txt").write_text("org_id remap_id\nhttp://a/p/director 0\nhttp://a/q/director 1\n")
    names = [cells[1] for _, cells in read(source_of(KgatSource, path, ("head", "tail")), ("head", "relation", "tail"))[0]]
    assert names == ["http://a/p/director", "http://a/q/director"]


def test_kgat_lists(tmp_path: Path) -> None:
    path = tmp_path / "entity_list.txt"
    path.write_text("org_id remap_id\nThe Big Sleep 0\n\nm.1 1\nalone\n")
    source = source_of(KgatSource, path, ("remap_id",))
    good, bad = read(source)
    assert good == [(1, ("The Big Sleep", "0")), (3, ("m.1", "1"))]
    assert bad == [(4, Reason.RAGGED_ROW, "", "alone")]
    path.write_text("")
    assert read(source_of(KgatSource, path, ("user",)), ("user",)) == ([], [])
