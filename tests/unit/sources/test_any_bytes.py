"""Whatever a file holds, nothing is lost and nothing but our errors comes out."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.readers import HEADER, check

_CELLS = (
    r"""1 2.5 -3 nan 1e400 x true " "" "a a"b "q,r" a|b :: u [1] {} 2024-01-01 2024-01-01T00:00:00Z 1700000000 99999999999"""
)
_CELL = st.sampled_from([*_CELLS.split(" "), "", " ", "1 2", "9223372036854775808", "é", "\x00", "\ufeff", "\u2028", "\r"])
_ROW = st.lists(_CELL, min_size=7, max_size=10)


@settings(max_examples=150, deadline=None)
@given(st.lists(_ROW, max_size=8), st.integers(0, 3), st.sampled_from(["\n", "\r\n", "\n\n"]), st.binary(max_size=4))
def test_delimited_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], kind: int, end: str, tail: bytes
) -> None:
    delimiter, encoding = ((",", "utf-8"), ("::", "utf-8"), ("\t", "gb18030"), ("|", "utf-16"))[kind]
    header = HEADER["delimited"].strip().replace(",", delimiter)
    text = end.join([header, *(delimiter.join(row) for row in rows)])
    check(text.encode(encoding, "replace") + tail, kind, tmp_path_factory.getbasetemp())


@settings(max_examples=100, deadline=None)
@given(st.lists(_ROW, max_size=8), st.binary(max_size=4))
def test_recbole_rows(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], tail: bytes) -> None:
    text = HEADER["recbole"] + "".join("\t".join(row) + "\n" for row in rows)
    check(text.encode() + tail, 5, tmp_path_factory.getbasetemp())


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=2)),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("uinxbtslv"), _JSON), max_size=6), st.binary(max_size=4))
def test_json_rows(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], tail: bytes) -> None:
    text = HEADER["jsonl"] + "".join(json.dumps(row) + "\n" for row in rows)
    check(text.encode() + tail, 4, tmp_path_factory.getbasetemp())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 8))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: int) -> None:
    check(data, kind, tmp_path_factory.getbasetemp())


_TYPES = (
    pl.Int8,
    pl.UInt64,
    pl.Float32,
    pl.Boolean,
    pl.String,
    pl.Binary,
    pl.Date,
    pl.Datetime("ns"),
    pl.Duration,
    pl.Time,
    pl.Categorical,
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_typed_columns(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    series = {}
    for name in "uinxbtslv":
        kind = data.draw(
            st.sampled_from([*_TYPES, pl.List(pl.String), pl.List(pl.Float64), pl.Struct({"a": pl.Int8}), pl.Null])
        )
        values = [None, *data.draw(st.lists(st.integers(0, 100), min_size=3, max_size=3))]
        plain = pl.Series(name, values)
        if kind == pl.Null:
            series[name] = pl.Series(name, [None] * 4)
        elif isinstance(kind, pl.Struct):
            series[name] = pl.Series(name, [None if value is None else {"a": value} for value in values], dtype=kind)
        elif isinstance(kind, pl.List):
            series[name] = pl.Series(name, [None, [], ["1"], ["2", None]], dtype=pl.List(pl.String)).cast(kind)
        elif kind in (pl.String, pl.Binary, pl.Categorical):
            series[name] = plain.cast(pl.String).cast(kind)
        else:
            series[name] = plain.cast(pl.Boolean if kind == pl.Boolean else kind)
    folder = tmp_path_factory.getbasetemp()
    pl.DataFrame(series).write_parquet(folder / "typed")
    check((folder / "typed").read_bytes(), 7, folder)
