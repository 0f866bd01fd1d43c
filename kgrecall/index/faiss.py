"""Vector search by FAISS, behind the promises of :class:`~kgrecall.index.base.VectorIndex`.

Douze et al., "The Faiss library", 2024 (arXiv:2401.08281); HNSW: Malkov and Yashunin, 2018 (arXiv:1603.09320).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from kgrecall.errors import ArtifactError, BudgetExceeded, ConfigError, CorruptArtifact, Shown
from kgrecall.index.base import (
    ADD,
    EXACT,
    REMOVE,
    SAVE,
    check_k,
    check_mask,
    check_vectors,
    extend_live,
    without,
)
from kgrecall.index.faiss_config import FLAT_LIMIT
from kgrecall.index.faiss_config import FaissConfig as FaissConfig
from kgrecall.index.faiss_lists import EligibleLists
from kgrecall.index.faiss_search import FaissSearch
from kgrecall.index.lift import Lift
from kgrecall.index.scan import Scan, padded
from kgrecall.types import BoolArray, FloatArray, PosArray, Progress, no_progress

_TRAIN_POINTS_PER_LIST = 64
_ADD_BLOCK = 65_536


class _Saved(BaseModel):
    """What lies beside the index file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    config: FaissConfig
    lift: float
    num_vectors: int
    dim: int
    num_bytes: int


