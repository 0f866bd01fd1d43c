"""The part of a build in which people and knowledge are nodes of one item graph: the channel ``item_graph``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import sparse

from kgrecall.graph.knowledge import Incidence
from kgrecall.jobs.artifact import Artifact, ArtifactWriter
from kgrecall.recall.base import Naming
from kgrecall.recall.channels.attributes import AttributesChannel
from kgrecall.recall.channels.item_graph import ItemGraphConfig, build_item_graph, item_graph_space
from kgrecall.types import FloatArray, Interactions

ITEM_GRAPH = "item_graph"


@dataclass(frozen=True, eq=False)
class ItemGraphPart:
    """``similarity`` csr float32 (num_items, num_items), row = history item, and what it was built with."""

    similarity: sparse.csr_array
    config: ItemGraphConfig

    @classmethod
    def of(cls, events: Interactions, knowledge: Sequence[Incidence], config: ItemGraphConfig | None) -> ItemGraphPart | None:
        """Learn from the events that training may see; None leaves the channel out."""
        return None if config is None else cls(build_item_graph(events, knowledge, config)[0], config)

    def channel(
        self, events: Interactions, knowledge: Sequence[Incidence], naming: Naming, prior: FloatArray | None
    ) -> AttributesChannel:
        """Serves the similarity; the nodes behind it are laid out again, to name them in evidence."""
        space = item_graph_space(events, knowledge, self.config, naming)
        return AttributesChannel(self.similarity, space, name=ITEM_GRAPH, node_norm=self.config.a, prior=prior)

    def save(self, writer: ArtifactWriter) -> None:
        writer.matrix(ITEM_GRAPH, self.similarity)
        writer.manifest[ITEM_GRAPH] = self.config.model_dump()

    @classmethod
    def load(cls, artifact: Artifact) -> ItemGraphPart | None:
        """None when the build has no such part."""
        if ITEM_GRAPH not in artifact.manifest:
            return None
        return cls(artifact.matrix(ITEM_GRAPH), ItemGraphConfig(**artifact.manifest[ITEM_GRAPH]))
