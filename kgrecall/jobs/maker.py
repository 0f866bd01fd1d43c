"""The arrays of one graph: of the training part of each fold first, of everything at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kgrecall.graph.knowledge import item_knowledge
from kgrecall.graph.own_vectors import all_told
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.index.faiss import FaissIndex
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.chosen import Chosen, learn_behaviour, prior
from kgrecall.jobs.clock import Stopwatch
from kgrecall.jobs.content_part import ContentPart
from kgrecall.jobs.ingredients import Ingredients
from kgrecall.jobs.item_graph_part import ItemGraphPart
from kgrecall.jobs.learned import Learner
from kgrecall.jobs.serve import assemble
from kgrecall.model.alike import AlikeItems
from kgrecall.model.trainer import TrainedModel
from kgrecall.recall.base import Naming
from kgrecall.recall.channels.attributes import build_attribute_similarity
from kgrecall.recall.channels.item_knn import build_item_knn
from kgrecall.recall.channels.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.popularity import item_popularity
from kgrecall.recall.engine import RecallEngine
from kgrecall.types import FloatArray, Interactions, Progress


@dataclass(frozen=True)
class Maker:
    """Makes them at what is the same for all graphs of a build.

    Attributes:
        channels: what these do not need is not made.
        texts: float32 (num_items, dim), or None.
        vectors: that items bring along.
        watch: where the seconds of each stage go.
        alike: items with alike texts or vectors, found for the first of the graphs.
    """

    config: BuildConfig
    channels: tuple[str, ...]
    texts: FloatArray | None
    vectors: Mapping[str, FloatArray]
    seed: int
    device: str
    progress: Progress
    watch: Stopwatch = field(default_factory=Stopwatch)
    alike: AlikeItems = field(default_factory=AlikeItems)

    def ingredients(
        self,
        snapshot: GraphSnapshot,
        events: Interactions,
        chosen: Chosen,
        *,
        epochs: int | None = None,
        valid: Interactions | None = None,
    ) -> tuple[Ingredients, TrainedModel | None]:
        """All arrays of one graph and its events. The model trains for ``epochs``, or until ``valid`` is told no better."""
        config, knowledge = self.config, item_knowledge(snapshot)
        learner = Learner(config, self.vectors, self.channels, self.seed, self.device, self.progress, self.alike)
        with self.watch("train"):
            learned = learner.learn(snapshot, events, self.texts, epochs=epochs, valid=valid)
        with self.watch("channels"):
            naming = Naming(snapshot.schema.user_label, snapshot.schema.item_label)
            shared = NodeSpaceConfig(**config.attributes.model_dump(include=set(NodeSpaceConfig.model_fields)))
            space = build_node_space(knowledge, shared, naming)
            similarity, attributes, content = None, None, None
            if "item_knn" in self.channels:
                similarity = build_item_knn(events, chosen.item_knn, progress=self.progress)
            if knowledge and "attributes" in self.channels:
                attributes = build_attribute_similarity(space, config.attributes, progress=self.progress)
            behaviour = learn_behaviour(events, knowledge, chosen, config.index, seed=self.seed)
            popularity = item_popularity(events, half_life_days=chosen.popularity_half_life)
            if "content" in self.channels:
                told = all_told(self.texts, self.vectors)
                content = ContentPart.of(events, space, told, config.content, config.index, seed=self.seed)
            item_graph = ItemGraphPart.of(events, knowledge, chosen.item_graph)
        embeddings = learned.embeddings
        with self.watch("index"):
            return Ingredients(
                snapshot=snapshot,
                popularity=popularity,
                item_knn=similarity,
                attributes=attributes,
                texts=self.texts,
                embeddings=embeddings,
                attention=learned.attention,
                item_index=self._index(embeddings.items if embeddings else None),
                text_index=self._index(self.texts),
                node_space=shared,
                neighbors=config.neighbors,
                pagerank=config.pagerank,
                prior=prior(events, chosen.trend),
                half_life=chosen.history_half_life,
                content=content,
                item_graph=item_graph,
                behaviour=behaviour,
            ), learned.model

    def serve(self, ingredients: Ingredients) -> RecallEngine:
        """An engine that is asked channel by channel, and never for texts."""
        return assemble(ingredients, self.channels, self.config.fusion[0], encoder=None, config=self.config.engine)

    def _index(self, vectors: FloatArray | None) -> FaissIndex | None:
        return None if vectors is None else FaissIndex.build(vectors, self.config.index, seed=self.seed, progress=self.progress)
