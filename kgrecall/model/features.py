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
    """What multiplies the edges of each relation and the texts in a regression, and how strongly it is pulled to zero.

    ``hub_powers``: an edge to an entity of ``d`` items is divided by ``d ** power``: how much less hubs say.
    """

    relations: Mapping[str, float]
    hub_powers: Mapping[str, float]
    text: float
    penalty: float


@dataclass(frozen=True, slots=True)
class FeatureBlocks:
    """The parts of :class:`ItemFeatures` before they are weighed.

    Shapes: ``relations`` name -> csr float32 (num_items, num_entities), all over the same entities, edges divided by the root
    of the weight of all edges of the item; ``degrees`` name -> float32 (num_entities,), >= 1, the weight of the edges of each
    entity; ``text`` float32 (num_items, text_dim) or None.
    """

    num_items: int
    relations: Mapping[str, sparse.csr_array]
    degrees: Mapping[str, FloatArray]
    text: FloatArray | None

    @classmethod
    def of(cls, num_items: int, edges: Mapping[str, sparse.csr_array], text: FloatArray | None) -> FeatureBlocks:
        """From weighted edges (num_items, num_entities) of each relation."""
        relations, degrees = {}, {}
        for name, matrix in edges.items():
            by_item = np.asarray(matrix.sum(axis=1)).ravel()
            scale = np.divide(1.0, np.sqrt(by_item), out=np.zeros_like(by_item, np.float64), where=by_item > 0)
            relations[name] = sparse.csr_array(sparse.diags_array(scale) @ matrix).astype(np.float32)
            degrees[name] = np.maximum(np.asarray(matrix.sum(axis=0), np.float32).ravel(), np.float32(1.0))
        return cls(num_items, relations, degrees, text)

    def weighed(self, weights: FeatureWeights) -> ItemFeatures:
        """One matrix of all edges, each by the weights of its relation, beside the weighed texts."""
        parts = [self._columns(name, weights)[None, :] * matrix for name, matrix in self.relations.items()]
        graph = sparse.csr_array(sum(parts[1:], parts[0])) if parts else None
        return ItemFeatures(self.num_items, graph, None if self.text is None else np.float32(weights.text) * self.text)

    @property
    def _num_entities(self) -> int:
        return next((int(matrix.shape[1]) for matrix in self.relations.values()), 0)

    def _columns(self, name: str, weights: FeatureWeights) -> FloatArray:
        """What multiplies the edges to each entity."""
        column: FloatArray = (weights.relations[name] * self.degrees[name] ** -weights.hub_powers[name]).astype(np.float32)
        return column

    def shares(self, x: FloatArray, weights: FeatureWeights) -> dict[str, float]:
        """What each relation, and ``text``, has of ``F x`` for an x (num_entities + text_dim, d): shares that add up to 1, the
        largest first, by the inner product with the whole (Pratt, 1987); below 0 where it takes back what others say."""
        width = self._num_entities
        parts = {name: matrix @ (self._columns(name, weights)[:, None] * x[:width]) for name, matrix in self.relations.items()}
        if self.text is not None:
            parts["text"] = np.float32(weights.text) * (self.text @ x[width:])
        whole = sum(parts.values())
        shares = {name: float(np.vdot(part, whole)) for name, part in parts.items()}
        total = sum(shares.values()) or 1.0
        return {name: shares[name] / total for name in sorted(shares, key=lambda name: -shares[name])}

    def images(self, x: FloatArray, weights: FeatureWeights) -> Iterator[FloatArray]:
        """``dF/dw x`` for the logarithm w of the weight of each relation, for its hub power, and for the logarithm of the
        weight of the texts: (num_entities + text_dim, d) -> (num_items, d) each."""
        width = self._num_entities
        for name, matrix in self.relations.items():
            column = self._columns(name, weights)[:, None]
            yield matrix @ (column * x[:width])
            yield matrix @ (column * -np.log(self.degrees[name])[:, None] * x[:width])
        if self.text is not None:
            yield np.float32(weights.text) * (self.text @ x[width:])

    def take(self, items: IntArray) -> FeatureBlocks:
        """The same of these items alone."""
        relations = {name: matrix[items] for name, matrix in self.relations.items()}
        return replace(self, num_items=len(items), relations=relations, text=None if self.text is None else self.text[items])
