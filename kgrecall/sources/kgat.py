"""The text files of KGAT and its successors: ids separated by spaces, without a header.

- ``train.txt``, ``test.txt``: ``user item item ...``, columns ``user``, ``item``, ``position`` (the item's place in the line,
  from 1) and ``split`` (the file's name: "train"). Files of sequences by other names look the same.
- ``kg_final.txt``: ``head relation tail``, columns of these names; ``relation`` is the name from ``relation_list.txt`` when
  that file lies beside it, else the number.
- ``user_list.txt``, ``item_list.txt``, ``entity_list.txt``, ``relation_list.txt``: a header (``org_id remap_id ...``) names
  the columns; the first one may contain spaces.

Ids are mostly numbers, but any text without blanks will do. Entity i is item i as long as i is smaller than the number of
items. These sets repeat themselves; duplicates are removed and counted, which needs the whole file in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.mapping import FileMapping
from kgrecall.sources.lines import Dialect, record_blocks
from kgrecall.sources.quarantine import Reason
from kgrecall.sources.raw import BadRows, RawBatch
from kgrecall.sources.streams import is_utf8, text_chunks

_LINES = Dialect(b" ", None)
_TRIPLE = ("head", "relation", "tail")
_PAIR = ("user", "item", "position", "split")
_OF_PAIR = ("user", "item")


class KgatSource:
    """One file of such a set; which of the three kinds follows from its first line and from the wanted columns.

    Args:
        path: the file.
        name: what origins call it.
        mapping: encoding.
        wanted: mapped columns; ``head``, ``relation`` or ``tail`` make it a file of triples.
    """

    def __init__(self, path: Path, name: str, mapping: FileMapping, wanted: Iterable[str] = ()) -> None:
        self.path, self.name, self.mapping, self._wanted = path, name, mapping, frozenset(wanted)
        self.duplicates = 0
        """Pairs, triples or lines that repeated an earlier one of the file, as of the last read."""

    @cached_property
    def _header(self) -> tuple[str, ...]:
        """Names of the columns of a list file; () for files of numbers."""
        head, _ = next(text_chunks(self.path, self.mapping.encoding, 1 << 16), (b"", 0.0))
        words = head.lstrip().split(b"\n", 1)[0].decode("utf-8", "replace").split()
        return tuple(words) if "remap_id" in words else ()

    @property
    def columns(self) -> tuple[str, ...]:
        if self._header:
            return self._header
        return _TRIPLE if self._wanted.intersection(_TRIPLE) else _PAIR

    def read(self, columns: Sequence[str], batch_rows: int) -> Iterator[RawBatch | BadRows]:
        parts: list[pl.DataFrame] = []
        first = 1
        for block in record_blocks(text_chunks(self.path, self.mapping.encoding), _LINES):
            lines, broken = _decoded(block.data.removesuffix(b"\n").split(b"\n"))
            rows = np.arange(first, first + len(lines), dtype=np.int64)
            first += len(lines)
            if broken:
                at = np.array(list(broken), np.int64)
                yield BadRows(rows[at] - int(bool(self._header)), Reason.BAD_ENCODING, list(broken.values()))
            frame = pl.DataFrame({"row": rows, "line": lines})
            if self._header and not parts:
                frame = frame.slice(1)
            good, bad = self._split(frame.filter(pl.col("line").str.strip_chars() != ""))
            parts.append(good.select("row", *self.columns))
            yield from bad
        if not parts:
            return
        table = pl.concat(parts)
        key = _OF_PAIR if self.columns == _PAIR else self.columns
        distinct = table.unique(subset=list(key), keep="first", maintain_order=True)
        self.duplicates = len(table) - len(distinct)
        if not set(columns).issuperset(key):
            distinct = distinct.unique(subset=list(columns), keep="first", maintain_order=True)
        yield from _batches(distinct, columns, int(bool(self._header)), batch_rows)

    def _split(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[BadRows]]:
        if self._header:
            return self._split_list(frame)
        line = pl.col("line").str.strip_chars()
        if frame.get_column("line").str.contains(r"\t|  ").any():
            line = line.str.replace_all(r"\s+", " ")
        words = frame.with_columns(line.str.split(" ").alias("words"))
        return self._split_triples(words) if self.columns == _TRIPLE else self._split_pairs(words)

    def _split_list(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[BadRows]]:
        """The last columns hold no spaces; what is before them is the first."""
        pattern = r"^(.*?)" + r"[ \t]+(\S+)" * (len(self._header) - 1) + r"\s*$"
        cells = frame.get_column("line").str.extract_groups(pattern).struct.unnest()
        cells.columns = list(self._header)
        full = frame.hstack(cells.get_columns())
        ragged = full.filter(pl.col(self._header[-1]).is_null())
        bad = BadRows(ragged["row"].to_numpy() - 1, Reason.RAGGED_ROW, ragged["line"].to_list())
        return full.filter(pl.col(self._header[-1]).is_not_null()), [bad] if len(ragged) else []

    def _split_triples(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[BadRows]]:
        ragged = frame.filter(pl.col("words").list.len() != 3)
        triples = frame.filter(pl.col("words").list.len() == 3).with_columns(
            pl.col("words").list.get(i).alias(name) for i, name in enumerate(_TRIPLE)
        )
        bad = BadRows(ragged["row"].to_numpy(), Reason.RAGGED_ROW, ragged["line"].to_list())
        named = triples.with_columns(pl.col("relation").replace(self._relation_names))
        return named, [bad] if len(ragged) else []

    def _split_pairs(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[BadRows]]:
        lines = frame.with_columns(
            pl.col("words").list.first().alias("user"),
            pl.col("words").list.slice(1).alias("item"),
            pl.int_ranges(1, pl.col("words").list.len()).alias("position"),
            pl.lit(self.path.name.split(".")[0]).alias("split"),
        )
        return lines.filter(pl.col("words").list.len() > 1).explode("item", "position"), []

    @cached_property
    def _relation_names(self) -> dict[str, str]:
        """Number -> name from ``relation_list.txt``, cut to what is behind the last slash when that stays distinct."""
        path = self.path.with_name("relation_list.txt")
        if not path.exists():
            return {}
        source = KgatSource(path, path.name, FileMapping(path=path.name, format="kgat"))
        if "org_id" not in source.columns or "remap_id" not in source.columns:
            return {}
        names: dict[str, str] = {}
        for batch in source.read(("remap_id", "org_id"), 1 << 16):
            if isinstance(batch, RawBatch):
                cells = (batch.columns[name].to_pylist() for name in ("remap_id", "org_id"))
                names.update(zip(*cells, strict=True))
        short = {number: re.split("[/#]", name)[-1] for number, name in names.items()}
        return short if len(set(short.values())) == len(set(names.values())) and all(short.values()) else names


def _batches(table: pl.DataFrame, columns: Sequence[str], header: int, batch_rows: int) -> Iterator[RawBatch]:
    for start in range(0, len(table), batch_rows):
        part = table.slice(start, batch_rows)
        arrays = {name: _array(part.get_column(name)) for name in columns}
        yield RawBatch(arrays, part.get_column("row").to_numpy() - header, min(1.0, (start + batch_rows) / len(table)))


def _array(series: pl.Series) -> pa.Array:
    array = series.to_arrow()
    return pc.cast(array, pa.string()) if series.dtype == pl.String else array


def _decoded(lines: list[bytes]) -> tuple[list[str], dict[int, bytes]]:
    """Lines as text, those that are none empty; and these by their place."""
    try:
        return [line.decode("utf-8") for line in lines], {}
    except UnicodeDecodeError:
        broken = {i: line for i, line in enumerate(lines) if not is_utf8(line)}
        return ["" if i in broken else line.decode("utf-8") for i, line in enumerate(lines)], broken
