"""Files and a schema in, batches of validated nodes and edges out."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kgrecall.errors import SchemaError, Shown, SourceError, nearest
from kgrecall.mapping import FileFormat, FileMapping, NodeMapping
from kgrecall.schema import GraphSchema
from kgrecall.sources.columnar import ArrowSource, MemorySource, ParquetSource
from kgrecall.sources.delimited import DelimitedSource
from kgrecall.sources.drift import Drift, Layout
from kgrecall.sources.jsonl import JsonLinesSource
from kgrecall.sources.kgat import KgatSource
from kgrecall.sources.plan import PlannedFile, RecordMapping, columns_of, passes, plan_file, wanted
from kgrecall.sources.quarantine import Quarantine, QuarantineLimits
from kgrecall.sources.raw import BadRows, RawBatch, TableSource, TypedSource
from kgrecall.sources.recbole import RecBoleSource
from kgrecall.sources.records import JUDGED_ROWS, RecordBuilder
from kgrecall.sources.tables import Batch
from kgrecall.types import Progress, no_progress

_OPENERS: Mapping[FileFormat, Callable[[Path, str, FileMapping, Iterable[str]], TableSource]] = {
    "delimited": DelimitedSource,
    "recbole": RecBoleSource,
    "kgat": KgatSource,
    "jsonl": JsonLinesSource,
    "parquet": ParquetSource,
    "arrow": ArrowSource,
}
BATCH_ROWS = 262_144


class TableReader:
    """Yields the nodes and edges of all files, in the order of the mapping, a file's nodes before its edges.

    Made by :func:`read_tables` and :func:`from_tables`. It can be iterated once; afterwards the quarantine is published.

    Raises (while iterating):
        SourceError: a file broke off, or it was iterated before.
        TooManyBadRows: the quarantine reached a limit.
    """

    def __init__(
        self,
        files: Sequence[PlannedFile],
        schema: GraphSchema,
        quarantine: Quarantine,
        *,
        batch_rows: int = BATCH_ROWS,
        progress: Progress = no_progress,
    ) -> None:
        self.schema = schema
        self.quarantine = quarantine
        self.rows_read: Counter[str] = Counter()
        """Rows per file, the bad ones included; a row of a KGAT file is one pair or triple."""
        self.records_read: Counter[str] = Counter()
        """Nodes and edges asked for, per label and relation, the quarantined ones included."""
        self.duplicates: Counter[str] = Counter()
        """Repeated rows that were left out, per KGAT file; they are in none of the other counts."""
        self.lost = tuple(dict.fromkeys(sentence for file in files for sentence in file.lost))
        """What the mapping names and the files no longer have, in sentences; only with ``drift="accept"``."""
        self._files, self._batch_rows, self._progress = tuple(files), batch_rows, progress
        self._started = False

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that are read, in order."""
        return tuple(file.source.name for file in self._files)

    @property
    def unmapped(self) -> dict[str, tuple[str, ...]]:
        """File -> columns that it has and the mapping does not mention."""
        return {file.source.name: file.unmapped for file in self._files if file.unmapped}

    @property
    def layout(self) -> Layout:
        """The columns of each path, which a later import is compared with."""
        return _layout(self._files)

    @property
    def state(self) -> str | None:
        """Which files these are, and when they were written last: hexadecimal; None where a table is no file."""
        paths = [getattr(file.source, "path", None) for file in self._files]
        told = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths if isinstance(path, Path)]
        return hashlib.sha256(repr(told).encode()).hexdigest() if len(told) == len(paths) else None

    def __iter__(self) -> Iterator[Batch]:
        if self._started:
            raise SourceError(
                "TableReader", expected="one iteration", got=Shown("a second one"), remedy="Call read_tables again."
            )
        self._started = True
        try:
            for file in self._files:
                yield from self._read(file)
        finally:
            self.quarantine.close()

    def _read(self, file: PlannedFile) -> Iterator[Batch]:
        source = file.source
        lists = source.list_columns if isinstance(source, RecBoleSource) else frozenset[str]()
        builder = RecordBuilder(source.name, file.mapping, self.schema, self.quarantine, lists)
        before = self.records_read.copy()
        for number, mappings in enumerate(passes(file.mapping, self.schema)):
            for batch in _judged(source.read(columns_of(mappings), self._batch_rows), builder, mappings):
                if number == 0:
                    self._count_rows(source.name, batch)
                for mapping in mappings:
                    yield from _records(builder, batch, mapping)
                    self.records_read = before + builder.records_read
                self.quarantine.check_share(self.records_read.total())
        if isinstance(source, KgatSource) and source.duplicates:
            self.duplicates[source.name] = source.duplicates

    def _count_rows(self, name: str, batch: RawBatch | BadRows) -> None:
        self.rows_read[name] += len(batch.rows)
        done = self.rows_read[name]
        if isinstance(batch, RawBatch):
            self._progress(f"read {name}", done, round(done / batch.share) if batch.share else None)


