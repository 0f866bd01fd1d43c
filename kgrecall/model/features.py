"""What is known of items beside their interactions, as linear maps: normalised edges to knowledge nodes, texts, own vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from kgrecall.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class ItemFeatures:
    """``graph`` csr float32 (num_items, num_entities) beside ``dense`` float32 (num_items, dense_dim), the texts and own
    vectors of the items; either may be None."""

    num_items: int
    graph: sparse.csr_array | None
    dense: FloatArray | None

    @property
    def num_entities(self) -> int:
        return 0 if self.graph is None else int(self.graph.shape[1])

    def apply(self, x: FloatArray) -> FloatArray:
        """``[S T] x``: (num_entities + dense_dim, d) -> (num_items, d)."""
        out = np.zeros((self.num_items, x.shape[1]), np.float32)
        if self.graph is not None:
            out += self.graph @ x[: self.num_entities]
        if self.dense is not None:
            out += self.dense @ x[self.num_entities :]
        return out

    def adjoint(self, y: FloatArray) -> FloatArray:
        """``[S T]^T y``: (num_items, d) -> (num_entities + dense_dim, d)."""
        none = np.zeros((0, y.shape[1]), np.float32)
        graph = none if self.graph is None else self.graph.T @ y
        return np.concatenate([graph, none if self.dense is None else self.dense.T @ y])

    def present(self) -> BoolArray:
        """Items that have a neighbour, a text or a vector, bool (num_items,)."""
        found = np.zeros(self.num_items, np.bool_)
        if self.graph is not None:
            found |= np.diff(self.graph.indptr) > 0
        return found if self.dense is None else found | self.dense.any(axis=1)


@dataclass(frozen=True, slots=True)
class FeatureWeights:
    """What multiplies the edges of each relation and each dense part (the texts, and vectors by their names) in a regression,
    and how strongly it is pulled to zero.

    ``hub_powers``: an edge to an entity of ``d`` items is divided by ``d ** power``: how much less hubs say.
    """

    relations: Mapping[str, float]
    hub_powers: Mapping[str, float]
    dense: Mapping[str, float]
    penalty: float


@dataclass(frozen=True, slots=True)
class FeatureBlocks:
    """The parts of :class:`ItemFeatures` before they are weighed.

    Shapes: ``relations`` name -> csr float32 (num_items, num_entities), all over the same entities, edges divided by the root
    of the weight of all edges of the item; ``degrees`` name -> float32 (num_entities,), >= 1, the weight of the edges of each
    entity; ``dense`` name -> float32 (num_items, dim), zero rows where nothing is known.
    """

    num_items: int
    relations: Mapping[str, sparse.csr_array]
    degrees: Mapping[str, FloatArray]
    dense: Mapping[str, FloatArray]

    @classmethod
    def of(cls, num_items: int, edges: Mapping[str, sparse.csr_array], dense: Mapping[str, FloatArray]) -> FeatureBlocks:
        """From weighted edges (num_items, num_entities) of each relation."""
        relations, degrees = {}, {}
        for name, matrix in edges.items():
            by_item = np.asarray(matrix.sum(axis=1)).ravel()
            scale = np.divide(1.0, np.sqrt(by_item), out=np.zeros_like(by_item, np.float64), where=by_item > 0)
            relations[name] = sparse.csr_array(sparse.diags_array(scale) @ matrix).astype(np.float32)
            degrees[name] = np.maximum(np.asarray(matrix.sum(axis=0), np.float32).ravel(), np.float32(1.0))
        return cls(num_items, relations, degrees, dense)

    def weighed(self, weights: FeatureWeights) -> ItemFeatures:
        """One matrix of all edges, each by the weights of its relation, beside one of all dense parts."""
        parts = [self._columns(name, weights)[None, :] * matrix for name, matrix in self.relations.items()]
        graph = sparse.csr_array(sum(parts[1:], parts[0])) if parts else None
        dense = [np.float32(weights.dense[name]) * part for name, part in self.dense.items()]
        return ItemFeatures(self.num_items, graph, np.concatenate(dense, axis=1) if dense else None)

    @property
    def _num_entities(self) -> int:
        return next((int(matrix.shape[1]) for matrix in self.relations.values()), 0)

    def _columns(self, name: str, weights: FeatureWeights) -> FloatArray:
        """What multiplies the edges to each entity."""
        column: FloatArray = (weights.relations[name] * self.degrees[name] ** -weights.hub_powers[name]).astype(np.float32)
        return column

    def _of_dense(self, x: FloatArray, weights: FeatureWeights) -> Iterator[tuple[str, FloatArray]]:
        """What each dense part has of ``F x``: (num_items, d)."""
        start = self._num_entities
        for name, part in self.dense.items():
            yield name, np.float32(weights.dense[name]) * (part @ x[start : start + part.shape[1]])
            start += part.shape[1]

    def shares(self, x: FloatArray, weights: FeatureWeights) -> dict[str, float]:
        """What each relation and each dense part has of ``F x`` for an x (num_entities + dense_dim, d): shares that add up to
        1, the largest first, by the inner product with the whole (Pratt, 1987); below 0 where it takes back what others say."""
        width = self._num_entities
        parts = {name: matrix @ (self._columns(name, weights)[:, None] * x[:width]) for name, matrix in self.relations.items()}
        parts.update(self._of_dense(x, weights))
        whole = sum(parts.values())
        shares = {name: float(np.vdot(part, whole)) for name, part in parts.items()}
        total = sum(shares.values()) or 1.0
        return {name: shares[name] / total for name in sorted(shares, key=lambda name: -shares[name])}

    def images(self, x: FloatArray, weights: FeatureWeights) -> Iterator[FloatArray]:
        """``dF/dw x`` for the logarithm w of the weight of each relation, for its hub power, and for the logarithm of the
        weight of each dense part: (num_entities + dense_dim, d) -> (num_items, d) each."""
        width = self._num_entities
        for name, matrix in self.relations.items():
            column = self._columns(name, weights)[:, None]
            yield matrix @ (column * x[:width])
            yield matrix @ (column * -np.log(self.degrees[name])[:, None] * x[:width])
        yield from (image for _, image in self._of_dense(x, weights))

    def take(self, items: IntArray) -> FeatureBlocks:
        """The same of these items alone."""
        relations = {name: matrix[items] for name, matrix in self.relations.items()}
        dense = {name: part[items] for name, part in self.dense.items()}
        return replace(self, num_items=len(items), relations=relations, dense=dense)
