"""What becomes of a record whose key is there already."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrecall.store.base import Keep
from kgrecall.store.latest import in_order_of
from kgrecall.types import IntArray


@dataclass(frozen=True, slots=True)
class Target:
    """Where records go. All names are quoted already.

    ``columns`` are the properties outside the key that the records give; ``time`` is the one of them whose value decides
    between records of one key, if any; ``stamp`` is a column that every change sets.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    time: str | None = None
    stamp: str | None = None

    def upsert(self, keep: Keep) -> str:
        """A statement with one parameter per key, column and stamp, in this order. It touches only rows that it changes."""
        marks = ["?"] * len((*self.key, *self.columns))
        return self._insert(f"VALUES({', '.join([*marks, *self._stamps])})", keep)

    def upsert_from(self, table: str, expressions: Sequence[str], keep: Keep) -> str:
        """The same for all rows of a table at once: one expression per key and column, the stamp as parameter."""
        return self._insert(f"SELECT {', '.join([*expressions, *self._stamps])} FROM {table} WHERE true", keep)

    @property
    def _stamps(self) -> list[str]:
        return ["?"] if self.stamp else []

    def _insert(self, values: str, keep: Keep) -> str:
        names = [*self.key, *self.columns, *([self.stamp] if self.stamp else [])]
        into = f"INSERT INTO {self.table}({', '.join(names)}) {values}"
        return f"{into} ON CONFLICT({', '.join(self.key)}) {self._on_conflict(keep)}"

    def _on_conflict(self, keep: Keep) -> str:
        if not self.columns:
            return "DO NOTHING"
        if self.time is None and keep != "last":
            fills = " OR ".join(f"({c} IS NULL AND excluded.{c} IS NOT NULL)" for c in self.columns)
            return self._update("ifnull({c}, excluded.{c})", fills)
        differs = " OR ".join(f"excluded.{c} IS NOT {c}" for c in self.columns)
        if self.time is None:
            return self._update("excluded.{c}", differs)
        new, old = f"excluded.{self.time}", self.time
        if keep == "first":
            return self._update("excluded.{c}", f"({differs}) AND ({new} < {old} OR ({old} IS NULL AND {new} IS NOT NULL))")
        return self._update("excluded.{c}", f"({differs}) AND ({old} IS NULL OR {new} >= {old})")

    def _update(self, value: str, condition: str) -> str:
        changes = [f"{c} = {value.format(c=c)}" for c in self.columns]
        if self.stamp:
            changes.append(f"{self.stamp} = excluded.{self.stamp}")
        return f"DO UPDATE SET {', '.join(changes)} WHERE {condition}"

    def contradictions(self, connection: sqlite3.Connection, rows: IntArray, lists: Sequence[Sequence[Any]]) -> IntArray:
        """Those of ``rows`` whose record says something else than the stored one; ``lists`` their keys and columns.

        Without ``time`` a value against a null is no contradiction. With it, records of different times are no contradiction,
        and records of one time must agree in everything.
        """
        if not self.columns:
            return np.empty(0, np.int64)
        names = ", ".join([*self.key, *self.columns])
        marks = ", ".join("?" * (1 + len(lists)))
        same = " AND ".join(f"a.{k} = t.{k}" for k in self.key)
        if self.time:
            differs = " OR ".join(f"a.{c} IS NOT t.{c}" for c in self.columns)
            condition = f"a.{self.time} IS t.{self.time} AND ({differs})"
        else:
            condition = " OR ".join(f"a.{c} <> t.{c}" for c in self.columns)
        connection.execute(f"CREATE TEMP TABLE _asked AS SELECT 0 AS _row, {names} FROM {self.table} LIMIT 0")
        connection.executemany(f"INSERT INTO temp._asked VALUES({marks})", zip(rows.tolist(), *lists, strict=True))
        query = f"SELECT a._row FROM temp._asked a CROSS JOIN {self.table} t ON {same} WHERE {condition} ORDER BY a._row"
        found = np.fromiter((row for (row,) in connection.execute(query)), np.int64)
        connection.execute("DROP TABLE temp._asked")
        return found


def rounds(parts: Sequence[NDArray[Any]], times: IntArray | None) -> list[IntArray]:
    """Positions in order of their key: the first record of every key, then the second of those that have one, and so on.

    Records of one key are in the order of ``times``, then in that of the batch. Shapes as in
    :func:`kgrecall.store.latest.last_of_equal`.
    """
    order = in_order_of([*parts, *([] if times is None else [times])])
    starts = np.ones(len(order), bool)
    if len(order):
        starts[1:] = np.any([part[order][1:] != part[order][:-1] for part in parts], axis=0)
    first = np.flatnonzero(starts)
    turn = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    by_turn = np.argsort(turn, kind="stable")
    return np.split(order[by_turn], np.cumsum(np.bincount(turn))[:-1]) if len(turn) else []