def read_tables(
    folder: str | Path,
    schema: GraphSchema,
    *,
    quarantine: str | Path | None = None,
    limits: QuarantineLimits | None = None,
    drift: Drift = "extend",
    batch_rows: int = BATCH_ROWS,
    progress: Progress = no_progress,
) -> TableReader:
    """Open the files of a mapping. All of them are looked at first, so that a wrong mapping fails before anything is read.

    Args:
        folder: what the paths of the mapping are relative to.
        schema: with at least one ``[[files]]``.
        quarantine: JSON-lines file for bad records; None counts them only.
        limits: how much may be bad.
        drift: with "accept" a property whose column is gone is left as it is; otherwise that is an error.
        batch_rows: rows per batch, which bounds the memory.
        progress: called with the rows read of each file and an estimate of their number.

    Raises:
        SourceError: a file or a mapped column is missing, or a file is not what the mapping says.
        SchemaError: the mapping has no files.
        ConfigError: ``quarantine`` exists and is something else.
    """
    folder = Path(folder)
    files = [
        plan_file(open_source(path, _name(path, folder), mapping, wanted(mapping)), mapping, schema, drift)
        for mapping in _files_of(schema)
        for path in _paths(folder, mapping)
    ]
    return TableReader(files, schema, Quarantine(quarantine, limits), batch_rows=batch_rows, progress=progress)


def from_tables(
    tables: Mapping[str, object],
    schema: GraphSchema,
    *,
    quarantine: str | Path | None = None,
    limits: QuarantineLimits | None = None,
    drift: Drift = "extend",
    batch_rows: int = BATCH_ROWS,
    progress: Progress = no_progress,
) -> TableReader:
    """As :func:`read_tables`, from pyarrow, polars or pandas tables: ``tables[path]`` takes the place of the file ``path``.

    Raises:
        SourceError: a table or a mapped column is missing, or something is no table.
        SchemaError: the mapping has no files.
    """
    files = []
    for mapping in _files_of(schema):
        if mapping.path in tables:
            files.append(plan_file(MemorySource(tables[mapping.path], mapping.path), mapping, schema, drift))
        elif not mapping.optional:
            raise SourceError(
                "tables", expected=f"one called {mapping.path!r}", got=list(tables), remedy=nearest(mapping.path, tables)
            )
    return TableReader(files, schema, Quarantine(quarantine, limits), batch_rows=batch_rows, progress=progress)


def open_source(path: Path, name: str, mapping: FileMapping, wanted: Iterable[str] = ()) -> TableSource:
    """The reader of one file, by the format of its mapping.

    Args:
        path: the file.
        name: what origins and reports call it.
        mapping: format and dialect.
        wanted: columns that will be asked for; they help where a file does not say what it is.
    """
    return _OPENERS[mapping.format](path, name, mapping, wanted)


def _files_of(schema: GraphSchema) -> tuple[FileMapping, ...]:
    if not schema.files:
        raise SchemaError(
            f"schema {schema.name!r}",
            expected="at least one [[files]]",
            got=Shown("none"),
            remedy="Say which files hold the data.",
        )
    return schema.files


def _paths(folder: Path, mapping: FileMapping) -> list[Path]:
    """The file, or the parts that match the glob, sorted by name."""
    literal = folder / mapping.path
    if literal.is_file():
        return [literal]
    try:
        parts = sorted(path for path in folder.glob(mapping.path) if path.is_file())
    except (ValueError, NotImplementedError) as error:
        raise SourceError(
            "path", expected="a file or a glob such as events/*.csv", got=mapping.path, remedy=f"{error}."
        ) from error
    if parts or mapping.optional:
        return parts
    there = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    raise SourceError(
        str(literal),
        expected="a file" if folder.is_dir() else "a file in an existing folder",
        got=Shown("nothing there"),
        remedy=nearest(mapping.path, there) if there else f"Check the folder {str(folder)!r}.",
    )


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _layout(files: Iterable[PlannedFile]) -> Layout:
    """The columns of all files of a path together; the first of its parts decides on the type."""
    layout: dict[str, dict[str, str]] = {}
    for file in files:
        types = file.source.types if isinstance(file.source, TypedSource) else {}
        columns = {name: types.get(name, "text") for name in file.source.columns}
        layout[file.mapping.path] = columns | layout.get(file.mapping.path, {})
    return layout


def _judged(
    batches: Iterator[RawBatch | BadRows], builder: RecordBuilder, mappings: Sequence[RecordMapping]
) -> Iterator[RawBatch | BadRows]:
    """The same batches; the builder sees the first rows of the file before any of them, however they are cut."""
    head: deque[RawBatch | BadRows] = deque()
    rows = 0
    for batch in batches:
        head.append(batch)
        rows += len(batch.rows)
        if rows >= JUDGED_ROWS:
            break
    builder.judge([batch for batch in head if isinstance(batch, RawBatch)], mappings)
    while head:
        yield head.popleft()
    yield from batches


def _records(builder: RecordBuilder, batch: RawBatch | BadRows, mapping: RecordMapping) -> Iterator[Batch]:
    record = mapping.label if isinstance(mapping, NodeMapping) else mapping.type
    if isinstance(batch, BadRows):
        builder.lost(batch, record)
        return
    made: Batch = builder.nodes(batch, mapping) if isinstance(mapping, NodeMapping) else builder.edges(batch, mapping)
    if len(made):
        yield made
