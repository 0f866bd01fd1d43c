"""Typed tables: Parquet files, Arrow IPC files and streams, and tables that are already in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from kgrecall.errors import Shown, SourceError
from kgrecall.mapping import FileMapping
from kgrecall.sources.raw import BadRows, RawBatch, check_unique
from kgrecall.sources.streams import unreadable

_BATCH_BYTES = 16 << 20


class ParquetSource:
    """A Parquet file, read one row group's slice at a time."""

    def __init__(self, path: Path, name: str, mapping: FileMapping, wanted: Iterable[str] = ()) -> None:
        self.path, self.name, self.mapping = path, name, mapping

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._schema.names)

    @property
    def types(self) -> Mapping[str, str]:
        return _types(self._schema)

    @cached_property
    def _schema(self) -> pa.Schema:
        with _checked(self.path, "Parquet"), parquet.ParquetFile(self.path) as file:
            return file.schema_arrow

    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[RawBatch | BadRows]:
        check_unique(self.name, self.columns, columns)
        with _checked(self.path, "Parquet"), parquet.ParquetFile(self.path) as file:
            rows = min(batch_rows, max(1024, _BATCH_BYTES // _row_bytes(file.metadata)))
            batches = file.iter_batches(batch_size=rows, columns=list(columns), use_threads=False)
            yield from _numbered(batches, columns, batch_rows, file.metadata.num_rows)


class ArrowSource:
    """An Arrow IPC file (Feather 2) or stream, memory-mapped."""

    def __init__(self, path: Path, name: str, mapping: FileMapping, wanted: Iterable[str] = ()) -> None:
        self.path, self.name, self.mapping = path, name, mapping

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._schema.names)

    @property
    def types(self) -> Mapping[str, str]:
        return _types(self._schema)

    @cached_property
    def _schema(self) -> pa.Schema:
        with _checked(self.path, "Arrow"), pa.memory_map(str(self.path)) as file:
            return _ipc_reader(file).schema

    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[RawBatch | BadRows]:
        check_unique(self.name, self.columns, columns)
        with _checked(self.path, "Arrow"), pa.memory_map(str(self.path)) as file:
            reader = _ipc_reader(file)
            yield from _numbered(_ipc_batches(reader), columns, batch_rows, None)


class MemorySource:
    """A table that is already in memory.

    Args:
        table: a pyarrow Table, a pandas or polars frame, or anything else with ``__arrow_c_stream__``.
        name: what origins call it.

    Raises:
        SourceError: it is no table; when it is read, that two columns of a name that is mapped.
    """

    def __init__(self, table: object, name: str) -> None:
        self.name = name
        try:
            self._table = table if isinstance(table, pa.Table) else pa.table(table)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise SourceError(
                name, expected="a pyarrow, polars or pandas table", got=type(table).__name__, remedy=f"{error}."
            ) from error

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self._table.column_names)

    @property
    def types(self) -> Mapping[str, str]:
        return _types(self._table.schema)

    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[RawBatch | BadRows]:
        check_unique(self.name, self.columns, columns)
        batches = self._table.select(list(columns)).to_batches(max_chunksize=batch_rows)
        yield from _numbered(batches, columns, batch_rows, self._table.num_rows)


def _types(schema: pa.Schema) -> dict[str, str]:
    return {str(field.name): str(field.type) for field in schema}


def _row_bytes(metadata: parquet.FileMetaData) -> int:
    """Bytes of a row, all columns together, as the file holds them uncompressed; at least 1."""
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    return max(1, int(size // max(metadata.num_rows, 1)))


def _ipc_reader(file: pa.NativeFile) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    return pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)


def _ipc_batches(reader: pa.RecordBatchFileReader | pa.RecordBatchStreamReader) -> Iterator[pa.RecordBatch]:
    if isinstance(reader, pa.RecordBatchFileReader):
        return (reader.get_batch(i) for i in range(reader.num_record_batches))
    return iter(reader)


def _numbered(
    batches: Iterable[pa.RecordBatch], columns: Sequence[str], batch_rows: int, total: int | None
) -> Iterator[RawBatch]:
    """Slice record batches to at most ``batch_rows`` rows and number them through."""
    first = 1
    for batch in batches:
        for start in range(0, batch.num_rows, batch_rows):
            part = batch.slice(start, batch_rows)
            rows = np.arange(first, first + part.num_rows, dtype=np.int64)
            first += part.num_rows
            yield RawBatch({name: part.column(name) for name in columns}, rows, (first - 1) / total if total else 0.0)


@contextmanager
def _checked(path: Path, format_name: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise SourceError(
            str(path),
            expected=f"a complete {format_name} file",
            got=Shown(str(error).splitlines()[0] if str(error) else type(error).__name__),
            remedy="Check the format in the mapping and that the copy is complete.",
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
