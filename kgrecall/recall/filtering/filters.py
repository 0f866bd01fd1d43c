"""One filter for all channels: a small typed tree of conditions on item properties and relations.

It can be written as text, as JSON, or with :class:`Field`; all three give the same tree::

    category in ['book', 'film'] and price < 20 and not HAS_GENRE any ['Horror']
    {"category": {"in": ["book", "film"]}, "price": {"<": 20}, "not": {"HAS_GENRE": {"any": ["Horror"]}}}
    Field("category").is_in("book", "film") & (Field("price") < 20) & ~Field("HAS_GENRE").any("Horror")

An item of which a property is not known fulfils no condition on it but ``is null`` and ``none``; ``not`` turns any condition
round. Trees are frozen, hashable and bounded in size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from kgrecall.errors import ConfigError, Shown, nearest
from kgrecall.recall.filtering.filter_text import Words, parse_words

Value: TypeAlias = str | float | bool
Comparison: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]
Quantifier: TypeAlias = Literal["in", "any", "all", "none"]
COMPARISONS: tuple[str, ...] = get_args(Comparison)
QUANTIFIERS: tuple[str, ...] = get_args(Quantifier)
MAX_DEPTH, MAX_NODES, MAX_VALUES = 16, 256, 10_000


class Filter:
    """A node of the tree; combine with ``&``, ``|`` and ``~``."""

    __slots__ = ()

    def __and__(self, other: Filter) -> Filter:
        return And((self, other))

    def __or__(self, other: Filter) -> Filter:
        return Or((self, other))

    def __invert__(self) -> Filter:
        return Not(self)


@dataclass(frozen=True, slots=True)
class Compare(Filter):
    """``name op value``; strings know only ``==`` and ``!=``."""

    name: str
    op: Comparison
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf(Filter):
    """``in`` and ``any``: at least one of these values; ``all``: every one; ``none``: not one."""

    name: str
    quantifier: Quantifier
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class IsNull(Filter):
    """Nothing is known."""

    name: str


@dataclass(frozen=True, slots=True)
class And(Filter):
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or(Filter):
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not(Filter):
    part: Filter


class Field:
    """A property or relation by name, for writing filters in Python: ``Field("price") < 20``."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self._name = name

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]
        return Compare(self._name, "==", cast(Value, value))

    def __ne__(self, value: object) -> Filter:  # type: ignore[override]
        return Compare(self._name, "!=", cast(Value, value))

    def __lt__(self, value: Value) -> Filter:
        return Compare(self._name, "<", value)

    def __le__(self, value: Value) -> Filter:
        return Compare(self._name, "<=", value)

    def __gt__(self, value: Value) -> Filter:
        return Compare(self._name, ">", value)

    def __ge__(self, value: Value) -> Filter:
        return Compare(self._name, ">=", value)

    def is_in(self, *values: Value) -> Filter:
        return OneOf(self._name, "in", values)

    def any(self, *values: Value) -> Filter:
        return OneOf(self._name, "any", values)

    def all(self, *values: Value) -> Filter:
        return OneOf(self._name, "all", values)

    def none(self, *values: Value) -> Filter:
        return OneOf(self._name, "none", values)

    def is_null(self) -> Filter:
        return IsNull(self._name)


def parse_filter(given: object) -> Filter:
    """The tree of a filter in any of its forms.

    Raises:
        ConfigError: it is no filter; says what was expected where. Or it is deeper than 16, has more than 256 conditions or a
            list of more than 10,000 values.
    """
    if isinstance(given, str):
        tree = _from_words(parse_words(given, MAX_DEPTH))
    elif isinstance(given, Mapping):
        tree = _from_json(given, MAX_DEPTH)
    elif isinstance(given, Filter):
        tree = given
    else:
        raise ConfigError(
            "filter", expected="text, a JSON object, or Field conditions", got=given, remedy='For example "price < 20".'
        )
    _check(tree)
    return tree


def _from_words(words: Words) -> Filter:
    """The tree of a parsed text: ("and" | "or", part, ...), ("not", part), ("null", name), (name, op, value)."""
    head, *rest = words
    if head in ("and", "or"):
        parts = tuple(_from_words(part) for part in rest)
        return And(parts) if head == "and" else Or(parts)
    if head == "not":
        return Not(_from_words(rest[0]))
    if head == "null":
        return IsNull(rest[0])
    name, op, value = rest
    return _condition(name, op, value)


