"""Delimited text: CSV, TSV, and their cousins with ``::`` or ``|``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from kgrecall.errors import SourceError
from kgrecall.mapping import FileMapping
from kgrecall.sources.lines import Block, Dialect, first_record, record_blocks, split_cells, split_records
from kgrecall.sources.quarantine import Reason
from kgrecall.sources.raw import BadRows, RawBatch, check_unique, row_numbers, sliced
from kgrecall.sources.streams import is_utf8, text_chunks
from kgrecall.types import BoolArray, IntArray

DELIMITERS = (",", "\t", ";", "|", "::", " ")
"""What detection tries."""
_STAND_INS = (b"\x1f", b"\x1e", b"\x1d", b"\x1c", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"\x06")
_BOM = b"\xef\xbb\xbf"


class DelimitedSource:
    """A delimited text file; see :mod:`kgrecall.sources.lines` for the grammar.

    Blank lines are skipped (but counted in row numbers, so that a row without embedded line ends is line ``row + 1``).

    Args:
        path: the file, possibly gzip or zstd.
        name: what origins call it.
        mapping: delimiter, quote, header and encoding.
        wanted: the columns that the mapping refers to; they help to detect a delimiter that is not declared.
    """

    def __init__(self, path: Path, name: str, mapping: FileMapping, wanted: Iterable[str] = ()) -> None:
        self.path, self.name, self.mapping, self._wanted = path, name, mapping, frozenset(wanted)
        if mapping.quote is not None and (len(mapping.quote) != 1 or not mapping.quote.isascii() or mapping.quote in "\r\n"):
            raise SourceError(
                f"{name}: quote", expected="one ASCII character", got=mapping.quote, remedy='Use quote = "" for none.'
            )

    @cached_property
    def _head(self) -> bytes:
        return next((chunk for chunk, _ in text_chunks(self.path, self.mapping.encoding)), b"")

    @cached_property
    def dialect(self) -> Dialect:
        """The declared or detected delimiter, and the quote."""
        quote = None if self.mapping.quote is None else self.mapping.quote.encode()
        if self.mapping.delimiter:
            return Dialect(self.mapping.delimiter.encode(), quote)
        dialects = [Dialect(text.encode(), quote) for text in DELIMITERS]
        return max(dialects, key=lambda dialect: self._fit(dialect))

    def _fit(self, dialect: Dialect) -> tuple[int, int]:
        """How well a delimiter cuts the first line: wanted columns found, then the number of cells (a space cuts least)."""
        cells, _ = first_record(self._head, dialect)
        found = len(self._wanted.intersection(self._names(cells)))
        return found, 0 if dialect.delimiter == b" " and self.mapping.header else len(cells)

    @cached_property
    def _first(self) -> tuple[list[bytes], int]:
        return first_record(self._head, self.dialect)

    @property
    def columns(self) -> tuple[str, ...]:
        cells, _ = self._first
        if not self._head.strip(b"\r\n"):
            return ()
        return tuple(self._names(cells))

    def _names(self, cells: list[bytes]) -> list[str]:
        if self.mapping.header:
            return [self._column_name(cell.decode("utf-8", "replace").strip()) for cell in cells]
        return [f"column_{i + 1}" for i in range(len(cells))]

    def _column_name(self, cell: str) -> str:
        return cell

    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[RawBatch | BadRows]:
        check_unique(self.name, self.columns, columns)
        skip, first = (self._first[1] if self.mapping.header else 0), 1
        for block in record_blocks(_without(skip, text_chunks(self.path, self.mapping.encoding)), self.dialect):
            table, ragged = self._parse(block, columns)
            good, bad = _numbers(first, block, table.num_rows, ragged)
            first += table.num_rows + len(ragged) + len(block.broken)
            yield from bad
            yield from self._batches(block, table, good, batch_rows)

    def _parse(self, block: Block, columns: Sequence[str] | None) -> tuple[pa.Table, dict[int, bytes]]:
        """(binary columns, position among the block's unbroken records -> ragged line)."""
        data, delimiter = _single_byte(block.data, self.dialect.delimiter)
        names = [str(i) for i in range(len(self.columns))]
        keep = names if columns is None else [str(self.columns.index(column)) for column in columns]
        if is_utf8(data):
            table, ragged = self._parse_with_arrow(data, delimiter, names, keep)
        else:  # Arrow cannot hand over a ragged row that is no UTF-8
            data, ragged = _without_ragged(data, Dialect(delimiter, self.dialect.quote), len(names))
            table, _ = self._parse_with_arrow(data, delimiter, names, keep)
        return self._restored(table, delimiter), ragged

    def _parse_with_arrow(
        self, data: bytes, delimiter: bytes, names: list[str], keep: list[str]
    ) -> tuple[pa.Table, dict[int, bytes]]:
        ragged: dict[int, bytes] = {}
        if not data:
            return pa.table({name: pa.array([], pa.binary()) for name in keep}), ragged
        padded = data.startswith(_BOM)  # Arrow would drop it as a byte-order mark, but here it is text: a blank row goes first

        def skip(row: csv.InvalidRow) -> str:
            ragged[row.number - 1 - padded] = row.text.encode("utf-8")
            return "skip"

        table = csv.read_csv(
            pa.BufferReader(b"\n" + data if padded else data),
            read_options=csv.ReadOptions(use_threads=False, column_names=names, block_size=len(data) + 2),
            parse_options=csv.ParseOptions(
                delimiter=delimiter.decode(),
                quote_char=self.mapping.quote or False,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            convert_options=csv.ConvertOptions(
                include_columns=keep, column_types=dict.fromkeys(names, pa.binary()), strings_can_be_null=False
            ),
        )
        return table.slice(int(padded)), ragged

    def _restored(self, table: pa.Table, stand_in: bytes) -> pa.Table:
        """Put a delimiter of several bytes back where a quoted cell held it."""
        if stand_in == self.dialect.delimiter or self.dialect.quote is None:
            return table
        columns = [pc.replace_substring(column, stand_in, self.dialect.delimiter) for column in table.columns]
        return pa.table(dict(zip(table.column_names, columns, strict=True)))

    def _batches(self, block: Block, table: pa.Table, rows: IntArray, batch_rows: int) -> Iterator[RawBatch | BadRows]:
        names = [self.columns[int(index)] for index in table.column_names]
        columns = {name: _one_array(column) for name, column in zip(names, table.columns, strict=True)}
        odd = _all_equal(columns, [b""] * len(names))
        if odd.any():
            odd &= _all_equal(self._parse_all(block), [b""] * len(self.columns))
        if self.mapping.header:
            headers = _all_equal(columns, [name.encode() for name in names])
            if headers.any():
                headers &= _all_equal(self._parse_all(block), [name.encode() for name in self.columns])
            if headers.any():
                found = np.flatnonzero(headers)
                yield BadRows(rows[found], Reason.REPEATED_HEADER, [", ".join(names)] * len(found))
                odd |= headers
        if odd.any():
            keep = pa.array(~odd)
            columns = {name: array.filter(keep) for name, array in columns.items()}
            rows = rows[~odd]
        yield from sliced(columns, rows, batch_rows, block.share)

    def _parse_all(self, block: Block) -> dict[str, pa.Array]:
        table, _ = self._parse(block, None)
        return {name: _one_array(column) for name, column in zip(table.column_names, table.columns, strict=True)}


def _without(skip: int, chunks: Iterable[tuple[bytes, float]]) -> Iterator[tuple[bytes, float]]:
    """The stream behind its first ``skip`` bytes."""
    for chunk, share in chunks:
        yield chunk[skip:], share
        skip = max(skip - len(chunk), 0)


def _numbers(first: int, block: Block, good: int, ragged: dict[int, bytes]) -> tuple[IntArray, list[BadRows]]:
    """Row numbers of the good rows, and the rows that fell apart, of a block whose first row is number ``first``."""
    unbroken = row_numbers(first, good + len(ragged) + len(block.broken), sorted(block.broken))
    bad = []
    if block.broken:
        lines = sorted(block.broken.items())
        bad.append(BadRows(first + np.array([at for at, _ in lines], np.int64), Reason.BAD_QUOTE, [line for _, line in lines]))
    if ragged:
        lines = sorted(ragged.items())
        bad.append(BadRows(unbroken[[at for at, _ in lines]], Reason.RAGGED_ROW, [line for _, line in lines]))
    return np.delete(unbroken, sorted(ragged)) if ragged else unbroken, bad


def _without_ragged(data: bytes, dialect: Dialect, columns: int) -> tuple[bytes, dict[int, bytes]]:
    """(the records with this many cells and the blank lines, position -> ragged line)."""
    good: list[bytes] = []
    ragged: dict[int, bytes] = {}
    for position, record in enumerate(split_records(data, dialect)):
        line = record.rstrip(b"\r\n")
        if line and len(split_cells(line, dialect)) != columns:
            ragged[position] = line
        else:
            good.append(line + b"\n")
    return b"".join(good), ragged


def _single_byte(data: bytes, delimiter: bytes) -> tuple[bytes, bytes]:
    """The data with a delimiter of one byte, which is all that Arrow's parser takes.

    Raises:
        SourceError: the data uses all the control characters that could stand in.
    """
    if len(delimiter) == 1:
        return data, delimiter
    stand_in = next((byte for byte in _STAND_INS if byte not in data), None)
    if stand_in is None:
        raise SourceError(
            "delimiter",
            expected="text without control characters around a delimiter of several bytes",
            got=delimiter.decode(),
            remedy="Export the file with a delimiter of one character.",
        )
    return data.replace(delimiter, stand_in), stand_in


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _all_equal(columns: dict[str, pa.Array], texts: list[bytes]) -> BoolArray:
    """bool (n,): rows in which every column holds its text."""
    result: BoolArray | None = None
    for array, text in zip(columns.values(), texts, strict=True):
        if result is None or result.any():
            same: BoolArray = pc.equal(array, pa.scalar(text, pa.binary())).to_numpy(zero_copy_only=False)
            result = same if result is None else result & same
    return np.zeros(0, np.bool_) if result is None else result
