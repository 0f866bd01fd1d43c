"""A generated catalogue with everything that an engine of four channels is made of: power laws, tastes, attributes, a price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from kgrecall.graph.columns import ItemColumns
from kgrecall.graph.knowledge import Incidence
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.index.faiss import FaissConfig, FaissIndex
from kgrecall.recall.base import Channel
from kgrecall.recall.channels.attributes import AttributesChannel, build_attribute_similarity
from kgrecall.recall.channels.item_knn import ItemKnnChannel, build_item_knn, interaction_matrix
from kgrecall.recall.channels.neighbors import NeighborsChannel
from kgrecall.recall.channels.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.sparse_rows import Matrix
from kgrecall.recall.channels.vector import VectorChannel, normalised
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.histories import Histories
from kgrecall.schema import GraphSchema
from kgrecall.types import Embeddings, FloatArray, Interactions

SEED = 0
COMPUTED_UP_TO = 25_000
"""Beyond so many items similarities are drawn, ``DRAWN_NEIGHBORS`` a row: to compute them would take longer than the rest."""
DRAWN_NEIGHBORS = 50
EVENTS_PER_ITEM, EVENTS_PER_USER = 34, 12
EVENTS_PER_ITEM_DRAWN = 12
TASTES = 40
CHEAP = 20
"""A fifth of all prices lie below."""


@dataclass(frozen=True)
class World:
    """The engine and what it is made of."""

    name: str
    engine: RecallEngine
    channels: dict[str, Channel]
    embeddings: Embeddings
    index: FaissIndex
    histories: Histories
    chosen: Matrix
    """users x items."""
    similarity: Matrix
    snapshot: GraphSnapshot
    """Ids and prices alone."""


def make_world(num_items: int, dim: int) -> World:
    """Users with one to three of ``TASTES`` tastes choose among the items of a taste, the popular ones more often."""
    rng = np.random.default_rng(SEED)
    events = _interactions(rng, num_items)
    histories, chosen = Histories.of(events), interaction_matrix(events)
    embeddings = _embeddings(rng, events, chosen, dim)
    index = FaissIndex.build(embeddings.items, FaissConfig(kind="auto"), seed=SEED)
    knowledge = build_node_space(_knowledge(rng, num_items))
    people = Incidence("INTERACTED", "User", csr_array(chosen.T), reverse=True)
    computed = num_items <= COMPUTED_UP_TO
    similarity = build_item_knn(events) if computed else _drawn(rng, num_items)
    alike = build_attribute_similarity(knowledge) if computed else _drawn(rng, num_items)
    channels: list[Channel] = [
        VectorChannel(index, embeddings),
        ItemKnnChannel(similarity),
        AttributesChannel(alike, knowledge),
        NeighborsChannel(build_node_space([people], NodeSpaceConfig(hub_share=1)), num_users=events.num_users),
    ]
    snapshot = _snapshot(rng, events)
    filters = FilterMasks(ItemColumns(snapshot))
    engine = RecallEngine(snapshot.users, snapshot.items, channels, FusionConfig(), histories, filters=filters)
    name = f"generated {num_items // 1000}k x {dim}"
    return World(
        name,
        engine,
        {channel.name: channel for channel in channels},
        embeddings,
        index,
        histories,
        chosen,
        similarity,
        snapshot,
    )


def _snapshot(rng: np.random.Generator, events: Interactions) -> GraphSnapshot:
    """Ids and prices; the engine takes the rest as arrays."""
    nodes = {"User": {"role": "user"}, "Item": {"role": "item", "properties": {"price": "integer"}}}
    choice = {"source": "User", "target": "Item", "role": "interaction"}
    schema = GraphSchema.parse({"nodes": nodes, "edges": {"CHOSE": choice}})
    vocabularies = {
        "User": Vocabulary([f"u{i:08}" for i in range(events.num_users)]),
        "Item": Vocabulary([f"i{i:08}" for i in range(events.num_items)]),
    }
    prices = pa.table({"price": rng.integers(0, 5 * CHEAP, events.num_items)})
    return GraphSnapshot(schema, "1", vocabularies, {}, {}, {"Item": prices, "User": pa.table({})})


def _interactions(rng: np.random.Generator, num_items: int) -> Interactions:
    n = num_items * (EVENTS_PER_ITEM if num_items <= COMPUTED_UP_TO else EVENTS_PER_ITEM_DRAWN)
    num_users = n // EVENTS_PER_USER
    user = (num_users * rng.random(n) ** 1.5).astype(np.int64)
    tastes = rng.integers(0, TASTES, (num_users, 3))[user, rng.integers(0, 3, n)]
    per_taste = num_items // TASTES
    item = tastes * per_taste + (per_taste * rng.random(n) ** 2).astype(np.int64)
    user, item = np.divmod(np.unique(user * num_items + item), num_items)
    time = rng.integers(0, 10**11, len(user))
    return Interactions(user, item, np.ones(len(user), np.float32), time, num_users, num_items)


def _embeddings(rng: np.random.Generator, events: Interactions, chosen: Matrix, dim: int) -> Embeddings:
    taste = np.minimum(np.arange(events.num_items) // (events.num_items // TASTES), TASTES - 1)
    centres = rng.standard_normal((TASTES, dim))
    items = normalised((centres[taste] + rng.standard_normal((events.num_items, dim))).astype(np.float32))
    users: FloatArray = normalised(np.asarray(chosen @ items, np.float32))
    return Embeddings(users, items, items)


def _drawn(rng: np.random.Generator, num_items: int) -> Matrix:
    """A similarity whose neighbours share the item's taste, the popular ones more often; distinct columns per row."""
    per_taste = num_items // TASTES
    first = np.arange(num_items) // per_taste * per_taste
    indices = first[:, None] + np.sort((per_taste * rng.random((num_items, DRAWN_NEIGHBORS)) ** 2).astype(np.int32), axis=1)
    indices = np.minimum(indices, num_items - 1).astype(np.int32)
    keep = np.ones(indices.shape, np.bool_)
    keep[:, 1:] = indices[:, 1:] != indices[:, :-1]
    indptr = np.concatenate([[0], np.cumsum(keep.sum(axis=1))])
    values = rng.random(int(indptr[-1]), np.float32)
    return csr_array((values, indices[keep], indptr), shape=(num_items, num_items))


def _knowledge(rng: np.random.Generator, num_items: int) -> tuple[Incidence, ...]:
    """Four relations of three edges an item to nodes of power-law size."""
    found = []
    for relation in ("actor", "genre", "director", "subject"):
        num_nodes = num_items // 10
        row = np.repeat(np.arange(num_items), 3)
        node = (num_nodes * rng.random(len(row)) ** 2).astype(np.int64)
        row, node = np.divmod(np.unique(row * num_nodes + node), num_nodes)
        matrix = csr_array((np.ones(len(row), np.float32), (row, node)), shape=(num_items, num_nodes))
        found.append(Incidence(relation, relation.title(), matrix, reverse=False))
    return tuple(found)
