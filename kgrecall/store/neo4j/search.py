"""Vectors and full text inside the database, searched by its own indexes.

Vectors are a property of the nodes (``embedding``), so that Cypher can combine them with the graph; they are derived data:
writing them is no write of the graph, and ``version()`` stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.errors import ConfigError, ShapeError, Shown, StaleArtifact, Unsupported
from kgrecall.store.neo4j.connection import Connection, Parameters, Row, Run
from kgrecall.store.neo4j.indexes import Index, index_over, indexes_of
from kgrecall.store.neo4j.statements import AWAIT_INDEXES, quoted
from kgrecall.store.neo4j.store import Neo4jStore
from kgrecall.types import BoolArray, FloatArray, PosArray

_WRITE_ROWS = 1_000
_EXACT_BELOW = 2_000
"""With so few eligible nodes they are all compared: cheaper than to search past the others, and exact."""
_WORD = re.compile(r"\w+")


class Neo4jVectorIndex:
    """Item or user vectors as a :class:`kgrecall.index.base.VectorIndex` that the database holds.

    Vectors count by direction: they are compared by cosine, which is the inner product for vectors of length 1. Nodes without a
    vector, and zero vectors, are never found.

    Args:
        store: an open store.
        label: label of the nodes.
        ids: their ids in the order of positions (``vocabulary.ids``).
        dim: dimension of the vectors.
        name: the property that holds them, not one of the schema.
        overfetch: how many times k are asked for: the index is approximate, and gets better when asked for more.
    """

    capabilities: frozenset[str] = frozenset()

    def __init__(
        self, store: Neo4jStore, label: str, ids: pa.StringArray, dim: int, *, name: str = "embedding", overfetch: float = 2.0
    ) -> None:
        properties = store.schema.node(label).properties
        if name in properties:
            raise ConfigError("name", expected="a property of its own", got=name, remedy=f"The schema uses it: {properties}.")
        self._connection, self._label, self._name = store.connection, label, name
        self._ids, self._dim, self._overfetch = ids, dim, overfetch

    @classmethod
    def build(
        cls, store: Neo4jStore, label: str, ids: pa.StringArray, vectors: FloatArray, *, name: str = "embedding"
    ) -> Neo4jVectorIndex:
        """Write vectors float32 (n, dim), row i to the node ``ids[i]``, and make the index; returns when it can be searched."""
        index = cls(store, label, ids, vectors.shape[1], name=name)
        index.write(vectors)
        return index

    @property
    def num_vectors(self) -> int:
        return len(self._ids)

    @property
    def dim(self) -> int:
        return self._dim

    def write(self, vectors: FloatArray) -> None:
        """Replace all vectors; float32 (n, dim). A zero row clears the property.

        Raises:
            StaleArtifact: the database lacks some of the nodes.
            Unsupported: somebody's own index over the property holds vectors of another length.
        """
        if vectors.shape != (self.num_vectors, self._dim):
            shape = (self.num_vectors, self._dim)
            raise ShapeError("vectors", expected=str(shape), got=vectors.shape, remedy="Pass one row per id.")
        self._make_index()
        present = vectors.any(axis=1)
        node = f"UNWIND range(0, size($id) - 1) AS k MATCH (n:{quoted(self._label)} {{id: $id[k]}})"
        write = f"{node} CALL db.create.setNodeVectorProperty(n, $name, $vector[k]) RETURN count(*)"
        clear = f"{node} REMOVE n.{quoted(self._name)} RETURN count(*)"
        for statement, rows in ((write, np.flatnonzero(present)), (clear, np.flatnonzero(~present))):
            for start in range(0, len(rows), _WRITE_ROWS):
                part = rows[start : start + _WRITE_ROWS]
                given = {"id": self._ids.take(pa.array(part)).to_pylist(), "vector": vectors[part].tolist(), "name": self._name}
                there = self._connection.write(partial(_run, statement, given))[0][0]
                if there != len(part):
                    raise self._stale(len(part) - there)
        self._connection.execute(AWAIT_INDEXES)

    def search(self, queries: FloatArray, k: int, *, mask: BoolArray | None = None) -> tuple[PosArray, FloatArray]:
        """See :meth:`kgrecall.index.base.VectorIndex.search`; a zero query finds nothing.

        Raises:
            NotBuilt: the database has no such index.
        """
        positions = np.full((len(queries), k), -1, np.int32)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", queries, queries))
        asked = np.flatnonzero(lengths)
        eligible = np.ones(self.num_vectors, np.bool_) if mask is None else mask
        count = int(eligible.sum())
        if not len(asked) or not count:
            return positions, scores
        found = self._nearest(queries[asked], k, eligible, count)
        for row, (hits, similarity) in zip(asked, found, strict=True):
            order = np.lexsort((hits, -similarity))[:k]
            positions[row, : len(order)] = hits[order]
            scores[row, : len(order)] = (2 * similarity[order] - 1) * lengths[row]
        return positions, scores

    def add(self, vectors: FloatArray) -> Neo4jVectorIndex:
        raise self._fixed("add")

    def remove(self, positions: Any) -> Neo4jVectorIndex:
        raise self._fixed("remove")

    def _nearest(self, queries: FloatArray, k: int, eligible: BoolArray, count: int) -> list[tuple[PosArray, FloatArray]]:
        """Eligible positions and similarities (0 to 1) of each query, in any order."""
        fetch = int(np.ceil(k * self._overfetch * self.num_vectors / count))
        while count > _EXACT_BELOW and fetch < self.num_vectors:
            statement = (
                "UNWIND range(0, size($query) - 1) AS q CALL db.index.vector.queryNodes($index, $fetch, $query[q])"
                " YIELD node, score WITH q, node, score RETURN q, collect(node.id), collect(score) ORDER BY q"
            )
            rows = self._read(statement, query=queries.tolist(), fetch=fetch, index=self._index)
            found = [self._eligible(ids, scores, eligible) for _, ids, scores in rows]
            if len(found) == len(queries) and all(len(hits) >= min(k, count) for hits, _ in found):
                return found
            fetch *= 4
        ids = self._ids.filter(pa.array(eligible)).to_pylist()
        statement = (
            f"UNWIND range(0, size($query) - 1) AS q CALL {{ WITH q UNWIND $id AS id MATCH (n:{quoted(self._label)} {{id: id}})"
            f" WITH n, q WHERE n.{quoted(self._name)} IS NOT NULL"
            f" WITH n.id AS id, vector.similarity.cosine(n.{quoted(self._name)}, $query[q]) AS score"
            " ORDER BY score DESC, id LIMIT $k RETURN collect(id) AS ids, collect(score) AS scores }"
            " RETURN q, ids, scores ORDER BY q"
        )
        rows = self._read(statement, query=queries.tolist(), id=ids, k=k)
        return [self._eligible(found_ids, scores, eligible) for _, found_ids, scores in rows]

    def _eligible(self, ids: Sequence[str], scores: Sequence[float], eligible: BoolArray) -> tuple[PosArray, FloatArray]:
        hits, known = positions_of(self._ids, ids)
        kept = eligible[hits]
        return hits[kept], np.asarray(scores, np.float32)[known][kept]

    def _make_index(self) -> None:
        """One of the right dimension; exact values instead of Neo4j's 8-bit ones, which miss a tenth of the neighbours."""
        own = f"kgrecall_{self._label}_{self._name}"
        drop_unless(self._connection, own, lambda index: index.dim == self._dim)
        self._connection.execute(
            f"CREATE VECTOR INDEX {quoted(own)} IF NOT EXISTS FOR (n:{quoted(self._label)}) ON n.{quoted(self._name)}"
            f" OPTIONS {{indexConfig: {{`vector.dimensions`: {int(self._dim)}, `vector.similarity_function`: 'cosine',"
            " `vector.quantization.enabled`: false, `vector.hnsw.m`: 24, `vector.hnsw.ef_construction`: 200}}"
        )
        index = index_over(self._connection, "VECTOR", self._label, self._name)
        if index.dim not in (self._dim, None):
            raise Unsupported(
                f"vector index {index.name}",
                expected=f"vectors of length {self._dim}",
                got=index.dim,
                remedy=f"Drop it, or write the vectors under another property than {self._name}.",
            )

    @cached_property
    def _index(self) -> str:
        """Its name in the database, as it was when the first question came."""
        return index_over(self._connection, "VECTOR", self._label, self._name).name

    def _read(self, statement: str, **parameters: Any) -> list[Any]:
        return self._connection.read(partial(_run, statement, parameters))

    def _stale(self, absent: int) -> StaleArtifact:
        return StaleArtifact(
            f"vectors of {self._label}",
            expected="a node for every vector",
            got=Shown(f"{absent} or more ids that the database does not hold"),
            remedy="Build again from this database, or open the one that the vectors were made from.",
        )

    def _fixed(self, what: str) -> Unsupported:
        return Unsupported(
            what, expected="an index that can", got=Shown("vectors in Neo4j"), remedy="Write all vectors again with write()."
        )


