"""What users can share: their properties and relations as codes, and which user has which."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from kgrecall.graph.columns import NumberColumn, UserColumns, ValueColumn
from kgrecall.recall.channels.sparse_rows import Matrix, csr, transposed
from kgrecall.recall.channels.value_codes import ValueCodes, ValueField, joined
from kgrecall.settings import Settings
from kgrecall.types import IntArray, PosArray

WHAT = "Query.attributes"


class TraitsConfig(Settings):
    """Which values of users are learned from."""

    min_users: int = Field(default=3, ge=1)
    """A value that fewer users have is left out."""
    max_values: int = Field(default=1000, ge=1)
    """Values kept per field, those of the most users."""
    ranges: int = Field(default=8, ge=2)
    """A number is cut into so many ranges of about equally many users."""


def user_traits(columns: UserColumns, config: TraitsConfig | None = None) -> tuple[ValueCodes, Matrix]:
    """The fields of all users, and float32 (num_users, num_values), 1 where a user has a value. Times are left out."""
    config = config or TraitsConfig()
    fields: list[ValueField] = []
    members: list[tuple[PosArray, IntArray]] = []
    for name in columns.names:
        column = columns[name]
        if isinstance(column, NumberColumn) and column.kind == "time":
            continue
        field, users, codes = _named(name, column, config) if isinstance(column, ValueColumn) else _ranged(name, column, config)
        if len(users):
            fields.append(field)
            members.append((users, codes))
    known = joined(WHAT, fields)
    matrix = _membership(members, known, columns.num_nodes)
    return known, matrix


def _named(name: str, column: ValueColumn, config: TraitsConfig) -> tuple[ValueField, PosArray, IntArray]:
    counts = np.diff(column.indptr)
    kept = np.flatnonzero(counts >= config.min_users)
    kept = np.sort(kept[np.argsort(-counts[kept], kind="stable")[: config.max_values]])
    place = {int(value): code for code, value in enumerate(kept)}
    rows = {value: [row for row in column.rows(value) if row in place] for value in column.codes}
    codes = {value: place[max(some, key=lambda row: counts[row])] for value, some in rows.items() if some}
    users = [column.having(int(value)) for value in kept]
    members = np.concatenate([np.zeros(0, np.int32), *users])
    return ValueField(name, 0, codes), members, np.repeat(np.arange(len(kept)), counts[kept])


def _ranged(name: str, column: NumberColumn, config: TraitsConfig) -> tuple[ValueField, PosArray, IntArray]:
    users = np.flatnonzero(~np.isnan(column.values)).astype(np.int32)
    values = column.values[users]
    if column.kind == "boolean":
        return ValueField(name, 0, {"false": 0, "true": 1}), users, values.astype(np.int64)
    distinct = np.unique(values)
    if len(distinct) <= config.ranges:
        edges = distinct[1:]
    else:
        edges = np.unique(np.quantile(values, np.arange(1, config.ranges) / config.ranges))
    return ValueField(name, 0, {}, tuple(edges.tolist())), users, np.searchsorted(edges, values, "right")


def _membership(members: list[tuple[PosArray, IntArray]], known: ValueCodes, num_users: int) -> Matrix:
    users = np.concatenate([np.zeros(0, np.int32), *(rows for rows, _ in members)])
    codes = np.concatenate([np.zeros(0, np.int64), *(f.first + c for f, (_, c) in zip(known.fields, members, strict=True))])
    order = np.lexsort((users, codes))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=known.num_values))])
    by_value = csr(np.ones(len(users), np.float32), users[order].astype(np.int32), indptr, num_users)
    return transposed(by_value)


def traits_of(matrix: Matrix, user_pos: int) -> PosArray:
    """Codes of one user, int32 ascending."""
    found: PosArray = matrix.indices[matrix.indptr[user_pos] : matrix.indptr[user_pos + 1]]
    return np.sort(found).astype(np.int32)
