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
_MOST_ROWS = 5 * WRITE_ROWS // 2
"""Records per write when as many went before, if that pays; some 0.8 GB are in use while they are written."""
_MAX_BYTES, _ROW_BYTES = 96 * 2**20, 64
"""Records that take more, all together and on average, are written before there are so many."""


class Pool:
    """Collects batches until they are worth a write; memory is bounded by rows and by bytes, whichever comes first.

    Args:
        max_rows: records per write; None for :data:`WRITE_ROWS`.
        growing: without ``max_rows``, as many as were taken before, up to two and a half times the default: where a write
            has to pass by everything that is there, fewer and larger ones cost less.
    """

    def __init__(self, max_rows: int | None = None, *, growing: bool = False) -> None:
        if max_rows is not None and max_rows < 1:
            raise ConfigError("write_rows", expected="an integer >= 1", got=max_rows, remedy="Leave it out for the default.")
        self._max_rows = max_rows or WRITE_ROWS
        self._growing = growing and max_rows is None
        self._taken = 0
        self._batches: list[Batch] = []
        self._rows = 0
        self._bytes = 0

    @property
    def full(self) -> bool:
        return self._rows >= self._max_rows or self._bytes >= max(_MAX_BYTES, _ROW_BYTES * self._max_rows)

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
        self._taken += self._rows
        if self._growing:
            self._max_rows = min(max(self._taken, WRITE_ROWS), _MOST_ROWS)
        self._batches, self._rows, self._bytes = [], 0, 0
        joined = [_join(groups.pop(shape)) for shape in list(groups)]
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
    parts = [list(part) for part in zip(*map(_arrays, group), strict=True)]
    group.clear()  # every part goes when its column is joined
    arrays = [pa.concat_arrays(parts.pop(0)) for _ in range(len(parts))]
    columns = dict(zip(first.columns, arrays[len(arrays) - len(first.columns) :], strict=True))
    if isinstance(first, NodeBatch):
        return replace(first, keys=arrays[0], columns=columns, origin=origin)
    return replace(first, sources=arrays[0], targets=arrays[1], columns=columns, origin=origin)
