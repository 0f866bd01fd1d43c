"""A walk item -> shared node -> item in Cypher, on the graph as it is now: for those who want no snapshot.

The score and the paths are those of :class:`kgrecall.recall.channels.neighbors.NeighborsChannel`; a request takes tens of
milliseconds instead of one, since the database follows every edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from pydantic import Field

from kgrecall.errors import ConfigError, Shown
from kgrecall.schema import EdgeTypeSpec, GraphSchema
from kgrecall.settings import Settings
from kgrecall.store.neo4j.connection import Run
from kgrecall.store.neo4j.search import positions_of
from kgrecall.store.neo4j.statements import quoted
from kgrecall.store.neo4j.store import Neo4jStore
from kgrecall.types import FloatArray, PosArray

_NO_HUB = 2**62


class Neo4jWalkConfig(Settings):
    """``score(i) = d_i^-item_norm sum_n d_n^-node_norm M[i, n] sum_j w_j d_j^-history_norm M[j, n]``, j other than i.

    n runs over the ``beam`` heaviest nodes; ``M[i, n] = sqrt(weight of the relation)``; d are the row and column sums of M.
    """

    history_norm: float = Field(default=0.5, ge=0, le=2)
    """How much a history item of many nodes is damped."""
    node_norm: float = Field(default=0.5, ge=0, le=2)
    """How much a node of many items is damped."""
    item_norm: float = Field(default=0.2, ge=0, le=2)
    """How much an item of many nodes is damped."""
    beam: int = Field(default=1000, ge=1)
    """The walk goes on from this many nodes at most."""
    hub: int = Field(default=1000, ge=2)
    """An attribute with more items than this says little and costs much: it is skipped. People never are."""


class Neo4jWalk:
    """Walks over some relations that have the item label at one end and another label at the other.

    Args:
        store: an open store.
        ids: the ids of the items in the order of positions (``snapshot.items.ids``).
        relations: relation -> weight > 0; None takes every such relation with weight 1.

    Raises:
        ConfigError: a relation does not lead from items to other nodes.
        SchemaError: no such relation; names the nearest one.
    """

    def __init__(
        self,
        store: Neo4jStore,
        ids: pa.StringArray,
        relations: Mapping[str, float] | None = None,
        config: Neo4jWalkConfig | None = None,
    ) -> None:
        schema = store.schema
        chosen = relations if relations is not None else dict.fromkeys(_walkable(schema), 1.0)
        for name, weight in chosen.items():
            _check(schema, name, weight)
        self._connection, self._ids, self._config = store.connection, ids, config or Neo4jWalkConfig()
        self._statement = _statement(schema, list(chosen))
        people = [name for name in chosen if schema.edge(name).role == "interaction"]
        self._parameters = {
            "root": [float(np.sqrt(weight)) for weight in chosen.values()],
            "hub": [_NO_HUB if name in people else self._config.hub for name in chosen],
            "people": [h for h, name in enumerate(chosen) if name in people],
            **self._config.model_dump(include={"history_norm", "node_norm", "item_norm", "beam"}),
        }

    def search(
        self, history: PosArray, weights: FloatArray, excluded: PosArray, k: int, *, user_id: str | None = None
    ) -> tuple[PosArray, FloatArray]:
        """The k best items for one history, best first, ties by position.

        Args:
            history: int32 (m,) item positions; ``weights`` float32 (m,) > 0.
            excluded: int32 positions that are never returned.
            user_id: the user whose history this is; the walk does not go through that user's own node.

        Returns positions int32 (n,) and scores float32 (n,), n <= k.
        """
        given = {
            "id": self._ids_at(history),
            "weight": weights.astype(float).tolist(),
            "exclude": self._ids_at(excluded),
            "own": user_id,
            "k": k,
        }

        def work(run: Run) -> Sequence[Sequence[object]]:
            return run(self._statement, **given, **self._parameters)

        rows = self._connection.read(work)
        positions, known = positions_of(self._ids, [str(row[0]) for row in rows])
        scores = np.asarray([row[1] for row in rows], np.float32)[known]
        order = np.lexsort((positions, -scores))
        return positions[order], scores[order]

    def _ids_at(self, positions: PosArray) -> list[str]:
        ids: list[str] = self._ids.take(pa.array(positions)).to_pylist()
        return ids


def _walkable(schema: GraphSchema) -> list[str]:
    return [name for name, edge in schema.edges.items() if edge.role != "identity" and _other_end(schema, edge)]


def _other_end(schema: GraphSchema, edge: EdgeTypeSpec) -> str | None:
    """The label beside the items; None when not exactly one end is the item label."""
    ends = {edge.source, edge.target}
    return (ends - {schema.item_label}).pop() if len(ends) == 2 and schema.item_label in ends else None


def _check(schema: GraphSchema, name: str, weight: float) -> None:
    if _other_end(schema, schema.edge(name)) is None:
        ends = f"{schema.edge(name).source} -> {schema.edge(name).target}"
        raise ConfigError(
            f"relations: {name}",
            expected=f"a relation between {schema.item_label} and another label",
            got=Shown(ends),
            remedy="Leave it out.",
        )
    if not weight > 0:
        raise ConfigError(f"relations: {name}", expected="a weight above 0", got=weight, remedy="Leave the relation out.")


def _statement(schema: GraphSchema, names: Sequence[str]) -> str:
    nodes_of = {item: " UNION ALL ".join(_nodes_of(schema, name, h, item) for h, name in enumerate(names)) for item in "ji"}
    items_of = " UNION ALL ".join(_items_of(schema, name, h) for h, name in enumerate(names))
    item = quoted(schema.item_label)
    return (
        f"UNWIND range(0, size($id) - 1) AS q MATCH (j:{item} {{id: $id[q]}})"
        f" CALL {{ WITH j {nodes_of['j']} }}"
        " WITH j, q, collect([n, h, m, total]) AS steps, sum(m) AS size"
        " UNWIND steps AS step"
        " WITH j, step[0] AS n, step[1] AS h, step[2] AS m, step[3] ^ -$node_norm AS damp,"
        " $weight[q] * size ^ -$history_norm * step[2] AS vote"
        " WHERE $own IS NULL OR NOT (h IN $people AND n.id = $own)"
        " WITH n, h, m, damp, collect(j) AS js, collect(vote) AS votes, sum(vote) AS all"
        " ORDER BY all * damp DESC LIMIT $beam"
        f" CALL {{ WITH n, h {items_of} }}"
        " WITH i, sum(m * damp * (all - reduce(own = 0.0, x IN range(0, size(js) - 1) |"
        " own + CASE WHEN js[x] = i THEN votes[x] ELSE 0.0 END))) AS score"
        " WHERE score > 1e-12 AND NOT i.id IN $exclude"
        f" CALL {{ WITH i CALL {{ WITH i {nodes_of['i']} }} RETURN sum(m) AS size }}"
        " RETURN i.id AS id, score * size ^ -$item_norm AS score ORDER BY score DESC, id LIMIT $k"
    )


def _nodes_of(schema: GraphSchema, name: str, h: int, item: str) -> str:
    """The nodes that an item shares with at least one other over one relation, hubs left out."""
    edge = schema.edge(name)
    label = quoted(_other_end(schema, edge) or "")
    there, back = _ways(schema, name)
    degree = f"COUNT {{ (n){back}(:{quoted(schema.item_label)}) }}"
    if edge.edge_key:  # several edges between one pair: count the items, not the edges
        degree = f"COUNT {{ MATCH (n){back}(o:{quoted(schema.item_label)}) RETURN DISTINCT o }}"
    return (
        f"WITH {item} MATCH ({item}){there}(n:{label}) WITH DISTINCT n WITH n, {degree} AS degree"
        f" WHERE 2 <= degree <= $hub[{h}] RETURN n, {h} AS h, $root[{h}] AS m, degree * $root[{h}] AS total"
    )


def _items_of(schema: GraphSchema, name: str, h: int) -> str:
    _, back = _ways(schema, name)
    return f"WITH n, h WITH n WHERE h = {h} MATCH (n){back}(i:{quoted(schema.item_label)}) RETURN DISTINCT i"


def _ways(schema: GraphSchema, name: str) -> tuple[str, str]:
    """The pattern from an item to the node, and back."""
    out, into = f"-[:{quoted(name)}]->", f"<-[:{quoted(name)}]-"
    return (out, into) if schema.edge(name).source == schema.item_label else (into, out)
