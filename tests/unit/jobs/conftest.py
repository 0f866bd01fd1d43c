"""A planted world for the gate: taste follows blocks; a graph and texts may tell the block, or nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.schema import GraphSchema
from kgrecall.types import EdgeType

NUM_USERS, NUM_ITEMS, BLOCKS, TAGS = 300, 240, 6, 8
Planted = Callable[..., GraphSnapshot]

SCHEMA = GraphSchema.parse(
    {
        "nodes": {
            "User": {"role": "user"},
            "Item": {"role": "item", "properties": {"words": "text", "look": "numbers", "sizes": "numbers"}},
            "Tag": {},
        },
        "edges": {
            "MET": {"role": "interaction", "source": "User", "target": "Item"},
            "TELLS": {"source": "Item", "target": "Tag"},
            "NOISE": {"source": "Item", "target": "Tag"},
        },
    }
)


@pytest.fixture(scope="session")
def planted() -> Planted:
    """``planted(tells=True, noise=False, words=False, look=False)``: a snapshot. Its relation TELLS gives each item three of
    the eight tags of its block; NOISE gives it three of anything; words say the block, and so do vectors of looks. Sizes are
    numbers that are no vectors."""
    return _planted


def _planted(
    *, tells: bool = True, noise: bool = False, words: bool = False, look: bool = False, seed: int = 0
) -> GraphSnapshot:
    rng = np.random.default_rng(seed)
    block = np.arange(NUM_ITEMS) % BLOCKS
    same = np.arange(NUM_USERS)[:, None] % BLOCKS == block[None, :]
    users, items = np.nonzero(rng.random(same.shape) < np.where(same, 0.08, 0.004))
    edges = [_edges("User", "MET", "Item", users, items, (NUM_USERS, NUM_ITEMS))]
    telling = np.concatenate([block[i] + BLOCKS * rng.permutation(TAGS)[:3] for i in range(NUM_ITEMS)])
    rows, sizes = np.repeat(np.arange(NUM_ITEMS), 3), (NUM_ITEMS, BLOCKS * TAGS)
    edges += [_edges("Item", "TELLS", "Tag", rows, telling, sizes)] if tells else []
    edges += [_edges("Item", "NOISE", "Tag", rows, rng.permutation(telling), sizes)] if noise else []
    said = [f"made for block{b} in style{b} number{i}" for i, b in enumerate(block)] if words else [None] * NUM_ITEMS
    looks = 3 * np.eye(BLOCKS)[block] + rng.standard_normal((NUM_ITEMS, BLOCKS))
    numbers, no_lists = pa.list_(pa.float32()), [None] * NUM_ITEMS
    described = {
        "words": pa.array(said, pa.string()),
        "look": pa.array(looks.tolist() if look else no_lists, numbers),
        "sizes": pa.array([[1.0] * (1 + i % 3) for i in range(NUM_ITEMS)] if look else no_lists, numbers),
    }
    tables = {"User": _table(NUM_USERS), "Item": pa.table(described), "Tag": _table(BLOCKS * TAGS)}
    relations = {found.edge_type: found for found in sorted(edges, key=lambda found: found.edge_type)}
    vocabularies = {label: Vocabulary([f"{label}{i:03}" for i in range(table.num_rows)]) for label, table in tables.items()}
    tables = {label: table if label == "Item" else table.select([]) for label, table in tables.items()}
    return GraphSnapshot(SCHEMA, "1", vocabularies, relations, {name: name[1] for name in relations}, tables)


def _edges(
    source: str, relation: str, target: str, sources: np.ndarray, targets: np.ndarray, sizes: tuple[int, int]
) -> Adjacency:
    name: EdgeType = (source, relation, target)
    ones = np.ones(len(sources), np.float32)
    return Adjacency.from_edges(name, sources, targets, ones, None, num_sources=sizes[0], num_targets=sizes[1])


def _table(rows: int) -> pa.Table:
    return pa.table({"row": pa.array(range(rows))})
