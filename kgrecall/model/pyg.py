"""A snapshot as PyTorch Geometric's ``HeteroData``, for models that kgrecall does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from kgrecall.graph.snapshot import GraphSnapshot


def to_pyg(snapshot: GraphSnapshot) -> HeteroData:
    """All nodes and edges of a snapshot, in its positions.

    Each label carries ``num_nodes``; each edge type ``edge_index`` int64 (2, num_edges) with row 0 the source, ``edge_weight``
    float32 (num_edges,), and ``time`` int64 ms (num_edges,) where the relation has one.
    """
    from torch_geometric.data import HeteroData  # 3 s to import, and only this function needs it

    data = HeteroData()
    for label in snapshot.vocabularies:
        data[label].num_nodes = snapshot.num_nodes(label)
    for edge_type, adjacency in snapshot.relations.items():
        source = np.repeat(np.arange(adjacency.num_sources), np.diff(adjacency.indptr))
        store = data[edge_type]
        store.edge_index = torch.from_numpy(np.stack([source, adjacency.indices]).astype(np.int64))
        store.edge_weight = torch.from_numpy(np.array(adjacency.weight, dtype=np.float32))
        if adjacency.time is not None:
            store.time = torch.from_numpy(np.array(adjacency.time, dtype=np.int64))
    return data
