"""Columns as other tools hand them over: decimals, views, UUIDs, hidden elements, names twice, members that come late."""

from __future__ import annotations

import tomllib
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from kgrecall.errors import SourceError
from kgrecall.graph.fingerprint import add_column, new_digest
from kgrecall.mapping import FileMapping
from kgrecall.schema import GraphSchema
from kgrecall.sources.cells import list_cells
from kgrecall.sources.convert import convert, convert_ids
from kgrecall.sources.jsonl import JsonLinesSource
from kgrecall.sources.quarantine import QuarantineLimits
from kgrecall.sources.reader import from_tables, read_tables
from kgrecall.store.ingest import ingest
from kgrecall.store.sqlite import SqliteStore

_SCHEMA = """
format_version = 1
name = "odd"
[nodes.User]
role = "user"
[nodes.Item]
role = "item"
properties = { s = "string", v = "numbers" }
[edges.VIEWED]
role = "interaction"
source = "User"
target = "Item"
[[files]]
path = "items"
format = "FORMAT"
[[files.nodes]]
label = "Item"
id = "id"
properties = { PROPERTIES }
"""


def schema(properties: str, form: str = "parquet") -> GraphSchema:
    return GraphSchema.parse(tomllib.loads(_SCHEMA.replace("PROPERTIES", properties).replace("FORMAT", form)))


def problems(cells: Any) -> dict[str, list[int]]:
    return {reason.value: found.tolist() for reason, found in cells.problems.items()}


def test_decimals_keep_their_fraction() -> None:
    values = pa.array([Decimal("3.50"), Decimal("2.00"), None], pa.decimal128(10, 2))
    cells = convert(values, "integer")
    assert cells.values.to_pylist() == [None, 2, None]
    assert problems(cells) == {"not_an_integer": [0]}
    assert convert_ids(values.slice(0, 2)).values.to_pylist() == ["3.50", "2"]
    large = pa.array([Decimal("1.50")], pa.decimal256(50, 2))
    assert convert(large, "number").values.to_pylist() == [1.5]
    assert convert_ids(large).values.to_pylist() == ["1.50"]


def test_words_for_nothing_hold_for_typed_columns_too() -> None:
    assert convert(pa.array([-1, 5]), "integer", null_values=("", "-1")).values.to_pylist() == [None, 5]
    assert problems(convert_ids(pa.array([-1, 5]), null_values=("-1",))) == {"missing_id": [0]}


def test_uuids_are_written_as_everywhere() -> None:
    one = uuid.UUID(int=7)
    assert convert_ids(pa.array([one.bytes, None], pa.uuid())).values.to_pylist() == [str(one), None]


def test_a_list_that_a_null_hides_is_none() -> None:
    hidden = pa.ListArray.from_arrays(pa.array([0, 2, 4, 6]), pa.array(np.arange(6.0)), mask=pa.array([False, True, False]))
    assert convert(hidden, "numbers").values.to_pylist() == [[0.0, 1.0], None, [4.0, 5.0]]
    assert list_cells(hidden, None).parents.tolist() == [0, 0, 2, 2]


def test_a_list_of_numbers_with_a_hole_or_beyond_32_bits_is_bad() -> None:
    cells = convert(pa.array([[1.0, None], [1e39, 1.0], [1.0, 2.0]]), "numbers")
    assert cells.values.to_pylist() == [None, None, [1.0, 2.0]]
    assert problems(cells) == {"not_a_number": [0], "not_finite": [1]}


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["a", "b"])])
def test_categories_of_polars(tmp_path: Path, kind: Any) -> None:
    frame = pl.DataFrame({"id": pl.Series(["a", "b"], dtype=kind), "s": pl.Series(["b", None], dtype=kind)})
    store, odd = SqliteStore(tmp_path / "s.sqlite"), schema('s = "s"')
    ingest(from_tables({"items": frame}, odd), store, odd)
    rows = pa.Table.from_batches(store.scan_nodes("Item", ["s"])).sort_by("id").to_pylist()
    assert rows == [{"id": "a", "s": "b"}, {"id": "b", "s": None}]


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["x"]), pa.array(["y"])], names=["id", "s", "s"])
    parquet.write_table(table, tmp_path / "items")
    odd = schema('s = "s"')
    for reader in (from_tables({"items": table}, odd), read_tables(tmp_path, odd)):
        with pytest.raises(SourceError, match="'s' 2 times"):
            list(reader)
    assert sum(len(batch) for batch in from_tables({"items": table}, schema(""))) == 1


