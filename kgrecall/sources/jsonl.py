"""JSON lines: one object a line."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa

from kgrecall.errors import Shown, SourceError
from kgrecall.mapping import FileMapping
from kgrecall.sources.lines import Dialect, record_blocks
from kgrecall.sources.quarantine import Reason
from kgrecall.sources.raw import BadRows, RawBatch, sliced
from kgrecall.sources.streams import CHUNK_BYTES, text_chunks
from kgrecall.types import IntArray

_NO_DIALECT = Dialect(b",", None)
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
"""Numbers keep their digits: ``12345678901234567890`` and ``1.10`` may be ids."""
_SAMPLE_BYTES, _LONGEST, _LONGEST_NAME = 1 << 18, 1 << 26, 1 << 10
_Cell = str | list[str | None] | dict[str, Any] | None


class JsonLinesSource:
    """A file of JSON objects, possibly gzip or zstd; absent and null members are the same, blank lines are skipped.

    Scalars become text as they are written (``true``, ``1.10``), arrays of scalars become lists; an object, or a list in a
    list, makes a bad cell of its column. Members of objects are reached with a dot: ``omdb.Plot``.

    Args:
        path: the file.
        name: what origins call it.
        mapping: encoding.
    """

    def __init__(self, path: Path, name: str, mapping: FileMapping, wanted: Iterable[str] = ()) -> None:
        self.path, self.name, self.mapping, self._wanted = path, name, mapping, tuple(wanted)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The members seen at the beginning, nested ones with a dot, and those asked for that come later.

        Raises:
            SourceError: no line is an object.
        """
        names: dict[str, None] = {}
        objects = [parsed_object(line) for line in self._first_lines]
        for found in objects:
            names.update(dict.fromkeys(_member_names(found or {})))
        if objects and all(found is None for found in objects):
            raise SourceError(
                self.name,
                expected="one JSON object a line",
                got=Shown(repr(self._first_lines[0][:60].decode("utf-8", "replace"))),
                remedy="Write each record on a line of its own, for example by: jq -c '.[]'.",
            )
        return (*names, *self._met_later([name for name in self._wanted if name not in names]))

    @cached_property
    def _first_lines(self) -> list[bytes]:
        """Those of the first 256 KiB that hold anything; the first record, however long it is."""
        head = b""
        for chunk, _ in text_chunks(self.path, self.mapping.encoding, _SAMPLE_BYTES):
            head += chunk
            if b"\n" in head or len(head) > _LONGEST:
                break
        lines = [line for line in head.split(b"\n")[:1000] if line.strip()]
        return lines[:-1] if len(lines) > 1 and not head.endswith(b"\n") else lines

    def _met_later(self, names: Sequence[str]) -> list[str]:
        """Which of these members occur anywhere in the file: absent and null are the same, but a wrong name is a mistake."""
        missing = {name: f'"{name.rpartition(".")[2]}"'.encode() for name in names}
        before, found = b"", set[str]()
        for chunk, _ in text_chunks(self.path, self.mapping.encoding, CHUNK_BYTES // 4) if missing else ():
            text = before + chunk
            found |= {name for name, quoted in missing.items() if quoted in text}
            before = chunk[-_LONGEST_NAME:]
            if len(found) == len(missing):
                break
        return [name for name in names if name in found]

    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[RawBatch | BadRows]:
        first = 1
        for block in record_blocks(text_chunks(self.path, self.mapping.encoding, CHUNK_BYTES // 4), _NO_DIALECT):
            lines = block.data.removesuffix(b"\n").split(b"\n")
            rows = np.arange(first, first + len(lines), dtype=np.int64)
            first += len(lines)
            objects = _allparsed_object(lines)
            bad = [i for i, parsed in enumerate(objects) if parsed is None and lines[i].strip()]
            if bad:
                yield BadRows(rows[bad], Reason.BAD_JSON, [lines[i] for i in bad])
            good = [parsed for parsed in objects if parsed is not None]
            there = np.array([parsed is not None for parsed in objects], np.bool_)
            yield from _batches({name: _members(good, name) for name in columns}, rows[there], batch_rows, block.share)


def _batches(cells: dict[str, list[_Cell]], rows: IntArray, batch_rows: int, share: float) -> Iterator[RawBatch | BadRows]:
    """Set rows aside where a cell is an object or a list in a list; build arrays of the others."""
    nested: dict[int, str] = {}
    for name, column in cells.items():
        nested.update({i: name for i, cell in enumerate(column) if isinstance(cell, dict)})
    for i, name in nested.items():
        yield BadRows(rows[[i]], Reason.NOT_A_SCALAR, [json.dumps(cells[name][i])], name)
    if nested:
        cells = {name: [cell for i, cell in enumerate(column) if i not in nested] for name, column in cells.items()}
        rows = np.delete(rows, list(nested))
    yield from sliced({name: _array(column) for name, column in cells.items()}, rows, batch_rows, share)


def _allparsed_object(lines: list[bytes]) -> list[dict[str, Any] | None]:
    """The object of every line. One call for all of them is three times as fast; a number that no line can know stands
    between them, so that it is noticed when lines only make sense together."""
    fence = str(secrets.randbits(62))
    try:
        text = b"[" + f",{fence},".encode().join(line or b"null" for line in lines) + b"]"
        values = _DECODER.decode(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return [parsed_object(line) for line in lines]
    objects = values[0::2]
    if len(objects) != len(lines) or any(value != fence for value in values[1::2]):
        return [parsed_object(line) for line in lines]
    return [value if isinstance(value, dict) else None for value in objects]


def parsed_object(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None when it is not one."""
    try:
        value = _DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _member_names(members: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in members.items():
        if isinstance(value, dict):
            yield from _member_names(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _members(objects: list[dict[str, Any]], name: str) -> list[_Cell]:
    """The text, the list of texts, or (unusable) the nested object under a name, which may be a dotted path."""
    values = [members.get(name) for members in objects]
    if "." in name:
        values = [_nested(members, name) if value is None else value for members, value in zip(objects, values, strict=True)]
    if set(map(type, values)) <= {str, NoneType}:
        return values
    return [_cell(value) for value in values]


def _nested(members: dict[str, Any], path: str) -> Any:
    value: Any = members
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _cell(value: Any) -> _Cell:
    if isinstance(value, list):
        return {"list": value} if any(isinstance(part, (dict, list)) for part in value) else [_text(part) for part in value]
    return value if isinstance(value, dict) else _text(value)


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def _array(cells: list[_Cell]) -> pa.Array:
    """A string array, or list<string> as soon as one cell is a list."""
    lists = any(isinstance(cell, list) for cell in cells)
    values = [cell if isinstance(cell, list) or cell is None else [cell] for cell in cells] if lists else cells
    try:
        return pa.array(values, pa.list_(pa.string()) if lists else pa.string())
    except UnicodeEncodeError:  # a lone surrogate: bytes that are no UTF-8, which conversion will find
        return pa.array([_encoded(value) for value in values], pa.list_(pa.binary()) if lists else pa.binary())


def _encoded(cell: object) -> Any:
    if isinstance(cell, list):
        return [_encoded(part) for part in cell]
    return cell.encode("utf-8", "surrogatepass") if isinstance(cell, str) else None
