"""How much each relation of the graph tells about what people choose together."""

from __future__ import annotations

from collections.abc import Sequence

from kgrecall.graph.knowledge import Incidence
from kgrecall.recall.base import Naming
from kgrecall.recall.channels.attributes import AttributesConfig, build_attribute_similarity
from kgrecall.recall.channels.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.sparse_rows import Matrix

_NEIGHBORS = 200


def relation_lifts(
    incidences: Sequence[Incidence],
    similarity: Matrix,
    *,
    hubs: NodeSpaceConfig | None = None,
    naming: Naming | None = None,
) -> dict[str, float]:
    """Per relation, how many times more alike two items are chosen when they share a node of it than two items at large.

    ``sum(A * W) / sum(A) / mean(W)``, A the relation's own attribute similarity. About 1 says nothing about choices: such a
    relation deserves the weight 0. ``max(0, lift - 1)`` serves as a relation's weight in
    :class:`~kgrecall.recall.channels.node_space.NodeSpaceConfig`; it needs no validation data, only training interactions.

    Args:
        similarity: W, from :func:`~kgrecall.recall.channels.item_knn.build_item_knn` on training interactions.
        hubs: which nodes are hubs; its weights are not looked at.

    Returns:
        relation -> lift; without relations that link no two items.
    """
    num_items = similarity.shape[0]
    at_large = float(similarity.sum()) / max(1, num_items * (num_items - 1))
    config = AttributesConfig(**(hubs or NodeSpaceConfig()).model_dump() | {"weights": {}}, b=0, c=0, k=_NEIGHBORS)
    lifts = {}
    for relation in dict.fromkeys(incidence.relation for incidence in incidences):
        space = build_node_space([i for i in incidences if i.relation == relation], config, naming)
        alike = build_attribute_similarity(space, config)
        shared = float(alike.sum())
        if shared > 0 and at_large > 0:
            lifts[relation] = float(alike.multiply(similarity).sum()) / shared / at_large
    return lifts