def test_a_member_that_comes_late(tmp_path: Path) -> None:
    (tmp_path / "items").write_text('{"id": 1}\n' * 1200 + '{"id": 2, "s": "b"}\n')
    odd, store = schema('s = "s"', "jsonl"), SqliteStore(tmp_path / "s.sqlite")
    ingest(read_tables(tmp_path, odd), store, odd)
    assert {"id": "2", "s": "b"} in pa.Table.from_batches(store.scan_nodes("Item", ["s"])).to_pylist()
    with pytest.raises(SourceError, match="expected one called 'S'"):
        read_tables(tmp_path, schema('s = "S"', "jsonl"))


def test_a_first_record_longer_than_the_sample(tmp_path: Path) -> None:
    (tmp_path / "items").write_text(f'{{"id": "{"x" * 400_000}", "s": "b"}}\n')
    source = JsonLinesSource(tmp_path / "items", "items", FileMapping(path="items", format="jsonl"))
    assert source.columns == ("id", "s")


@pytest.mark.parametrize("text", ['[{"id": 1},\n{"id": 2}]\n', '{\n "id": 1\n}\n', "id,s\n1,2\n"])
def test_what_is_not_one_object_a_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "items").write_text(text)
    with pytest.raises(SourceError, match="expected one JSON object a line"):
        read_tables(tmp_path, schema("", "jsonl"))


@pytest.mark.parametrize("encoding", ["rot13", "base64", "idna", "no-such"])
def test_codecs_that_are_no_text_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "items").write_text('{"id": 1}\n')
    source = JsonLinesSource(tmp_path / "items", "items", FileMapping(path="items", format="jsonl", encoding=encoding))
    with pytest.raises(SourceError, match="a text encoding"):
        assert source.columns


def test_kgat_lines_end_at_line_feeds_alone_and_are_utf8(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes("u1 caf\u00e9\nu2 x\u2028y\n".encode() + b"u3 caf\xe9 caf\xe8\nu4 z\n")
    text = """
format_version = 1
name = "kgat"
[nodes.User]
role = "user"
[nodes.Item]
role = "item"
[edges.VIEWED]
role = "interaction"
source = "User"
target = "Item"
[[files]]
path = "train.txt"
format = "kgat"
[[files.edges]]
type = "VIEWED"
source = "user"
target = "item"
"""
    reader = read_tables(tmp_path, GraphSchema.parse(tomllib.loads(text)), limits=QuarantineLimits(max_share=1))
    pairs = [pair for batch in reader for pair in zip(batch.sources.to_pylist(), batch.targets.to_pylist(), strict=True)]  # type: ignore[union-attr]
    assert ("u1", "caf\u00e9") in pairs
    assert ("u4", "z") in pairs
    assert {source for source, _ in pairs} == {"u1", "u2", "u4"}
    assert dict(reader.quarantine.reasons) == {"bad_encoding": 1}


@pytest.mark.parametrize("path", ["", "a**b"])
def test_globs_that_are_none(tmp_path: Path, path: str) -> None:
    odd = GraphSchema.parse(
        tomllib.loads(_SCHEMA.replace("PROPERTIES", "").replace("FORMAT", "jsonl").replace('"items"', f'"{path}"'))
    )
    with pytest.raises(SourceError, match="a file or a glob"):
        read_tables(tmp_path, odd)


def test_a_mapping_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    text = _SCHEMA.replace("PROPERTIES", "").replace("FORMAT", "jsonl")
    (tmp_path / "m.toml").write_text(text, encoding="utf-8-sig")
    assert GraphSchema.load(tmp_path / "m.toml").name == "odd"


@pytest.mark.parametrize("values", [["a", None, "bcd", ""], [[1.0], None, [], [2.0, 3.0]], [1, None, 3, 4]])
def test_a_digest_does_not_depend_on_chunks(values: list[Any]) -> None:
    whole = pa.array(values)
    digests = set()
    for column in (whole, pa.chunked_array([whole.slice(0, 1), whole.slice(1, 0), whole.slice(1)])):
        digest = new_digest("test")
        add_column(digest, column)
        digests.add(digest.hexdigest())
    assert len(digests) == 1
