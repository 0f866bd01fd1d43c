"""Item-kNN over everything that items share: the people who chose them and the knowledge about them, in one similarity."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from kgrecall.graph.knowledge import Incidence
from kgrecall.recall.base import Naming
from kgrecall.recall.channels.attributes import AttributesConfig, build_attribute_similarity
from kgrecall.recall.channels.item_knn import interaction_matrix
from kgrecall.recall.channels.node_space import NodeSpace, build_node_space
from kgrecall.recall.channels.sparse_rows import Matrix, transposed
from kgrecall.types import Interactions, Progress, no_progress


class ItemGraphConfig(AttributesConfig):
    """``W = D_i^-b ([X^T, E] D_n^-a [X^T, E]^T) D_i^-c``: users and entities are nodes of one kind.

    The row sums that normalise count both, so that an item with few choices leans on what is known about it, and one without
    any has neighbours too. Side information in item-kNN: Ning & Karypis, "Sparse Linear Methods with Side Information" (2012).
    """

    c: float = Field(default=0.25, ge=0, le=2)
    """How much a candidate that shares many nodes is damped."""
    k: int = Field(default=500, ge=1)
    """Neighbours kept per item."""
    knowledge: float = Field(default=0.5, ge=0)
    """What a shared entity counts against a shared user; multiplies ``weights``. Choose on validation data."""


def build_item_graph(
    interactions: Interactions,
    incidences: Sequence[Incidence],
    config: ItemGraphConfig | None = None,
    *,
    naming: Naming | None = None,
    progress: Progress = no_progress,
) -> tuple[Matrix, NodeSpace]:
    """The similarity, float32 (num_items, num_items), row = history item, and the nodes that explain it.

    Both are what :class:`~kgrecall.recall.channels.attributes.AttributesChannel` takes.
    """
    config = config or ItemGraphConfig()
    space = item_graph_space(interactions, incidences, config, naming)
    return build_attribute_similarity(space, config, progress=progress), space


def item_graph_space(
    interactions: Interactions,
    incidences: Sequence[Incidence],
    config: ItemGraphConfig | None = None,
    naming: Naming | None = None,
) -> NodeSpace:
    """People and knowledge side by side; people are never hubs."""
    config, naming = config or ItemGraphConfig(), naming or Naming()
    weights = {i.relation: config.knowledge * config.weights.get(i.relation, 1.0) for i in incidences}
    weights[naming.interaction] = config.weights.get(naming.interaction, 1.0)
    never_hubs = (*config.never_hubs, naming.interaction)
    people = people_of(interactions, naming)
    return build_node_space(
        [*incidences, people], config.model_copy(update={"weights": weights, "never_hubs": never_hubs}), naming
    )


def people_of(interactions: Interactions, naming: Naming | None = None) -> Incidence:
    """Who chose each item, as a relation like any other: float32 (num_items, num_users), 1 per pair."""
    naming = naming or Naming()
    chosen_by = transposed(interaction_matrix(interactions))
    return Incidence(naming.interaction, naming.user, chosen_by, reverse=True)
