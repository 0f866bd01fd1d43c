"""The contract of every vector index, and the exact index that all others are compared with."""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError, ShapeError, Shown
from kgrecall.index.scan import Scan
from kgrecall.index.scan import padded as padded
from kgrecall.types import BoolArray, FloatArray, PosArray

EXACT = "exact"
"""Capability: the answer is the true top k; without it some true neighbours may be missing."""
ADD = "add"
"""Capability: :meth:`VectorIndex.add`."""
REMOVE = "remove"
"""Capability: :meth:`VectorIndex.remove`."""
SAVE = "save"
"""Capability: ``save(folder)`` and a classmethod ``load(folder)``."""


@runtime_checkable
class VectorIndex(Protocol):
    """Finds the vectors with the largest inner product with a query.

    An index is immutable: it never changes while somebody searches it, any number of threads may search at once, and
    :meth:`add` and :meth:`remove` return a new index. Positions are stable: vector i of the build stays position i.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Declared abilities: ``exact``, ``add``, ``remove``, ``save``."""
        ...

    @property
    def num_vectors(self) -> int:
        """One more than the largest position; removed vectors count."""
        ...

    @property
    def dim(self) -> int: ...

    def search(self, queries: FloatArray, k: int, *, mask: BoolArray | None = None) -> tuple[PosArray, FloatArray]:
        """The k best eligible vectors of each query, best first, ties by position.

        Eligible is what was not removed and, given a mask, where the mask is True. Every row holds exactly
        ``min(k, number of eligible vectors)`` distinct positions and is padded with position -1 and score -inf.

        Shapes: queries float32 (q, dim), mask bool (num_vectors,) -> positions int32 (q, k), scores float32 (q, k).

        Raises:
            ShapeError: wrong shape or dtype, or a query with NaN or infinity (its row is named).
            ConfigError: k < 1.
        """
        ...

    def add(self, vectors: FloatArray) -> Self:
        """A new index in which ``vectors`` float32 (m, dim) follow at positions num_vectors .. num_vectors + m - 1."""
        ...

    def remove(self, positions: NDArray[np.integer[Any]]) -> Self:
        """A new index that never returns these positions; the others keep theirs. Removing twice is no error."""
        ...


class ExactIndex:
    """Scores every vector with numpy: the reference, and a good index for small catalogues.

    Args:
        vectors: float32 (n, dim), finite; kept without a copy when C-contiguous, so it must not be changed afterwards.

    Raises:
        ShapeError: wrong shape or dtype, or a vector with NaN or infinity (its row is named).
    """

    capabilities = frozenset({EXACT, ADD, REMOVE})

    def __init__(self, vectors: FloatArray) -> None:
        self._vectors = check_vectors("vectors", vectors)
        self._scan = Scan(self._vectors)
        self._live: BoolArray | None = None

    @property
    def num_vectors(self) -> int:
        return len(self._vectors)

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    def search(self, queries: FloatArray, k: int, *, mask: BoolArray | None = None) -> tuple[PosArray, FloatArray]:
        """See :meth:`VectorIndex.search`. Queries are scored in blocks, so that no q x n matrix is held."""
        queries = check_vectors("queries", queries, dim=self.dim)
        eligible = check_mask(mask, self._live, self.num_vectors)
        return self._scan.best(queries, check_k(k), eligible)

    def add(self, vectors: FloatArray) -> ExactIndex:
        """See :meth:`VectorIndex.add`."""
        more = ExactIndex(np.concatenate([self._vectors, check_vectors("vectors", vectors, dim=self.dim)]))
        more._live = extend_live(self._live, more.num_vectors)
        return more

    def remove(self, positions: NDArray[np.integer[Any]]) -> ExactIndex:
        """See :meth:`VectorIndex.remove`."""
        fewer = ExactIndex(self._vectors)
        fewer._live = without(self._live, positions, self.num_vectors)
        return fewer


def check_vectors(name: str, array: FloatArray, *, dim: int | None = None) -> FloatArray:
    """The array, C-contiguous, when it is float32 (rows, dim) with finite values; else ShapeError.

    Values so large that a squared length overflows float32 are refused like infinity: their scores would be NaN.
    """
    width = "dim" if dim is None else str(dim)
    if (
        not isinstance(array, np.ndarray)
        or array.ndim != 2
        or array.dtype != np.float32
        or array.shape[1] != (dim or array.shape[1])
    ):
        raise ShapeError(
            name,
            expected=f"a float32 array of shape (rows, {width})",
            got=Shown(f"{array.dtype} {array.shape}") if isinstance(array, np.ndarray) else array,
            remedy="Convert with .astype(np.float32); a single vector v goes in as v[None, :].",
        )
    if array.shape[1] == 0:
        raise ShapeError(name, expected="at least one column", got=array.shape, remedy="Pass vectors of dimension >= 1.")
    array = np.ascontiguousarray(array)
    with np.errstate(over="ignore", invalid="ignore"):
        bad = ~np.isfinite(np.einsum("ij,ij->i", array, array))
    if bad.any():
        row = int(bad.argmax())
        raise ShapeError(
            f"{name}, row {row}",
            expected="finite float32 values",
            got=array[row, :8].tolist(),
            remedy="Replace NaN and infinity, for example by a zero row, which scores 0 everywhere.",
        )
    return array


def check_k(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ConfigError("k", expected="an integer >= 1", got=k, remedy="Say how many neighbours you want, e.g. k=100.")
    return int(k)


def check_mask(mask: BoolArray | None, live: BoolArray | None, num_vectors: int) -> BoolArray | None:
    """Where a vector is eligible: the mask without what was removed. None means everywhere."""
    if mask is None:
        return live
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_vectors,):
        raise ShapeError(
            "mask",
            expected=f"a bool array of shape ({num_vectors},)",
            got=Shown(f"{mask.dtype} {mask.shape}") if isinstance(mask, np.ndarray) else mask,
            remedy="Pass one True or False per vector of the index.",
        )
    return mask if live is None else mask & live


def extend_live(live: BoolArray | None, num_vectors: int) -> BoolArray | None:
    """Where a vector was not removed, after vectors were added."""
    return None if live is None else np.concatenate([live, np.ones(num_vectors - len(live), np.bool_)])


def without(live: BoolArray | None, positions: NDArray[np.integer[Any]], num_vectors: int) -> BoolArray:
    """Where a vector was not removed, after these positions were removed too."""
    positions = np.asarray(positions)
    if positions.ndim != 1 or (positions.size and not np.issubdtype(positions.dtype, np.integer)):
        raise ShapeError("positions", expected="a 1-d integer array", got=positions, remedy="Pass the positions to remove.")
    wrong = positions[(positions < 0) | (positions >= num_vectors)]
    if wrong.size:
        raise ShapeError(
            "positions",
            expected=f"positions in 0 .. {num_vectors - 1}",
            got=wrong[:8].tolist(),
            remedy="Convert ids with the vocabulary that the index was built with.",
        )
    left = np.ones(num_vectors, np.bool_) if live is None else live.copy()
    left[positions.astype(np.intp)] = False
    return left
