"""Delimited files of any shape: what was written is what is read, with its row number."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.errors import SourceError
from kgrecall.mapping import FileMapping
from kgrecall.sources import streams
from kgrecall.sources.delimited import DelimitedSource
from kgrecall.sources.quarantine import Reason
from kgrecall.sources.raw import BadRows

_UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def read(path: Path, wanted: Iterable[str] = (), batch_rows: int = 1000, **mapping: Any) -> tuple[list[Any], list[Any]]:
    """([(row, cells)], [(row, reason, value)]) of a file."""
    source = DelimitedSource(path, path.name, FileMapping(path=path.name, **mapping), wanted)
    good: list[Any] = []
    bad: list[Any] = []
    for batch in source.read(tuple(wanted) or source.columns, batch_rows):
        if isinstance(batch, BadRows):
            bad += [(int(row), batch.reason, value) for row, value in zip(batch.rows, batch.values, strict=True)]
        else:
            columns = [[cell.decode("utf-8") for cell in array.to_pylist()] for array in batch.columns.values()]
            good += list(zip(batch.rows.tolist(), zip(*columns, strict=True), strict=True))
            assert len(batch) <= batch_rows
    return good, bad


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("delimited")


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(_UNICODE.filter(bool), _UNICODE, _UNICODE), max_size=8),
    delimiter=st.sampled_from([",", "\t", ";", "|", "::", "§"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    packed=st.sampled_from(["", "gzip", "zstd"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"]),
    chunk=st.integers(32, 200),
)
def test_any_unicode_comes_back(
    folder: Path,
    rows: list[tuple[str, str, str]],
    delimiter: str,
    line_end: str,
    packed: str,
    encoding: str,
    chunk: int,
) -> None:
    quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in rows]
    text = "".join(delimiter.join(row) + line_end for row in [("a", "b", "c"), *quoted])
    data = text.encode(encoding)
    if packed:
        data = gzip.compress(data) if packed == "gzip" else pa.compress(data, codec="zstd", asbytes=True)
    path = folder / "any.csv"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK_BYTES", chunk)
        declared = None if encoding in ("utf-8", "utf-8-sig", "utf-16") else encoding
        good, bad = read(path, delimiter=delimiter, encoding=declared)
    assert bad == []
    assert good == [(i + 1, row) for i, row in enumerate(rows)]


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 9).map(str), _UNICODE), max_size=8))
def test_what_the_csv_module_writes_comes_back(folder: Path, rows: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([("a", "b"), *rows])
    path = folder / "module.csv"
    path.write_bytes(text.getvalue().encode())
    good, bad = read(path, ("a", "b"))
    assert (good, bad) == ([(i + 1, row) for i, row in enumerate(rows)], [])


def test_dirty_rows_keep_their_numbers_and_their_text(tmp_path: Path) -> None:
    path = tmp_path / "dirty.csv"
    path.write_bytes(
        b"\xef\xbb\xbfa,b\r\n"
        b"1,fine\r\n"
        b"\r\n"
        b"3\r\n"
        b"4,x,y\r\n"
        b'5,"two\r\nlines ""quoted"""\r\n'
        b'6,"open\r\n'
        b'7,"closed"too early\r\n'
        b"a,b\r\n"
        b",\r\n"
        b'10,5" disk\r\n'
        b"11,\xef\xbb\xbfmark"
    )
    good, bad = read(path)
    assert good == [
        (1, ("1", "fine")),
        (5, ("5", 'two\r\nlines "quoted"')),
        (10, ("10", '5" disk')),
        (11, ("11", "\ufeffmark")),
    ]
    assert sorted(bad) == [
        (3, Reason.RAGGED_ROW, b"3"),
        (4, Reason.RAGGED_ROW, b"4,x,y"),
        (6, Reason.BAD_QUOTE, b'6,"open'),
        (7, Reason.BAD_QUOTE, b'7,"closed"too early'),
        (8, Reason.REPEATED_HEADER, "a, b"),
    ]


def test_a_row_whose_read_cells_are_called_like_their_columns_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "words.csv"
    path.write_text("word,count\nfoo,1\nword,5\nword,count\n")
    assert read(path, ("word",)) == ([(1, ("foo",)), (2, ("word",))], [(3, Reason.REPEATED_HEADER, "word")])


