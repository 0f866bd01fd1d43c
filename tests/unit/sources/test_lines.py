"""Record boundaries, against a reader that goes character by character."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kgrecall.errors import SourceError
from kgrecall.sources import lines
from kgrecall.sources.lines import Dialect, first_record, record_blocks, split_cells


def naive_record(data: bytes, at: int, dialect: Dialect) -> int | None:
    """The end of the record that starts at ``at``, its line end included; None when its quoting is broken."""
    delimiter, quote = dialect.delimiter, dialect.quote
    while True:
        if quote and data[at : at + 1] == quote:
            at += 1
            while True:
                close = data.find(quote, at)
                if close < 0:
                    return None
                at = close + 1
                if data[at : at + 1] != quote:
                    break
                at += 1
            if at < len(data) and not data.startswith((delimiter, b"\n", b"\r"), at):
                return None
        else:
            while at < len(data) and not data.startswith((delimiter, b"\n", b"\r"), at):
                at += 1
        if data.startswith(delimiter, at):
            at += len(delimiter)
            continue
        return at + (2 if data.startswith(b"\r\n", at) else 1 if at < len(data) else 0)


def naive_records(data: bytes, dialect: Dialect) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(data):
        end = naive_record(data, at, dialect)
        kind = "broken" if end is None else "whole"
        if end is None:
            ends = [data.find(c, at) for c in (b"\n", b"\r") if data.find(c, at) >= 0]
            end = min(ends) + 1 if ends else len(data)
            end += data[end - 1 : end + 1] == b"\r\n"
        yield kind, data[at:end].rstrip(b"\r\n")
        at = end


def records_of(data: bytes, dialect: Dialect, size: int) -> list[tuple[str, bytes]]:
    chunks = [(data[i : i + size], min(1.0, (i + size) / len(data))) for i in range(0, len(data), size)]
    found: list[tuple[str, bytes]] = []
    for block in record_blocks(chunks, dialect):
        whole = iter([record for _, record in naive_records(block.data, dialect)])
        total = len(list(naive_records(block.data, dialect))) + len(block.broken)
        found += [("broken", block.broken[i]) if i in block.broken else ("whole", next(whole)) for i in range(total)]
    return found


messy = st.text(alphabet='a",\n\r:;', max_size=60).map(str.encode)


@settings(max_examples=400)
@given(data=messy, size=st.integers(1, 70), delimiter=st.sampled_from([b",", b"::"]), quote=st.sampled_from([b'"', None]))
@example(data=b'a,"b\n"', size=4, delimiter=b",", quote=b'"')
@example(data=b'"a\nb"\n1', size=3, delimiter=b",", quote=b'"')
@example(data=b'"a""b"\n"open\nnext\n', size=5, delimiter=b",", quote=b'"')
@example(data=b'\r"\n\n', size=3, delimiter=b",", quote=b'"')
@example(data=b'a\r\n"', size=2, delimiter=b",", quote=b'"')
def test_any_text_in_any_chunks_gives_the_records_of_the_grammar(
    data: bytes, size: int, delimiter: bytes, quote: bytes | None
) -> None:
    dialect = Dialect(delimiter, quote)
    assert records_of(data, dialect, size) == list(naive_records(data, dialect))


@given(data=messy, size=st.integers(1, 70))
def test_every_block_ends_where_a_record_ends(data: bytes, size: int) -> None:
    chunks = [(data[i : i + size], 0.0) for i in range(0, len(data), size)]
    blocks = [block.data for block in record_blocks(chunks, Dialect(b",", b'"')) if block.data]
    assert all(block.endswith((b"\n", b"\r")) for block in blocks[:-1])


def test_a_quote_that_never_closes_costs_its_line_and_not_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_RECORD_BYTES", 40)
    rows = b"".join(b"%d,x\n" % i for i in range(100))
    data = b'1,"open\n' + rows
    assert records_of(data, Dialect(b",", b'"'), 30) == [
        ("broken", b'1,"open'),
        *(("whole", b"%d,x" % i) for i in range(100)),
    ]


def test_a_file_without_line_ends_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_MAX_LINE_BYTES", 100)
    with pytest.raises(SourceError, match=r"a line end within 64 MiB.*check the format"):
        list(record_blocks([(b"\x00" * 60, 0.5), (b"\x00" * 60, 1.0)], Dialect(b",", None)))


@pytest.mark.parametrize(
    ("data", "cells", "rest"),
    [
        (b'\n\r\n"a ""x""",b\r\nnext', [b'a "x"', b"b"], b"next"),
        (b"a,b", [b"a", b"b"], b""),
        (b'"a"b,c\nnext', [b'"a"b', b"c"], b"next"),
        (b"", [b""], b""),
    ],
)
def test_first_record(data: bytes, cells: list[bytes], rest: bytes) -> None:
    found, end = first_record(data, Dialect(b",", b'"'))
    assert (found, data[end:]) == (cells, rest)


def test_cells_of_one_record() -> None:
    assert split_cells(b'"a,""b""",,c', Dialect(b",", b'"')) == [b'a,"b"', b"", b"c"]
    assert split_cells(b'"a"::b::', Dialect(b"::", None)) == [b'"a"', b"b", b""]
    assert split_cells(b'a,"b,c', Dialect(b",", b'"')) == [b"a", b'"b,c']
