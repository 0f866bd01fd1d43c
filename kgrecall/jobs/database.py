"""A built model and its database: vectors written back as properties, and channels that search inside the database.

The snapshot's own channels answer within a millisecond and do not need the database. These are for those who want vectors,
words and the graph combined in Cypher, or answers that see the newest edges without a new snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgrecall.errors import ConfigError, Unsupported, nearest
from kgrecall.jobs.artifact import Artifact
from kgrecall.jobs.ingredients import Ingredients, load
from kgrecall.recall.base import Channel, QueryBatch
from kgrecall.recall.channels.live import LiveChannel, Search
from kgrecall.recall.channels.vector import VectorChannel
from kgrecall.store.base import GraphStore
from kgrecall.store.neo4j import Neo4jStore
from kgrecall.store.neo4j.search import Neo4jFulltext, Neo4jVectorIndex
from kgrecall.store.neo4j.walk import Neo4jWalk
from kgrecall.types import FloatArray, PosArray

STAND_INS = {"neo4j_vector": "vector", "neo4j_fulltext": "text", "neo4j_walk": "neighbors"}
"""Channels inside the database -> the channel of the snapshot that each stands beside, and whose weight it gets."""
_HISTORY_TITLES = 5


@dataclass(frozen=True, slots=True)
class Published:
    """What was written: vectors by label, and whether there is text to index."""

    vectors: dict[str, int]
    full_text: bool


def publish(folder: str | Path, store: GraphStore) -> Published:
    """Write the vectors of a built model into the nodes of its database, and make the vector and full-text indexes.

    Users and items get the property ``embedding``. It is derived data: ``version()`` stays as it is. Repeatable.

    Raises:
        NotBuilt: nothing was built there.
        StaleArtifact: the database lacks nodes that the model knows.
        Unsupported: the store is no Neo4j database, or the model has no vectors.
    """
    database, ingredients = _neo4j(store), load(Artifact(folder))
    vectors = ingredients.embeddings
    if vectors is None:
        raise Unsupported("publish", expected="a model with vectors", got=str(folder), remedy="Build with the channel vector.")
    snapshot, naming = ingredients.snapshot, ingredients.naming
    sides = {naming.item: (snapshot.items.ids, vectors.items), naming.user: (snapshot.users.ids, vectors.users)}
    for label, (ids, rows) in sides.items():
        Neo4jVectorIndex.build(database, label, ids, rows)
    full_text = bool(Neo4jFulltext.properties(database, naming.item))
    if full_text:
        Neo4jFulltext(database, naming.item, snapshot.items.ids).build()
    return Published({label: int(rows.any(axis=1).sum()) for label, (_, rows) in sides.items()}, full_text)


def database_channel(name: str, ingredients: Ingredients, store: GraphStore) -> Channel:
    """The channel ``neo4j_vector`` or ``neo4j_fulltext`` (after :func:`publish`), or ``neo4j_walk``.

    Raises:
        ConfigError: no such channel.
        Unsupported: the store is no Neo4j database, or the model has nothing for it.
    """
    database, snapshot, naming = _neo4j(store), ingredients.snapshot, ingredients.naming
    items = snapshot.items.ids
    if name == "neo4j_vector":
        vectors = ingredients.embeddings
        if vectors is None:
            raise Unsupported(name, expected="a model with vectors", got="none", remedy="Build with the channel vector.")
        nearest_items = Neo4jVectorIndex(database, naming.item, items, vectors.items.shape[1])
        return VectorChannel(nearest_items, vectors, name=name, naming=naming)
    if name == "neo4j_fulltext":
        index = Neo4jFulltext(database, naming.item, items)
        return LiveChannel(by_words(index, snapshot.titles(naming.item)), name=name)
    if name == "neo4j_walk":
        return LiveChannel(by_walking(Neo4jWalk(database, items), snapshot.users.ids.to_pylist()), name=name)
    raise ConfigError("channels", expected="a channel inside the database", got=name, remedy=nearest(name, STAND_INS))


def by_words(index: Neo4jFulltext, titles: Sequence[str | None]) -> Search:
    """The words of the query's text, or without one of the titles of its newest history."""

    def search(queries: QueryBatch, i: int, k: int) -> tuple[PosArray, FloatArray]:
        text = queries.words[i] if queries.words else ""
        if not text.strip():
            items, weights = queries.history(i)
            newest = items[weights > 0][-_HISTORY_TITLES:]
            text = " ".join(titles[item] or "" for item in newest)
        positions, scores = index.search([text], k)
        found = positions[0] >= 0
        return positions[0][found], scores[0][found]

    return search


def by_walking(walk: Neo4jWalk, user_ids: Sequence[str]) -> Search:
    """From the history, past the user's own node; without a history there is no answer."""

    def search(queries: QueryBatch, i: int, k: int) -> tuple[PosArray, FloatArray]:
        history, weights = queries.history(i)
        history, weights = history[weights > 0], weights[weights > 0]
        if not len(history):
            return np.empty(0, np.int32), np.empty(0, np.float32)
        user = int(queries.user_pos[i])
        own = user_ids[user] if user >= 0 else None
        return walk.search(history, weights, queries.excluded(i), k, user_id=own)

    return search


def _neo4j(store: GraphStore) -> Neo4jStore:
    if isinstance(store, Neo4jStore):
        return store
    raise Unsupported("channels in the database", expected="a Neo4j store", got=repr(store), remedy="Open neo4j://HOST:PORT.")
