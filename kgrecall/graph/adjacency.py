"""The edges of one relation as compressed sparse rows, both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from kgrecall.errors import ShapeError
from kgrecall.types import BoolArray, Context, EdgeType, FloatArray, IntArray, PosArray

MISSING_TIME = int(np.iinfo(np.int64).min)
"""The time of an edge whose time is not known: before every other, so that no cut removes it."""


@dataclass(frozen=True, slots=True, eq=False)
class Adjacency:
    """All edges of one :data:`~kgrecall.types.EdgeType`; parallel edges (events of one pair) stay apart.

    Shapes: forward rows ``indptr`` int64 (num_sources + 1,), ``indices`` int32 (num_edges,) target positions, ``weight``
    float32 (num_edges,) > 0, ``time`` int64 ms (num_edges,) or None; each row is sorted by target, then time, then weight.
    Reverse rows ``rev_indptr`` int64 (num_targets + 1,), ``rev_indices`` int32 (num_edges,) source positions, ``rev_edge``
    int64 (num_edges,) the place of the same edge in the forward arrays; each row is sorted by source, then as forward.
    ``context`` int32 (num_edges,) into ``contexts``, or None where nothing is known of where and how.
    """

    edge_type: EdgeType
    num_sources: int
    num_targets: int
    indptr: IntArray
    indices: PosArray
    weight: FloatArray
    time: IntArray | None
    rev_indptr: IntArray
    rev_indices: PosArray
    rev_edge: IntArray
    context: PosArray | None = None
    contexts: tuple[Context, ...] = ()

    @classmethod
    def from_edges(
        cls,
        edge_type: EdgeType,
        sources: NDArray[np.integer[Any]],
        targets: NDArray[np.integer[Any]],
        weight: FloatArray,
        time: IntArray | None,
        *,
        num_sources: int,
        num_targets: int,
        context: PosArray | None = None,
        contexts: tuple[Context, ...] = (),
    ) -> Adjacency:
        """Build from edges in any order; the result depends only on the set of edges.

        Args:
            sources, targets: positions (n,).
            weight: float32 (n,).
            time: int64 (n,), :data:`MISSING_TIME` where unknown, or None.
            context: int32 (n,) into ``contexts``, which are sorted, or None.

        Raises:
            ShapeError: a position is out of range, or the arrays differ in length.
        """
        lengths = {len(sources), len(targets), len(weight), len(weight if time is None else time)}
        if len(lengths) > 1:
            raise ShapeError(str(edge_type), expected="arrays of one length", got=lengths, remedy="Pass one entry per edge.")
        _check_range(edge_type, "sources", sources, num_sources)
        _check_range(edge_type, "targets", targets, num_targets)
        order = np.lexsort([keys for keys in (context, weight, time) if keys is not None])
        order = order[group(targets[order], num_targets)[1]]
        indptr, within = group(sources[order], num_sources)
        order = order[within]
        return cls._from_sorted(
            edge_type,
            indptr,
            targets[order].astype(np.int32),
            weight[order].astype(np.float32),
            None if time is None else time[order].astype(np.int64),
            num_targets,
            None if context is None else context[order].astype(np.int32),
            contexts,
        )

    @classmethod
    def _from_sorted(
        cls,
        edge_type: EdgeType,
        indptr: IntArray,
        indices: PosArray,
        weight: FloatArray,
        time: IntArray | None,
        num_targets: int,
        context: PosArray | None,
        contexts: tuple[Context, ...],
    ) -> Adjacency:
        rev_indptr, rev_edge = group(indices, num_targets)
        num_sources = len(indptr) - 1
        rev_indices = _expand(indptr).astype(np.int32)[rev_edge]
        return cls(
            edge_type,
            num_sources,
            num_targets,
            indptr,
            indices,
            weight,
            time,
            rev_indptr,
            rev_indices,
            rev_edge,
            context,
            contexts,
        )

    @property
    def num_edges(self) -> int:
        return len(self.indices)

    def sources(self) -> PosArray:
        """int32 (num_edges,): the source of each forward edge, beside ``indices``."""
        return _expand(self.indptr).astype(np.int32)

    def forward(self) -> csr_array[Any]:
        """float32 (num_sources, num_targets), weights of parallel edges added up."""
        return _matrix(self.indptr, self.indices, self.weight, self.num_targets)

    def backward(self) -> csr_array[Any]:
        """float32 (num_targets, num_sources), the transpose of :meth:`forward`."""
        return _matrix(self.rev_indptr, self.rev_indices, self.weight[self.rev_edge], self.num_sources)

    def keep(self, chosen: BoolArray) -> Adjacency:
        """The same nodes with only the chosen forward edges; ``chosen`` bool (num_edges,)."""
        if chosen.all():
            return self
        before = np.concatenate([[0], np.cumsum(chosen)])
        time = None if self.time is None else self.time[chosen]
        indptr = before[self.indptr]
        context = None if self.context is None else self.context[chosen]
        return self._from_sorted(
            self.edge_type,
            indptr,
            self.indices[chosen],
            self.weight[chosen],
            time,
            self.num_targets,
            context,
            self.contexts,
        )


def group(keys: NDArray[np.integer[Any]], size: int) -> tuple[IntArray, IntArray]:
    """Gather equal keys (n,) in 0 .. size - 1 by counting, in linear time.

    Returns:
        ``indptr`` int64 (size + 1,) and ``order`` int64 (n,): the places of key k, in their order, are
        ``order[indptr[k]:indptr[k + 1]]``.
    """
    n = len(keys)
    one_per_row = csr_array((np.ones(n, np.int8), keys, np.arange(n + 1)), shape=(n, size))
    by_key = one_per_row.tocsc()
    return by_key.indptr.astype(np.int64), by_key.indices.astype(np.int64)


def gather(indptr: IntArray, rows: NDArray[np.integer[Any]]) -> tuple[IntArray, IntArray]:
    """Walk over the entries of some rows (m,), row after row; a row may be asked for more than once.

    Returns:
        ``which`` int64 (n,): the place in ``rows`` that an entry belongs to; ``entry`` int64 (n,): its place in ``indices``.
    """
    starts = indptr[rows]
    lengths = indptr[rows + 1] - starts
    which = np.repeat(np.arange(len(rows)), lengths)
    before = np.cumsum(lengths) - lengths
    return which, np.arange(len(which)) + (starts - before)[which]


def _expand(indptr: IntArray) -> IntArray:
    """The row of each entry."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


def _matrix(indptr: IntArray, indices: PosArray, weight: FloatArray, num_columns: int) -> csr_array[Any]:
    shape = (len(indptr) - 1, num_columns)
    first = np.ones(len(indices), np.bool_)
    first[1:] = indices[1:] != indices[:-1]
    starts = indptr[:-1]
    first[starts[starts < len(indices)]] = True
    if not first.all():
        kept = np.flatnonzero(first)
        weight = np.add.reduceat(weight, kept)
        indptr = np.concatenate([[0], np.cumsum(first)])[indptr]
        indices = indices[kept]
    return csr_array((weight, indices, indptr), shape=shape)


def _check_range(edge_type: EdgeType, side: str, positions: NDArray[np.integer[Any]], size: int) -> None:
    if len(positions) and (positions.min() < 0 or positions.max() >= size):
        raise ShapeError(
            f"{side} of {edge_type}",
            expected=f"positions from 0 to {size - 1}",
            got=(int(positions.min()), int(positions.max())),
            remedy="Look the ids up in the vocabulary of the right label, and drop the -1 of unknown ones.",
        )
