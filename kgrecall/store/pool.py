"""Small batches joined into large ones: a store writes sorted rows, and the more of them the cheaper each is."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from kgrecall.errors import ConfigError
from kgrecall.sources.tables import Batch, EdgeBatch, NodeBatch, Origin
from kgrecall.types import IntArray

WRITE_ROWS = 1_048_576
"""Records per write, unless the caller wants fewer."""
_MAX_BYTES = 96 * 2**20


class Pool:
    """Collects batches until they are worth a write; memory is bounded by rows and by bytes, whichever comes first."""

    def __init__(self, max_rows: int = WRITE_ROWS) -> None:
        if max_rows < 1:
            raise ConfigError("write_rows", expected="an integer >= 1", got=max_rows, remedy="Leave it out for the default.")
        self._max_rows = max_rows
        self._batches: list[Batch] = []
        self._rows = 0
        self._bytes = 0

    @property
    def full(self) -> bool:
        return self._rows >= self._max_rows or self._bytes >= _MAX_BYTES

    def add(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._rows += len(batch)
        self._bytes += sum(array.nbytes for array in _arrays(batch))

    def take(self) -> list[Batch]:
        """Everything collected, batches of one shape and file joined in their order, nodes before edges."""
        groups: dict[Hashable, list[Batch]] = {}
        for batch in self._batches:
            if len(batch):
                groups.setdefault(_shape(batch), []).append(batch)
        self._batches, self._rows, self._bytes = [], 0, 0
        joined = [_join(group) for group in groups.values()]
        return sorted(joined, key=lambda batch: isinstance(batch, EdgeBatch))


def name_of(batch: Batch) -> str:
    """Its label or relation."""
    return batch.label if isinstance(batch, NodeBatch) else batch.edge_type


def take(batch: EdgeBatch, rows: IntArray) -> EdgeBatch:
    """The records at these positions."""
    at = pa.array(rows)
    return replace(
        batch,
        sources=batch.sources.take(at),
        targets=batch.targets.take(at),
        columns={name: values.take(at) for name, values in batch.columns.items()},
        origin=Origin(batch.origin.file, batch.origin.rows[rows]),
    )


def _arrays(batch: Batch) -> list[pa.Array]:
    keys = [batch.keys] if isinstance(batch, NodeBatch) else [batch.sources, batch.targets]
    return [*keys, *batch.columns.values()]


def _shape(batch: Batch) -> Hashable:
    creates = (batch.create_source, batch.create_target) if isinstance(batch, EdgeBatch) else None
    return type(batch), name_of(batch), tuple(batch.columns), creates, batch.origin.file


def _join(group: list[Batch]) -> Batch:
    first = group[0]
    if len(group) == 1:
        return first
    origin = Origin(first.origin.file, np.concatenate([batch.origin.rows for batch in group]))
    arrays = [pa.concat_arrays(parts) for parts in zip(*map(_arrays, group), strict=True)]
    columns = dict(zip(first.columns, arrays[len(arrays) - len(first.columns) :], strict=True))
    if isinstance(first, NodeBatch):
        return replace(first, keys=arrays[0], columns=columns, origin=origin)
    return replace(first, sources=arrays[0], targets=arrays[1], columns=columns, origin=origin)
