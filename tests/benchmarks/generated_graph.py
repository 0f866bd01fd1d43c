"""A graph of any size with the shape of real interactions: few users and items have most of the edges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.schema import GraphSchema
from kgrecall.sources.tables import Batch, EdgeBatch, NodeBatch, Origin

BATCH_ROWS = 65_536
EDGES_PER_USER = 20
EDGES_PER_ITEM = 60

SCHEMA = GraphSchema.parse(
    {
        "name": "generated",
        "nodes": {"User": {"role": "user"}, "Item": {"role": "item"}},
        "edges": {
            "VIEWED": {
                "role": "interaction",
                "source": "User",
                "target": "Item",
                "properties": {"time": "time", "weight": "number"},
                "key": ["time"],
                "time": "time",
                "weight": "weight",
            }
        },
    }
)


def batches(num_edges: int, seed: int = 0) -> Iterator[Batch]:
    """Users and items, then ``num_edges`` timed and weighted views in random order.

    The popularity of rank r of n falls as r^-0.5 on the users' side and as r^-0.67 on the items'.
    """
    rng = np.random.default_rng(seed)
    num_users, num_items = max(num_edges // EDGES_PER_USER, 1), max(num_edges // EDGES_PER_ITEM, 1)
    users, items = _ids("u", rng.permutation(num_users)), _ids("i", rng.permutation(num_items))
    yield NodeBatch("User", users, {}, _origin("users", 0, num_users))
    yield NodeBatch("Item", items, {}, _origin("items", 0, num_items))
    for start in range(0, num_edges, BATCH_ROWS):
        n = min(BATCH_ROWS, num_edges - start)
        sources = users.take(pa.array((num_users * rng.random(n) ** 2).astype(np.int64)))
        targets = items.take(pa.array((num_items * rng.random(n) ** 3).astype(np.int64)))
        columns = {
            "time": pa.array(rng.integers(1_500_000_000_000, 1_700_000_000_000, n)),
            "weight": pa.array(rng.integers(1, 11, n) / 2),
        }
        yield EdgeBatch("VIEWED", sources, targets, columns, _origin("views", start, n))


def _ids(prefix: str, numbers: np.ndarray) -> pa.StringArray:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def _origin(file: str, start: int, n: int) -> Origin:
    return Origin(file, np.arange(start + 1, start + n + 1))