@pytest.mark.parametrize("chunk", [8, 17, 64, 1000])
def test_numbers_do_not_depend_on_how_the_file_is_cut(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", chunk)
    path = tmp_path / "x.csv"
    lines = ["a,b", *(f"{i},x" if i % 3 else f'{i},"x' if i % 2 else f"{i}" for i in range(1, 40))]
    path.write_text("\n".join(lines))
    good, bad = read(path)
    assert [row for row, _ in good] == [i for i in range(1, 40) if i % 3]
    assert all(cells == (str(row), "x") for row, cells in good)
    assert {row: value for row, _, value in bad} == {i: lines[i].encode() for i in range(3, 40, 3)}


def test_a_row_that_begins_with_a_byte_order_mark_in_the_middle_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a,b\n\xef\xbb\xbf1,2\n\xef\xbb\xbf\n")
    good, bad = read(path)
    assert good == [(1, ("\ufeff1", "2"))]
    assert bad == [(2, Reason.RAGGED_ROW, b"\xef\xbb\xbf")]


def test_a_ragged_row_that_is_no_text_either(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b\n1,2\n\n"x\ny",\xff,3\n4,\xff\n5')
    source = DelimitedSource(path, "x", FileMapping(path="x"))
    batches = list(source.read(("a", "b"), 10))
    bad = {
        int(row): (b.reason, value)
        for b in batches
        if isinstance(b, BadRows)
        for row, value in zip(b.rows, b.values, strict=True)
    }
    assert bad == {3: (Reason.RAGGED_ROW, b'"x\ny",\xff,3'), 5: (Reason.RAGGED_ROW, b"5")}
    good = {tuple(b.rows.tolist()): [a.to_pylist() for a in b.columns.values()] for b in batches if not isinstance(b, BadRows)}
    assert good == {(1, 4): [[b"1", b"4"], [b"2", b"\xff"]]}


def test_files_without_header(tmp_path: Path) -> None:
    path = tmp_path / "x.dat"
    path.write_text("1::Toy::Story\n2::a::b\n")
    assert read(path, header=False, delimiter="::")[0] == [(1, ("1", "Toy", "Story")), (2, ("2", "a", "b"))]
    path.write_text("")
    assert read(path, header=False) == ([], [])


@pytest.mark.parametrize(
    ("line", "wanted", "delimiter"),
    [
        ("user,item", (), ","),
        ("user;item,rating", ("user",), ";"),
        ("user\titem", (), "\t"),
        ("user|item", ("item",), "|"),
        ("user::item", (), "::"),
        ("user item", ("item",), " "),
        ("one column", (), ","),
        ('"a;b",c', (), ","),
    ],
)
def test_the_delimiter_is_found(tmp_path: Path, line: str, wanted: tuple[str, ...], delimiter: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(line + "\n")
    assert DelimitedSource(path, "x", FileMapping(path="x"), wanted).dialect.delimiter.decode() == delimiter


def test_bytes_outside_the_declared_encoding_stay_visible(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("a;b\né;\x81\n".encode("latin-1"))
    source = DelimitedSource(path, "x", FileMapping(path="x", encoding="cp1252"))
    (batch,) = source.read(("a", "b"), 10)
    assert not isinstance(batch, BadRows)
    assert batch.columns["a"].to_pylist() == ["é".encode()]
    with pytest.raises(UnicodeDecodeError):
        batch.columns["b"].to_pylist()[0].decode()


@pytest.mark.parametrize(
    ("name", "content", "mapping", "message"),
    [
        ("x.csv", b"a,b\n", {"encoding": "utf-9"}, "expected a text encoding, got 'utf-9'. Did you mean 'utf-8'"),
        ("x.csv", b"a,b\n", {"quote": "''"}, "expected one ASCII character"),
        ("x.csv.gz", gzip.compress(b"a,b\n" * 10_000, mtime=0)[:-9], {}, "Truncated compressed stream"),
        ("x.csv.zst", b"\x28\xb5\x2f\xfdgarbage", {}, "expected a readable file"),
        ("x.csv", b"a::b\n\x01\x02\x03\x04\x05\x06\x1c\x1d\x1e\x1f\n", {"delimiter": "::"}, "without control characters"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, mapping: dict[str, Any], message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read(tmp_path / name, **mapping)


def test_a_file_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected a readable file, got 'No such file or directory'"):
        read(tmp_path / "x.csv")
