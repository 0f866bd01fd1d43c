"""Which records of a transaction are in the database already, and which of them differ from what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kgrecall.schema import EdgeTypeSpec
from kgrecall.store.neo4j.connection import Row
from kgrecall.types import IntArray


def compare(
    edges: Iterable[tuple[int, Sequence[Row]]],
    spec: EdgeTypeSpec,
    ends: tuple[Sequence[int], Sequence[int]],
    columns: Mapping[str, Sequence[Any]],
) -> tuple[IntArray, IntArray]:
    """Compare records with the stored edges of their sources.

    Two nulls are the same. A record that is older than its edge (by the relation's time property) does not change it.

    Args:
        edges: position of a source, and of each of its edges the target's internal number and every property of ``columns``.
        ends: per record, position of its source and internal number of its target.
        columns: property -> value per record; distinct records differ in their ends or in the key of the relation.

    Returns positions of the records that are there, and of those among them that differ; int64, ascending.
    """
    names = list(columns)
    keys = [names.index(name) for name in spec.edge_key]
    values = [i for i, name in enumerate(names) if name not in spec.edge_key]
    clock = names.index(spec.time) if spec.time in names and spec.time not in spec.edge_key else None
    records = list(zip(*columns.values(), strict=True)) if columns else [()] * len(ends[0])
    sources, targets = ends
    wanted = {
        (s, t, *(_plain(record[i]) for i in keys)): k
        for k, (s, t, record) in enumerate(zip(sources, targets, records, strict=True))
    }
    found, changed = set(), set()
    for j, stored in edges:
        for number, *edge in stored:
            k = wanted.get((j, number, *(_plain(edge[i]) for i in keys)))
            if k is None:
                continue
            found.add(k)
            record = records[k]
            if any(edge[i] != record[i] for i in values) and (clock is None or _not_older(record[clock], edge[clock])):
                changed.add(k)
    return np.array(sorted(found), np.int64), np.array(sorted(changed), np.int64)


def _not_older(given: Any, stored: Any) -> bool:
    return stored is None or (given is not None and given >= stored)


def _plain(value: Any) -> Any:
    """A value that can stand in a key."""
    return tuple(value) if isinstance(value, list) else value
