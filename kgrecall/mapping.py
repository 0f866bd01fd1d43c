"""How the columns of files become nodes and edges: the ``[[files]]`` part of a mapping file."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FileFormat = Literal["delimited", "parquet", "jsonl", "arrow", "recbole", "kgat"]
TimeUnit = Literal["s", "ms", "us", "iso8601"]
DecimalMark = Literal[".", ","]
_DIRECTIVES = frozenset("dmYyHIMSpbBaAjzf%")
_MOMENT = datetime(2001, 11, 22, 13, 44, 55, tzinfo=UTC)
"""No two of its parts are alike."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Strict):
    """Where a value comes from. In TOML a bare string ``"age"`` stands for ``{ column = "age" }``."""

    column: str
    """Name of the column in the file (for files without a header: ``column_1``, ``column_2``, ...)."""
    separator: str | None = Field(default=None, min_length=1)
    """The cell holds a list, cut at this text (``A|B``)."""
    unit: TimeUnit | None = None
    """For times: seconds, milliseconds or microseconds since 1970 UTC, or ISO 8601 text. None: detected per file."""
    format: str | None = None
    """How times are written that are neither: a strptime format (``%d.%m.%Y %H:%M``); names of months and days in English."""
    timezone: str | None = None
    """IANA zone of times in text that carry no offset ("Europe/Berlin"); without it such a time is a bad cell."""
    decimal: DecimalMark | None = None
    """For numbers as people write them, the mark before their fraction: thousands may be set apart (by the other mark, a blank
    or an apostrophe), and a currency may stand beside them (``1.299,00 €``). None: plain numbers alone."""
    prefix: str = ""
    """Put before every id from this column, to keep two id spaces apart in one label."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in zoneinfo.available_timezones():
            raise ValueError('an IANA zone such as "Europe/Berlin" or "UTC"')
        return value

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        if value is not None and not _tells_a_day(value):
            raise ValueError(
                "a strptime format of year, month and day, and of the time in hours and minutes or not at all, such as "
                '"%d.%m.%Y %H:%M" or "%m/%d/%Y %I:%M:%S %p", fractions of a second as ".%f", zones as "%z"'
            )
        return value

    @model_validator(mode="after")
    def _one_notation(self) -> Column:
        if self.format is not None and self.unit is not None:
            raise ValueError("unit or format, not both: a format says all about how a time is written")
        return self


def _tells_a_day(form: str) -> bool:
    """Whether a strptime format gives back the day, and the minute where it gives the hour."""
    if not set(re.findall(r"%(.?)", form, re.DOTALL)) <= _DIRECTIVES or re.search(r"(?<!\.)%f", form.replace("%%", "")):
        return False
    try:
        told = datetime.strptime(_MOMENT.strftime(form), form)
    except ValueError:
        return False
    return told.date() == _MOMENT.date() and (told.hour, told.minute) in ((13, 44), (0, 0))


def _as_column(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


class NodeMapping(_Strict):
    """Rows of a file that are nodes of one label."""

    label: str
    id: Column
    properties: dict[str, Column] = Field(default_factory=dict)
    """Property of the schema -> column of the file."""

    _id = field_validator("id", mode="before")(_as_column)

    @field_validator("id")
    @classmethod
    def _one_id(cls, value: Column) -> Column:
        if value.separator is not None:
            raise ValueError("one id per row, without a separator")
        return value

    @field_validator("properties", mode="before")
    @classmethod
    def _columns(cls, value: object) -> object:
        return {k: _as_column(v) for k, v in value.items()} if isinstance(value, dict) else value


class EdgeMapping(_Strict):
    """Rows of a file that are edges of one relation. A list column on one side gives one edge per element."""

    type: str
    source: Column
    target: Column
    properties: dict[str, Column] = Field(default_factory=dict)
    create: tuple[Literal["source", "target"], ...] = ()
    """End nodes that are created from this column when absent; other absent end nodes send the row to quarantine."""

    _ends = field_validator("source", "target", mode="before")(_as_column)

    @field_validator("properties", mode="before")
    @classmethod
    def _columns(cls, value: object) -> object:
        return {k: _as_column(v) for k, v in value.items()} if isinstance(value, dict) else value


class FileMapping(_Strict):
    """One file, or a glob of parts that look alike."""

    path: str
    """Relative to the data folder; may be a glob (``events/*.csv.gz``)."""
    format: FileFormat = "delimited"
    delimiter: str | None = Field(default=None, min_length=1)
    """For ``delimited``; None: detected from the first line. May be longer than one character (``::``)."""
    quote: str | None = '"'
    """Quote character of ``delimited`` files; None (``quote = ""`` in TOML) when quotes are ordinary text."""
    header: bool = True
    """False: the first row is data, and columns are called ``column_1``, ``column_2``, ..."""
    encoding: str | None = None
    """Text encoding; None: UTF-8 (a byte-order mark is honoured)."""
    null_values: tuple[str, ...] = ("",)
    """Cell texts that mean "no value"."""
    optional: bool = False
    """A missing file is skipped instead of an error."""
    nodes: tuple[NodeMapping, ...] = ()
    edges: tuple[EdgeMapping, ...] = ()

    @field_validator("quote", mode="before")
    @classmethod
    def _no_quote(cls, value: object) -> object:
        return None if value == "" else value