class Neo4jFulltext:
    """Items by the words of their text properties, ranked by the database's full-text index (BM25).

    Args:
        store: an open store.
        label: label of the nodes; the properties of type ``text``, and the title, are indexed.
        ids: their ids in the order of positions.
    """

    def __init__(self, store: Neo4jStore, label: str, ids: pa.StringArray) -> None:
        self._properties = tuple(self.properties(store, label))
        if not self._properties:
            raise Unsupported(
                f"full text of {label}",
                expected="a property of type text",
                got=Shown("none"),
                remedy='Declare one in the mapping file: title = "text".',
            )
        self._connection: Connection = store.connection
        self._label, self._ids = label, ids

    @staticmethod
    def properties(store: Neo4jStore, label: str) -> list[str]:
        """What there is to index: the properties of type text, and the title."""
        spec = store.schema.node(label)
        return list(dict.fromkeys([*spec.text_fields, *([spec.title] if spec.title else [])]))

    def build(self) -> None:
        """Make the index, or make it again when the properties are others now; repeatable; returns when it can be searched."""
        own = f"kgrecall_{self._label}_text"
        drop_unless(self._connection, own, lambda index: index.properties == self._properties)
        fields = ", ".join(f"n.{quoted(name)}" for name in self._properties)
        self._connection.execute(
            f"CREATE FULLTEXT INDEX {quoted(own)} IF NOT EXISTS FOR (n:{quoted(self._label)}) ON EACH [{fields}]"
        )
        self._connection.execute(AWAIT_INDEXES)

    @cached_property
    def _index(self) -> str:
        """Its name in the database, as it was when the first text came."""
        return index_over(self._connection, "FULLTEXT", self._label, *self._properties).name

    def search(self, texts: Sequence[str], k: int) -> tuple[PosArray, FloatArray]:
        """The k best nodes of each text, by any of its words.

        Shapes: positions int32 (q, k), scores float32 (q, k), padded with -1 and -inf.

        Raises:
            NotBuilt: the database has no such index.
        """
        positions = np.full((len(texts), k), -1, np.int32)
        scores = np.full((len(texts), k), -np.inf, np.float32)
        statement = "CALL db.index.fulltext.queryNodes($index, $words, {limit: $k}) YIELD node, score RETURN node.id, score"
        for row, text in enumerate(texts):
            if words := as_lucene(text):
                given = {"index": self._index, "words": words, "k": k}
                found = self._connection.read(partial(_run, statement, given))
                hits, known = positions_of(self._ids, [node for node, _ in found])
                ranked = np.asarray([score for _, score in found], np.float32)[known]
                order = np.lexsort((hits, -ranked))
                positions[row, : len(hits)], scores[row, : len(hits)] = hits[order], ranked[order]
        return positions, scores


def drop_unless(connection: Connection, name: str, fits: Callable[[Index], bool]) -> None:
    """Drop the index of this name, which is of our making, when it does not fit any more."""
    if any(index.name == name and not fits(index) for index in indexes_of(connection)):
        connection.execute(f"DROP INDEX {quoted(name)}")


def _run(statement: str, parameters: Parameters, run: Run) -> list[Row]:
    return run(statement, **parameters)


def as_lucene(text: str) -> str:
    """The words of a text, each quoted, so that nothing in it is Lucene syntax."""
    return " ".join(f'"{word}"' for word in _WORD.findall(text))


def positions_of(ids: pa.StringArray, wanted: Sequence[str]) -> tuple[PosArray, BoolArray]:
    """Positions of those that are known, int32, and which of ``wanted`` they are, bool."""
    found = pc.index_in(pa.array(wanted, pa.string()), value_set=ids)
    known: BoolArray = np.asarray(found.is_valid())
    return np.asarray(found.drop_null()).astype(np.int32), known
