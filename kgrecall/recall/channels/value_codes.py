"""Values of named fields as small numbers: what a visitor's attributes, or the context of a call, are looked up in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kgrecall.errors import ConfigError, Shown, nearest
from kgrecall.types import PosArray


@dataclass(frozen=True, slots=True)
class ValueField:
    """One field: names of values, or numbers cut into ranges.

    Args:
        first: the code of its first value.
        codes: named values -> code; several names may mean one value. Empty for numbers.
        edges: for numbers: ``first + bisect_right(edges, number)`` is the code. ``None`` for names.
    """

    name: str
    first: int
    codes: Mapping[str, int]
    edges: tuple[float, ...] | None = None

    @property
    def num_values(self) -> int:
        return len(set(self.codes.values())) if self.edges is None else len(self.edges) + 1

    def describe(self, code: int) -> str:
        """A value as people read it: ``gender F``, ``age 25 to 31``."""
        if self.edges is None:
            return f"{self.name} {next(name for name, known in self.codes.items() if known == code)}"
        at = code - self.first
        low, high = self.edges[at - 1 : at], self.edges[at : at + 1]
        if not low:
            return f"{self.name} below {high[0]:g}" if high else self.name
        return f"{self.name} {low[0]:g} to {high[0]:g}" if high else f"{self.name} from {low[0]:g}"


@dataclass(frozen=True, slots=True)
class ValueCodes:
    """All fields of one kind; their codes run from 0 to ``num_values - 1`` without gaps."""

    what: str
    """Where the values are asked for, such as ``Query.attributes``: named in errors."""
    fields: tuple[ValueField, ...]

    @property
    def num_values(self) -> int:
        return sum(field.num_values for field in self.fields)

    def describe(self, code: int) -> str:
        return next(f for f in reversed(self.fields) if f.first <= code).describe(code)

    def look_up(self, given: Mapping[str, object], notes: list[str]) -> PosArray:
        """Codes of the given values, int32 ascending; a value that nobody has is said in a note.

        Raises:
            ConfigError: an unknown field (names the nearest), or a value of a wrong type.
        """
        by_name = {field.name: field for field in self.fields}
        found: set[int] = set()
        for name, value in given.items():
            if name not in by_name:
                raise ConfigError(
                    self.what,
                    expected=f"known fields ({', '.join(by_name) or 'this engine has none'})",
                    got=name,
                    remedy=nearest(name, by_name),
                )
            found.update(self._codes(by_name[name], value, notes))
        return np.array(sorted(found), np.int32)

    def _codes(self, field: ValueField, value: object, notes: list[str]) -> list[int]:
        if field.edges is not None:
            if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
                raise ConfigError(f"{self.what} {field.name!r}", expected="a number", got=value, remedy="Pass a number.")
            return [field.first + bisect_right(field.edges, float(value))]
        named = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
        codes = []
        for name in named:
            code = field.codes.get(str(name).lower() if isinstance(name, bool) else str(name))
            if code is None:
                notes.append(f"Too few have {field.name} {name!r}: it was left out.")
            else:
                codes.append(code)
        return codes

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ValueCodes:
        fields = tuple(
            ValueField(f["name"], f["first"], f["codes"], None if f["edges"] is None else tuple(f["edges"]))
            for f in stored["fields"]
        )
        return cls(stored["what"], fields)


def joined(what: str, fields: Sequence[ValueField]) -> ValueCodes:
    """Fields whose codes each start at 0, one after the other."""
    if len({field.name for field in fields}) < len(fields):
        raise ConfigError(
            what, expected="distinct fields", got=Shown([f.name for f in fields]), remedy="Give each a name of its own."
        )
    placed, first = [], 0
    for field in fields:
        codes = {name: first + code for name, code in field.codes.items()}
        placed.append(ValueField(field.name, first, codes, field.edges))
        first += field.num_values
    return ValueCodes(what, tuple(placed))
