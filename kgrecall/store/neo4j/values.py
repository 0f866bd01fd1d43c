"""Arrow arrays to Bolt parameters and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.errors import ConstraintViolated, SchemaError, Shown
from kgrecall.schema import PropertyType
from kgrecall.sources.tables import ARROW_TYPES
from kgrecall.store.base import Ragged
from kgrecall.store.neo4j.connection import Row
from kgrecall.store.neo4j.statements import column
from kgrecall.types import IntArray

BATCH_ROWS = 65_536


def parameters(columns: Mapping[str, pa.Array], rows: IntArray) -> dict[str, list[Any]]:
    """The chosen rows of each column as the parameters that the statements name."""
    chosen = pa.array(rows)
    return {column(name): _to_python(name, values.take(chosen)) for name, values in columns.items()}


def _to_python(name: str, values: pa.Array) -> list[Any]:
    if pa.types.is_floating(values.type):  # NaN means "no value", as in every store
        values = pc.if_else(pc.is_nan(values), None, values)
    elif pa.types.is_list(values.type) and values.flatten().null_count:
        raise ConstraintViolated(
            name, expected="lists without empty places", got=Shown("a null inside"), remedy="Fill or leave out such elements."
        )
    plain: list[Any] = values.to_pylist()
    return plain


def id_list(ids: pa.StringArray, positions: IntArray) -> list[str]:
    plain: list[str] = ids.take(pa.array(positions)).to_pylist()
    return plain


def node_batches(
    rows: Iterable[Row], label: str, kinds: Mapping[str, PropertyType], names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Rows (id, property, ...) as record batches."""
    held: list[Row] = []
    for row in rows:
        held.append(row)
        if len(held) == BATCH_ROWS:
            yield _node_batch(held, label, kinds, names)
            held = []
    if held:
        yield _node_batch(held, label, kinds, names)


def _node_batch(rows: Sequence[Row], label: str, kinds: Mapping[str, PropertyType], names: Sequence[str]) -> pa.RecordBatch:
    ids, *values = zip(*rows, strict=True)
    arrays = [_ids(label, ids)]
    arrays += [_array(label, name, kinds[name], cells) for name, cells in zip(names, values, strict=True)]
    return pa.record_batch(arrays, names=["id", *names])


def edge_batches(
    rows: Iterable[Row], edge_type: str, kinds: Mapping[str, PropertyType], names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Rows (source, [target, ...], [property, ...], ...) as record batches, one row per edge."""
    held: list[Row] = []
    size = 0
    for row in rows:
        held.append(row)
        size += len(row[1])
        if size >= BATCH_ROWS:
            yield _edge_batch(held, edge_type, kinds, names)
            held, size = [], 0
    if held:
        yield _edge_batch(held, edge_type, kinds, names)


def _edge_batch(rows: Sequence[Row], edge_type: str, kinds: Mapping[str, PropertyType], names: Sequence[str]) -> pa.RecordBatch:
    sources, targets, *values = zip(*rows, strict=True)
    repeat = np.repeat(np.arange(len(rows)), [len(ids) for ids in targets])
    arrays = [_ids(edge_type, sources).take(pa.array(repeat)), _ids(edge_type, chain.from_iterable(targets))]
    for name, cells in zip(names, values, strict=True):
        arrays.append(_array(edge_type, name, kinds[name], chain.from_iterable(cells)))
    return pa.record_batch(arrays, names=["source", "target", *names])


def ragged(rows: Iterable[Row], num_keys: int, edge_type: str, kinds: Mapping[str, PropertyType]) -> Ragged:
    """Rows (position of the key, [id, ...], [property, ...], ...), in any order, as neighbours of the keys."""
    by_key = {row[0]: row for row in rows}
    found = [by_key[k] for k in sorted(by_key)]
    lengths = np.zeros(num_keys, np.int64)
    for row in found:
        lengths[row[0]] = len(row[1])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    ids = _ids(edge_type, chain.from_iterable(row[1] for row in found))
    columns = {
        name: _array(edge_type, name, kind, chain.from_iterable(row[i] for row in found))
        for i, (name, kind) in enumerate(kinds.items(), start=2)
    }
    return Ragged(indptr, ids, columns)


def _ids(owner: str, values: Iterable[Any]) -> pa.StringArray:
    return _array(owner, "id", "string", values)


def _array(owner: str, name: str, kind: PropertyType, values: Iterable[Any]) -> pa.Array:
    """Values as the server returned them; somebody else may have written other types than the schema says."""
    cells = list(values)
    try:
        return pa.array(cells, ARROW_TYPES[kind])
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise SchemaError(
            f"{owner}.{name}",
            expected=f"values of the type {kind} in the database",
            got=Shown(error),
            remedy="Another program wrote them: convert them in the database, or change the type in the mapping file.",
        ) from error
