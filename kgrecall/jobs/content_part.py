"""The part of a build that places items by what is known of them: the channel ``content``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kgrecall.index.faiss import FaissIndex
from kgrecall.index.faiss_config import FaissConfig
from kgrecall.jobs.artifact import Artifact, ArtifactWriter
from kgrecall.recall.base import Naming
from kgrecall.recall.channels.content import ContentConfig, build_content, content_features
from kgrecall.recall.channels.node_space import NodeSpace
from kgrecall.recall.channels.vector import VectorChannel
from kgrecall.types import BoolArray, Embeddings, FloatArray, Interactions

CONTENT = "content"


@dataclass(frozen=True, eq=False)
class ContentPart:
    """The arrays of :func:`kgrecall.recall.channels.content.build_content` and an index of its item side."""

    embeddings: Embeddings
    index: FaissIndex

    @classmethod
    def of(
        cls,
        events: Interactions,
        space: NodeSpace,
        told: Sequence[FloatArray],
        config: ContentConfig,
        index: FaissConfig,
        *,
        seed: int,
    ) -> ContentPart | None:
        """Learn from the events that training may see, and what texts and own vectors tell of the items; None when nothing is
        known of any."""
        features = content_features(space, told, events.num_items, dim=config.graph_dim, seed=seed)
        if not features.any():
            return None
        embeddings = build_content(events, features, config)
        return cls(embeddings, FaissIndex.build(embeddings.items, index, seed=seed))

    def channel(self, naming: Naming) -> VectorChannel:
        """Serves the items of which something is known."""
        described: BoolArray = (self.embeddings.items != 0).any(axis=1)
        return VectorChannel(self.index, self.embeddings, name=CONTENT, naming=naming, served=described)

    def save(self, writer: ArtifactWriter) -> None:
        for name in ("users", "items", "item_inputs"):
            writer.array(f"content.{name}", getattr(self.embeddings, name))
        self.index.save(writer.path("content.index"))

    @classmethod
    def load(cls, artifact: Artifact) -> ContentPart | None:
        """None when the build has no such part."""
        if not artifact.has("content.items.npy"):
            return None
        arrays = (artifact.array(f"content.{name}") for name in ("users", "items", "item_inputs"))
        return cls(Embeddings(*arrays), FaissIndex.load(artifact.path("content.index")))
