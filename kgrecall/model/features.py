"""What is known of items beside their interactions, as linear maps: normalised edges to knowledge nodes, and texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from kgrecall.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class ItemFeatures:
    """``graph`` csr float32 (num_items, num_entities) beside ``text`` float32 (num_items, text_dim); either may be None."""

    num_items: int
    graph: sparse.csr_array | None
    text: FloatArray | None

    @property
    def num_entities(self) -> int:
        return 0 if self.graph is None else int(self.graph.shape[1])

    def apply(self, x: FloatArray) -> FloatArray:
        """``[S T] x``: (num_entities + text_dim, d) -> (num_items, d)."""
        out = np.zeros((self.num_items, x.shape[1]), np.float32)
        if self.graph is not None:
            out += self.graph @ x[: self.num_entities]
        if self.text is not None:
            out += self.text @ x[self.num_entities :]
        return out

    def adjoint(self, y: FloatArray) -> FloatArray:
        """``[S T]^T y``: (num_items, d) -> (num_entities + text_dim, d)."""
        none = np.zeros((0, y.shape[1]), np.float32)
        graph = none if self.graph is None else self.graph.T @ y
        return np.concatenate([graph, none if self.text is None else self.text.T @ y])

    def present(self) -> BoolArray:
        """Items that have a neighbour or a text, bool (num_items,)."""
        found = np.zeros(self.num_items, np.bool_)
        if self.graph is not None:
            found |= np.diff(self.graph.indptr) > 0
        return found if self.text is None else found | self.text.any(axis=1)


@dataclass(frozen=True, slots=True)
class FeatureWeights:
    """What multiplies the edges of each relation and the texts in a regression, and how strongly it is pulled to zero."""

    relations: Mapping[str, float]
    text: float
    penalty: float

    def shares(self) -> dict[str, float]:
        """Weights above zero, of relations and of ``text``, as shares of the largest; the largest first."""
        weights = {name: weight for name, weight in {**self.relations, "text": self.text}.items() if weight > 0}
        return {name: weights[name] / max(weights.values()) for name in sorted(weights, key=lambda name: -weights[name])}


@dataclass(frozen=True, slots=True)
class FeatureBlocks:
    """The parts of :class:`ItemFeatures` before they are weighed: ``relations`` name -> csr float32 (num_items,
    num_entities), all over the same entities; ``text`` float32 (num_items, text_dim) or None."""

    num_items: int
    relations: Mapping[str, sparse.csr_array]
    text: FloatArray | None

    def weighed(self, weights: FeatureWeights) -> ItemFeatures:
        """One matrix of all edges, each times the weight of its relation, beside the weighed texts."""
        parts = [np.float32(weights.relations[name]) * matrix for name, matrix in self.relations.items()]
        graph = sparse.csr_array(sum(parts[1:], parts[0])) if parts else None
        return ItemFeatures(self.num_items, graph, None if self.text is None else np.float32(weights.text) * self.text)

    def images(self, x: FloatArray) -> Iterator[FloatArray]:
        """``S_r x`` of each relation, then ``T x``: (num_entities + text_dim, d) -> (num_items, d) each."""
        width = next((matrix.shape[1] for matrix in self.relations.values()), 0)
        for matrix in self.relations.values():
            yield matrix @ x[:width]
        if self.text is not None:
            yield self.text @ x[width:]

    def take(self, items: IntArray) -> FeatureBlocks:
        """The same of these items alone."""
        relations = {name: matrix[items] for name, matrix in self.relations.items()}
        return replace(self, num_items=len(items), relations=relations, text=None if self.text is None else self.text[items])