def _from_json(given: Mapping[str, Any], depth: int) -> Filter:
    if depth == 0:
        raise _too_large("depth", MAX_DEPTH)
    if not given:
        raise ConfigError("filter", expected="at least one condition", got=dict(given), remedy="Leave the filter out instead.")
    parts = tuple(_from_entry(str(key), value, depth - 1) for key, value in given.items())
    return parts[0] if len(parts) == 1 else And(parts)


def _from_entry(key: str, value: Any, depth: int) -> Filter:
    if key in ("and", "or"):
        if not isinstance(value, list) or not value or not all(isinstance(part, Mapping) for part in value):
            raise ConfigError(
                f"filter {key!r}", expected="a list of objects", got=value, remedy=f'{{"{key}": [{{...}}, {{...}}]}}'
            )
        parts = tuple(_from_json(part, depth) for part in value)
        return And(parts) if key == "and" else Or(parts)
    if key == "not":
        if not isinstance(value, Mapping):
            raise ConfigError("filter 'not'", expected="an object", got=value, remedy='{"not": {...}}')
        return Not(_from_json(value, depth))
    if value is None:
        return IsNull(key)
    if isinstance(value, list):
        return _condition(key, "in", value)
    if not isinstance(value, Mapping):
        return _condition(key, "==", value)
    parts = tuple(_condition(key, str(op), operand) for op, operand in value.items())
    if not parts:
        raise ConfigError(f"filter {key!r}", expected="an operator", got=dict(value), remedy=f'{{"{key}": {{"<": 20}}}}')
    return parts[0] if len(parts) == 1 else And(parts)


def _condition(name: str, op: str, operand: Any) -> Filter:
    if op in QUANTIFIERS:
        values = tuple(operand) if isinstance(operand, (list, tuple)) else (operand,)
        return OneOf(name, cast(Quantifier, op), values)
    if op not in COMPARISONS:
        known = (*COMPARISONS, *QUANTIFIERS)
        raise ConfigError(f"filter on {name!r}", expected=f"one of {', '.join(known)}", got=op, remedy=nearest(op, known))
    return Compare(name, cast(Comparison, op), operand)


def _check(tree: Filter) -> None:
    """Raises ConfigError for a tree beyond the limits or a value of a wrong type. Walks without recursion."""
    open_parts, count = [(tree, 1)], 0
    while open_parts:
        part, depth = open_parts.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise _too_large("depth", MAX_DEPTH)
        if count > MAX_NODES:
            raise _too_large("number of conditions", MAX_NODES)
        open_parts += [(child, depth + 1) for child in _children(part)]


def _children(part: Filter) -> tuple[Filter, ...]:
    """The parts of a node; those of a leaf are checked and none."""
    if isinstance(part, (And, Or)):
        return part.parts
    if isinstance(part, Not):
        return (part.part,)
    if isinstance(part, OneOf):
        if not 1 <= len(part.values) <= MAX_VALUES:
            raise ConfigError(
                f"filter on {part.name!r}",
                expected=f"1 to {MAX_VALUES} values",
                got=len(part.values),
                remedy="Use Query.allow for long lists of items.",
            )
        for value in part.values:
            _check_value(part.name, value)
    elif isinstance(part, Compare):
        _check_value(part.name, part.value)
    elif not isinstance(part, IsNull):
        raise ConfigError("filter", expected="conditions", got=part, remedy='Compare a Field: Field("price") < 20.')
    return ()


def _check_value(name: str, value: Any) -> None:
    if not isinstance(value, str) and not (isinstance(value, (bool, int, float)) and _finite(value)):
        raise ConfigError(
            f"filter on {name!r}",
            expected="a string, a finite number or a boolean",
            got=value,
            remedy="Compare with such a value.",
        )


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def _too_large(what: str, limit: int) -> ConfigError:
    return ConfigError(f"filter's {what}", expected=f"at most {limit}", got=Shown("more"), remedy="Ask a simpler question.")
