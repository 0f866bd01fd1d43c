"""What kind of file is this? Format, encoding, delimiter, quote and header, told from its first bytes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from kgrecall.errors import SourceError
from kgrecall.mapping import FileMapping
from kgrecall.sources.delimited import DELIMITERS
from kgrecall.sources.jsonl import parsed_object
from kgrecall.sources.lines import Dialect, split_cells
from kgrecall.sources.raw import BadRows, RawBatch, TableSource
from kgrecall.sources.reader import open_source
from kgrecall.sources.recbole import TYPES
from kgrecall.sources.streams import text_chunks

SAMPLE_ROWS = 50_000
_HEAD_BYTES = 1 << 18
_LINES = 300
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
_NAME = re.compile(r"[^\W\d][\w .:/()#-]{0,60}")
_DELIMITED = re.compile(r"[\t,;|]|::")
_SCRIPTS = (
    ("shift_jis", re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\u3000-\u303f]{2,}"), 0.9),
    ("euc-kr", re.compile(r"[\uac00-\ud7a3]{2,}"), 0.9),
    ("gb18030", re.compile(r"[\u4e00-\u9fff\u3000-\u303f\uff00-\uffef]{2,}"), 0.7),
    ("cp1251", re.compile(r"[\u0400-\u04ff]{3,}"), 0.7),
)
"""Encodings that hide behind each other: told apart by how much of their foreign text is words of their script."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The first rows of one file, read as ``mapping`` says.

    ``columns`` name -> raw cells (n,); ``bad`` rows that fell apart among the first n; ``whole``: this is all of the file.
    """

    name: str
    mapping: FileMapping
    columns: dict[str, pa.Array]
    bad: int
    whole: bool
    doubts: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0


def take_sample(path: Path, name: str) -> Sample | str:
    """Sniff a file and read its beginning; a phrase when it is not a table that can be read."""
    try:
        return _sniff(path, name)
    except SourceError as error:
        return f"it cannot be read: {error}"


def has_columns(path: Path, sample: Sample) -> bool:
    """Whether another file, read like the one of the sample, has its columns."""
    try:
        return set(sample.columns) <= set(open_source(path, path.name, sample.mapping, sample.columns).columns)
    except SourceError:
        return False


def _sniff(path: Path, name: str) -> Sample | str:
    head, _ = next(text_chunks(path, None, _HEAD_BYTES), (b"", 0.0))
    for magic, binary in ((b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"\xff\xff\xff\xff", "arrow")):
        if head.startswith(magic):
            return _read(path, FileMapping.model_validate({"path": name, "format": binary}))
    if not head.strip():
        return "empty"
    encoding, doubts = _encoding(head)
    if encoding is not None:
        head, _ = next(text_chunks(path, encoding, _HEAD_BYTES))
    text = head.decode("utf-8", "replace")
    if _looks_binary(text):
        return "not text"
    lines = text.splitlines()[:_LINES]
    guess = _guess(name, lines[:-1] if len(lines) > 1 and len(head) >= _HEAD_BYTES else lines)
    if isinstance(guess, str):
        return guess
    guess = guess.model_copy(update={"encoding": encoding})
    if guess.format == "delimited" and '"' in text:
        return _quoted_or_not(path, guess, text, doubts)
    return _read(path, guess, doubts)


def _quoted_or_not(path: Path, guess: FileMapping, text: str, doubts: tuple[str, ...]) -> Sample:
    """With quotes unless they break more rows than there are cells that are quoted as they should be."""
    quoted = _read(path, guess, doubts)
    if not quoted.bad:
        return quoted
    plain = _read(path, guess.model_copy(update={"quote": None}), doubts)
    edge = re.escape(guess.delimiter or ",")
    cells = re.findall(rf'(?:^|{edge})"(?:[^"\n]|"")*"(?={edge}|\r?$)', text, re.MULTILINE)
    return quoted if len(cells) > quoted.bad - plain.bad else plain


def _looks_binary(text: str) -> bool:
    odd = sum(not character.isprintable() and character not in "\n\r\t" for character in text[:20_000])
    return odd > 0.05 * min(len(text), 20_000)


def _encoding(head: bytes) -> tuple[str | None, tuple[str, ...]]:
    """None when the bytes are UTF-8 (or say themselves what they are), else a guess and a sentence about it."""
    cut = head[: head.rfind(b"\n") + 1] or head[:-4] or head
    for half, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = head[half::2].count(0)
        if zeros > 0.3 * len(head) / 2 and head.count(0) < 1.1 * zeros:
            return name, (f"no byte-order mark, but it looks like {name}",)
    if _decoded(cut, "utf-8") is not None:
        return None, ()
    for name, words, least in _SCRIPTS:
        text = _decoded(cut, name)
        foreign = sum(not character.isascii() for character in text or "")
        if text and foreign and sum(map(len, words.findall(text))) >= least * foreign:
            return name, (f"not UTF-8; {name} assumed from its letters",)
    name = "cp1252" if _decoded(cut, "cp1252") is not None else "latin-1"
    return name, (f"not UTF-8; {name} assumed: check a word with accents",)


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _guess(name: str, lines: list[str]) -> FileMapping | str:
    """Format, delimiter and header of a text; a phrase when it is no table."""
    filled = [line for line in lines if line.strip()]
    first = filled[0]
    if first.lstrip().startswith(("{", "[")):
        objects = [parsed_object(line.encode()) for line in filled[:50]]
        whole = all(found is not None for found in objects) and (len(filled) > 1 or len(objects[0] or ()) < 50)
        return FileMapping(path=name, format="jsonl") if whole else "one JSON document: write one object a line to read it"
    if all(cell.rpartition(":")[2] in TYPES for cell in first.split("\t")):
        return FileMapping(path=name, format="recbole", quote=None)
    if {"org_id", "remap_id"} <= set(first.split()) or (len(filled) == len(lines) and _is_sequences(filled)):
        return FileMapping(path=name, format="kgat")
    delimiter, columns = _delimiter(filled)
    if delimiter is None and columns and (records := _records(filled)):
        filled, (delimiter, columns) = records, _delimiter(records)
    if delimiter is None:
        return "its lines have no common number of cells" if columns else "a single column"
    table = [split_cells(line.encode(), Dialect(delimiter.encode(), b'"')) for line in filled]
    rows = [[cell.decode() for cell in row] for row in table if len(row) == columns]
    return FileMapping(path=name, delimiter=delimiter, header=_has_header(rows))


def _records(lines: list[str]) -> list[str]:
    """Lines joined by a space where a quoted cell goes on in the next one; what is still open at the end is left out."""
    records: list[str] = []
    open_ones: list[str] = []
    for line in lines:
        open_ones.append(line)
        if sum(part.count('"') for part in open_ones) % 2 == 0:
            records.append(" ".join(open_ones))
            open_ones = []
    return records


def _is_sequences(lines: list[str]) -> bool:
    """``user item item ...``: lines of differing length whose words are ids, each with another first word."""
    words = [line.split() for line in lines]
    lengths = {len(row) for row in words}
    ids = [word for row in words[:100] for word in row]
    numbered = sum(any(map(str.isdigit, word)) for word in ids)
    distinct = len({row[0] for row in words}) == len(words)
    return len(lengths) > 1 and distinct and numbered > 0.9 * len(ids) and not any(_DELIMITED.search(line) for line in lines)


def _delimiter(lines: list[str]) -> tuple[str | None, int]:
    """(the delimiter that cuts most lines into the same number of cells, that number); (None, 1) for a single column."""
    best: tuple[float, int, str | None] = (0.0, 1, None)
    ragged = False
    for delimiter in DELIMITERS:
        counts = Counter(len(split_cells(line.encode(), Dialect(delimiter.encode(), b'"'))) for line in lines)
        cells, often = counts.most_common(1)[0]
        share = often / len(lines)
        ragged |= len(counts) > 1
        if cells > 1 and share >= (0.98 if delimiter == " " else 0.7) and (delimiter != " " or best[2] is None):
            best = max(best, (round(share, 1), cells, delimiter), key=lambda found: found[:2])
    if best[2] is None:
        return None, int(ragged)
    return best[2], best[1]


def _has_header(rows: list[list[str]]) -> bool:
    """The first row is names when it holds no number and reads like names, or differs in kind from what is below."""
    first, below = rows[0], [row for row in rows if row != rows[0]]
    if not below or any(_NUMBER.fullmatch(cell) for cell in first) or len(set(first)) < len(first):
        return False
    for i in range(len(first)):
        if sum(_NUMBER.fullmatch(row[i]) is not None for row in below) >= 0.8 * len(below):
            return True
    return all(_NAME.fullmatch(cell) for cell in first) and not any(
        first[i] in {row[i] for row in below} for i in range(len(first))
    )


def _read(path: Path, mapping: FileMapping, doubts: tuple[str, ...] = ()) -> Sample:
    """The first rows; columns that hold objects are left out."""
    source = open_source(path, mapping.path, mapping)
    names = tuple(dict.fromkeys(source.columns))
    while True:
        parts, bad, whole = _first_rows(source, names)
        nested = {found.column for found in bad if found.column}
        if not nested:
            break
        names = tuple(name for name in names if name not in nested)
        doubts += (f"{', '.join(sorted(nested))} hold objects and are left out",)
    columns = {name: _joined([part.columns[name] for part in parts]) for name in names}
    return Sample(mapping.path, mapping, columns, sum(len(found.rows) for found in bad), whole, doubts)


def _first_rows(source: TableSource, names: tuple[str, ...]) -> tuple[list[RawBatch], list[BadRows], bool]:
    parts: list[RawBatch] = []
    bad: list[BadRows] = []
    for batch in source.read(names, SAMPLE_ROWS):
        if isinstance(batch, BadRows):
            bad.append(batch)
            continue
        parts.append(batch)
        if sum(map(len, parts)) >= SAMPLE_ROWS:
            return parts, bad, False
    return parts, bad, True


def _joined(arrays: list[pa.Array]) -> pa.Array:
    """One array of cells; lists where any part has lists."""
    if not arrays:
        return pa.nulls(0, pa.string())
    kinds = {array.type for array in arrays}
    if len(kinds) > 1:
        return pa.array([cell for array in arrays for cell in array.to_pylist()])
    return pa.concat_arrays(arrays)
