"""Which values of a property or relation each item has: the other way round than filters look."""

from __future__ import annotations

import threading

import numpy as np

from kgrecall.graph.adjacency import gather
from kgrecall.graph.columns import ItemColumns, ValueColumn
from kgrecall.recall.channels.sparse_rows import Matrix, csr, transposed
from kgrecall.types import IntArray, PosArray


class ItemValues:
    """Values of items by name, turned round when they are first asked for. Safe for concurrent calls.

    Args:
        columns: of the items.
    """

    def __init__(self, columns: ItemColumns) -> None:
        self._columns = columns
        self._lock = threading.Lock()
        self._made: dict[str, Matrix] = {}

    def codes(self, name: str, items: PosArray) -> tuple[IntArray, PosArray]:
        """The values of some items as numbers: int64 (n,) the place in ``items``, int32 (n,) the value.

        Raises:
            ConfigError: no such property or relation; names the nearest.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = self._turned(name)
        matrix = self._made[name]
        which, entry = gather(matrix.indptr.astype(np.int64, copy=False), items)
        return which, matrix.indices[entry]

    def _turned(self, name: str) -> Matrix:
        column = self._columns[name]
        if isinstance(column, ValueColumn):
            by_value = csr(np.ones(len(column.items), np.float32), column.items, column.indptr, column.num_items)
            return transposed(by_value)
        known = ~np.isnan(column.values)
        values, codes = np.unique(column.values[known], return_inverse=True)
        indptr = np.concatenate([[0], np.cumsum(known)])
        return csr(np.ones(len(codes), np.float32), codes.astype(np.int32), indptr, max(1, len(values)))