class FaissIndex:
    """An immutable FAISS index over inner products. Made by :meth:`build` or :meth:`load`.

    Tight masks are searched exactly, whatever the kind; an approximate search that comes back with less than it owes is
    repeated exactly. Removed vectors stay in memory behind a mask until the index is built anew. A search uses one thread:
    requests run beside each other instead of each taking every core.
    """

    def __init__(self, index: Any, config: FaissConfig, lift: Lift, live: BoolArray | None = None) -> None:
        self._index, self._lift, self._live = index, lift, live
        self.config, self._lists = config, EligibleLists(index)
        self._scan = Scan(_stored(index)) if config.kind == "flat" and 0 < index.ntotal <= FLAT_LIMIT else None

    @classmethod
    def build(
        cls,
        vectors: FloatArray,
        config: FaissConfig | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
        progress: Progress = no_progress,
    ) -> FaissIndex:
        """An index of ``vectors`` float32 (n, dim); vector i gets position i.

        The same seed gives the same index; with more than one thread hnsw may differ from run to run.

        Raises:
            ShapeError: wrong shape or dtype, or a vector with NaN or infinity (its row is named).
            ConfigError: settings that FAISS refuses, or values beyond the range of fp16.
            BudgetExceeded: not enough memory.
        """
        vectors = check_vectors("vectors", vectors)
        config = (config or FaissConfig()).resolved(len(vectors))
        config.check_range(vectors)
        lift = Lift.fitted(vectors) if config.kind in ("ivf", "hnsw") else Lift()
        try:
            with _omp_threads(threads):
                index = _empty_index(vectors.shape[1] + lift.num_columns, config, seed)
                if len(vectors) and not index.is_trained:
                    progress("build index: cluster", 0, None)
                    most = (config.num_lists or 1) * _TRAIN_POINTS_PER_LIST
                    index.train(lift.vectors(vectors[np.random.default_rng(seed).permutation(len(vectors))[:most]]))
                for start in range(0, len(vectors), _ADD_BLOCK):
                    index.add(lift.vectors(vectors[start : start + _ADD_BLOCK]))
                    progress("build index", index.ntotal, len(vectors))
        except MemoryError as error:
            raise BudgetExceeded(
                "FaissIndex.build",
                expected="enough memory for the vectors",
                got=vectors.shape,
                remedy="Use kind='fp16', which needs half of it.",
            ) from error
        except RuntimeError as error:
            raise ConfigError(
                "FaissConfig", expected="settings that FAISS accepts", got=Shown(str(error)), remedy="Use the defaults."
            ) from error
        return cls(index, config, lift)

    @property
    def capabilities(self) -> frozenset[str]:
        common = frozenset({ADD, REMOVE, SAVE})
        return common | {EXACT} if self.config.kind in ("flat", "fp16") else common

    @property
    def num_vectors(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        return int(self._index.d) - self._lift.num_columns

    def search(self, queries: FloatArray, k: int, *, mask: BoolArray | None = None) -> tuple[PosArray, FloatArray]:
        """See :meth:`~kgrecall.index.base.VectorIndex.search`."""
        queries = check_vectors("queries", queries, dim=self.dim)
        k, eligible = check_k(k), check_mask(mask, self._live, self.num_vectors)
        if self._scan is not None:
            return self._scan.best(queries, k, eligible)
        positions, scores = padded(len(queries), k)
        count = self.num_vectors if eligible is None else int(np.count_nonzero(eligible))
        want = min(k, count)
        if not want or not len(queries):
            return positions, scores
        asked = FaissSearch(self._index, self.config, self._lists, eligible, count)
        zero = ~queries.any(axis=1)
        if zero.any():
            positions[zero, :want] = np.arange(want) if eligible is None else np.flatnonzero(eligible)[:want]
            scores[zero, :want] = 0
        rest = np.flatnonzero(~zero)
        with _omp_threads(1):
            positions[rest, :want], scores[rest, :want] = asked.nearest(self._lift.queries(queries[rest]), want)
        return positions, scores

    def add(self, vectors: FloatArray) -> FaissIndex:
        """See :meth:`~kgrecall.index.base.VectorIndex.add`. Copies the index; lists of ivf keep their centres."""
        vectors = check_vectors("vectors", vectors, dim=self.dim)
        self.config.check_range(vectors)
        # Not clone_index: a clone of a memory-mapped index shares its pages, and FAISS aborts the process on add.
        index = faiss.deserialize_index(faiss.serialize_index(self._index))
        with _omp_threads(1):
            if not index.is_trained:
                index.train(vectors)
            index.add(self._lift.vectors(vectors))
        return FaissIndex(index, self.config, self._lift, extend_live(self._live, int(index.ntotal)))

    def remove(self, positions: NDArray[np.integer[Any]]) -> FaissIndex:
        """See :meth:`~kgrecall.index.base.VectorIndex.remove`. Shares the vectors with this index."""
        return FaissIndex(self._index, self.config, self._lift, without(self._live, positions, self.num_vectors))

    def save(self, folder: Path) -> None:
        """Write ``index.faiss``, ``index.json`` and, when vectors were removed, ``live.npy`` into the folder.

        Raises:
            ArtifactError: the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        file, beside = folder / "index.faiss", folder / "index.faiss.part"
        try:
            # Renamed into place: this very index may be memory-mapped from that file.
            faiss.write_index(self._index, str(beside))
            beside.replace(file)
        except (RuntimeError, OSError) as error:
            raise ArtifactError(
                str(file), expected="a writable file", got=Shown(str(error)), remedy="Free space or choose another folder."
            ) from error
        counts = {"num_vectors": self.num_vectors, "dim": self.dim, "num_bytes": file.stat().st_size}
        saved = _Saved(config=self.config, lift=self._lift.radius, **counts)
        (folder / "index.json").write_text(saved.model_dump_json(indent=1), encoding="utf-8")
        (folder / "live.npy").unlink(missing_ok=True)
        if self._live is not None:
            np.save(folder / "live.npy", self._live)

    @classmethod
    def load(cls, folder: Path, *, mmap: bool = True) -> FaissIndex:
        """Open what :meth:`save` wrote; memory-mapped, processes share one copy and opening takes milliseconds.

        Raises:
            CorruptArtifact: a file is missing, cut or not what was saved.
        """
        file = folder / "index.faiss"
        try:
            saved = _Saved.model_validate_json((folder / "index.json").read_bytes())
            lift = Lift(saved.lift)
            expected = (saved.num_bytes, saved.num_vectors, saved.dim + lift.num_columns)
            index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC if mmap else 0)
            found = (file.stat().st_size, int(index.ntotal), int(index.d))
            live = np.load(folder / "live.npy") if (folder / "live.npy").exists() else None
            if found == expected and (live is None or (live.shape == found[1:2] and live.dtype == np.bool_)):
                return cls(index, saved.config, lift, live)
            problem = f"bytes, vectors, dim {found} instead of {expected}"
        except (OSError, ValueError, EOFError, RuntimeError, MemoryError, ValidationError, ConfigError) as error:
            problem = str(error)
        raise CorruptArtifact(
            str(folder), expected="an index as it was saved", got=Shown(problem), remedy="Build the index again."
        )


def _stored(index: Any) -> FloatArray:
    """A view of the vectors of a flat index, float32 (n, dim); memory-mapped where it is."""
    vectors: FloatArray = faiss.rev_swig_ptr(index.get_xb(), int(index.ntotal) * int(index.d))
    return vectors.reshape(-1, int(index.d))


def _empty_index(dim: int, config: FaissConfig, seed: int) -> Any:
    descriptions = {
        "flat": "Flat",
        "fp16": "SQfp16",
        "ivf": f"IVF{config.num_lists},Flat",
        "hnsw": f"HNSW{config.hnsw_neighbors}",
    }
    index = faiss.index_factory(dim, descriptions[config.kind], faiss.METRIC_INNER_PRODUCT)
    if config.kind == "hnsw":
        index.hnsw.efConstruction = config.hnsw_build_depth
    if config.kind == "ivf":
        index.cp.seed, index.cp.max_points_per_centroid = seed, _TRAIN_POINTS_PER_LIST
    return index


@contextmanager
def _omp_threads(threads: int) -> Iterator[None]:
    """Limit OpenMP for the calling thread only (the setting is per thread), and put the old limit back."""
    if threads < 1:
        raise ConfigError("threads", expected="an integer >= 1", got=threads, remedy="Pass the number of threads to use.")
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
