"""The settings of a FAISS index and the automatic choices."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from kgrecall.errors import ConfigError
from kgrecall.settings import Settings
from kgrecall.types import FloatArray

_FP16_MAX = 65504.0
FLAT_LIMIT = 100_000
_POINTS_PER_LIST = 39
_LEAST_PROBES = 16


class FaissConfig(Settings):
    """How vectors are stored and searched."""

    kind: Literal["auto", "flat", "fp16", "ivf", "hnsw"] = "auto"
    """``flat``: every vector as float32, exact. ``fp16``: every vector as float16, half the memory, exact but for the
    rounding of the vectors. ``ivf``: vectors in lists around k-means centres, of which a few are searched. ``hnsw``: a
    navigable graph; the slowest to build and the largest. ``auto``: flat up to 100,000 vectors, ivf beyond."""
    num_lists: int | None = Field(None, ge=1)
    """ivf: number of lists; None: 2 sqrt(n). Never more than n / 39, below which centres are noise."""
    num_probes: int | None = Field(None, ge=1)
    """ivf: lists searched per query; more is slower and finds more. None: one list in 16, at least 16."""
    hnsw_neighbors: int = Field(24, ge=2)
    """hnsw: links of a vector and layer (M)."""
    hnsw_build_depth: int = Field(200, ge=1)
    """hnsw: candidates kept while building (efConstruction)."""
    hnsw_search_depth: int = Field(200, ge=1)
    """hnsw: candidates kept while searching (efSearch); never less than k."""
    hnsw_exact_below: float = Field(0.2, ge=0, le=1)
    """hnsw: when a mask keeps a smaller share of the vectors, score all that it keeps: walking the graph loses them."""

    def resolved(self, num_vectors: int) -> FaissConfig:
        """These settings with every automatic choice made for so many vectors."""
        kind = self.kind if self.kind != "auto" else ("flat" if num_vectors <= FLAT_LIMIT else "ivf")
        most = max(1, num_vectors // _POINTS_PER_LIST)
        num_lists = min(most, self.num_lists or max(1, round(2 * math.sqrt(num_vectors))))
        num_probes = min(num_lists, self.num_probes or max(_LEAST_PROBES, math.ceil(num_lists / 16)))
        return self.model_copy(update={"kind": kind, "num_lists": num_lists, "num_probes": num_probes})

    def check_range(self, vectors: FloatArray) -> None:
        """ConfigError when ``vectors`` hold values that this kind cannot store."""
        largest = float(np.abs(vectors).max(initial=0)) if self.kind == "fp16" else 0.0
        if largest > _FP16_MAX:
            raise ConfigError(
                "FaissConfig.kind",
                expected=f"values up to {_FP16_MAX:.0f} for fp16",
                got=largest,
                remedy="Use kind='flat', or normalise the vectors.",
            )
