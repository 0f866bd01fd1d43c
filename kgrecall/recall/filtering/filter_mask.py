"""From a filter to a bitmap over items."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import cast

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError, nearest
from kgrecall.graph.columns import ItemColumns, NumberColumn, ValueColumn
from kgrecall.query import milliseconds
from kgrecall.recall.filtering.filters import And, Compare, Filter, IsNull, Not, OneOf, Or, Value
from kgrecall.types import BoolArray

_CACHE_BYTES = 64_000_000
_MAX_NOTES = 5
_MAX_HINTED = 5_000


class FilterMasks:
    """Compiles filters to masks and keeps the latest ones. Safe for concurrent calls.

    Args:
        columns: the item columns that conditions are tested on.
    """

    def __init__(self, columns: ItemColumns) -> None:
        self.columns = columns
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[BoolArray, tuple[str, ...]]] = OrderedDict()  # by how a filter prints: True == 1
        self._capacity = max(1, _CACHE_BYTES // max(1, columns.num_items))

    def mask(self, tree: Filter) -> tuple[BoolArray, tuple[str, ...]]:
        """bool (num_items,), read-only: True where the filter holds; and a note for each value that no item has.

        Raises:
            ConfigError: an unknown property or relation (names the nearest), or a value that cannot be compared with it.
        """
        key = repr(tree)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            compiler = _Compiler(self.columns)
            mask = compiler.compile(tree)
            mask.flags.writeable = False
            self._kept[key] = mask, tuple(compiler.notes)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
            return self._kept[key]


class _Compiler:
    def __init__(self, columns: ItemColumns) -> None:
        self._columns = columns
        self.notes: list[str] = []

    def compile(self, tree: Filter) -> BoolArray:
        if isinstance(tree, (And, Or)):
            masks = [self.compile(part) for part in tree.parts]
            together = np.logical_and if isinstance(tree, And) else np.logical_or
            return np.asarray(together.reduce(masks), np.bool_)
        if isinstance(tree, Not):
            return ~self.compile(tree.part)
        if isinstance(tree, IsNull):
            return ~self._known(tree.name)
        if isinstance(tree, OneOf):
            return self._one_of(tree)
        return self._compare(cast(Compare, tree))

    def _known(self, name: str) -> BoolArray:
        column = self._columns[name]
        if isinstance(column, NumberColumn):
            return ~np.isnan(column.values)
        known = np.zeros(column.num_items, np.bool_)
        known[column.items] = True
        return known

    def _compare(self, tree: Compare) -> BoolArray:
        column = self._columns[tree.name]
        if isinstance(column, ValueColumn):
            if tree.op not in ("==", "!="):
                raise ConfigError(
                    f"filter on {tree.name!r}",
                    expected="==, !=, in, any, all or none",
                    got=tree.op,
                    remedy="Its values are names.",
                )
            equal = self._any(tree.name, column, (tree.value,))
            return equal if tree.op == "==" else self._known(tree.name) & ~equal
        return _compared(column.values, tree.op, _number(tree.name, column, tree.value))

    def _one_of(self, tree: OneOf) -> BoolArray:
        column = self._columns[tree.name]
        if tree.quantifier == "all":
            return self.compile(And(tuple(Compare(tree.name, "==", value) for value in tree.values)))
        if isinstance(column, NumberColumn):
            found = np.isin(column.values, [_number(tree.name, column, value) for value in tree.values])
        else:
            found = self._any(tree.name, column, tree.values)
        return ~found if tree.quantifier == "none" else found

    def _any(self, name: str, column: ValueColumn, values: tuple[Value, ...]) -> BoolArray:
        """The items that have at least one of these values."""
        having = np.zeros(column.num_items, np.bool_)
        for value in values:
            if not isinstance(value, str):
                raise ConfigError(f"filter on {name!r}", expected="text", got=value, remedy="Put the value into quotes.")
            rows = column.rows(value)
            for row in rows:
                having[column.having(row)] = True
            if not rows and len(self.notes) < _MAX_NOTES:
                hint = nearest(value, column.codes) if len(column.codes) <= _MAX_HINTED else ""
                self.notes.append(f"No item has {name} {value!r}. {hint}".strip())
        return having


def _compared(values: NDArray[np.float64], op: str, value: float) -> BoolArray:
    """Nothing compares with NaN but ``!=``, which it must not fulfil either."""
    if op == "!=":
        return np.asarray((values != value) & ~np.isnan(values), np.bool_)
    compare = {"==": np.equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[op]
    return np.asarray(compare(values, value), np.bool_)


def _number(name: str, column: NumberColumn, value: Value) -> float:
    """A literal as the column counts: times may be written as ISO 8601 (UTC when no zone is given)."""
    if column.kind == "boolean" and isinstance(value, bool):
        return float(value)
    if column.kind == "time" and isinstance(value, str):
        return float(milliseconds(value, f"filter on {name!r}"))
    if column.kind == "boolean" or isinstance(value, (bool, str)):
        expected = {"boolean": "true or false", "time": "a time in quotes", "number": "a number"}[column.kind]
        raise ConfigError(f"filter on {name!r}", expected=expected, got=value, remedy="Compare with such a value.")
    return float(value)
