"""Everything the channels are made of, as arrays: computed once by a build, read back memory-mapped by an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from kgrecall.graph.knowledge import Incidence, item_knowledge
from kgrecall.graph.pagerank import JointGraph
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.index.faiss import FaissIndex
from kgrecall.jobs.artifact import Artifact, ArtifactWriter
from kgrecall.jobs.attention_part import AttentionPart
from kgrecall.jobs.audience_part import AudiencePart
from kgrecall.jobs.behaviour_part import BehaviourPart
from kgrecall.jobs.content_part import ContentPart
from kgrecall.jobs.item_graph_part import ItemGraphPart
from kgrecall.recall.base import Channel, Naming
from kgrecall.recall.channels.attributes import AttributesChannel
from kgrecall.recall.channels.item_knn import ItemKnnChannel
from kgrecall.recall.channels.neighbors import NeighborsChannel, NeighborsConfig
from kgrecall.recall.channels.node_space import NodeSpace, NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.pagerank import PageRankChannel, PageRankConfig
from kgrecall.recall.channels.popularity import PopularityChannel
from kgrecall.recall.channels.text import TextChannel
from kgrecall.recall.channels.vector import VectorChannel
from kgrecall.recall.explaining.explain import Names, items_beside
from kgrecall.recall.histories import Histories
from kgrecall.types import Embeddings, FloatArray

CHANNELS = (
    "vector",
    "factors",
    "item_knn",
    "user_knn",
    "sequence",
    "ease",
    "slim",
    "item_graph",
    "attributes",
    "neighbors",
    "pagerank",
    "text",
    "popularity",
)
"""The channels of a build, in the order in which answers show them."""
CHANNELS_BY_NAME = ("content", "attention")
"""Channels that are built only where ``BuildConfig.channels`` names them; ``BuildConfig.auto`` tries ``attention`` too."""


@dataclass(frozen=True)
class Ingredients:
    """The arrays of one catalogue.

    Shapes: ``popularity`` float32 (num_items,); ``item_knn`` and ``attributes`` csr float32 (num_items, num_items),
    row = history item; ``texts`` float32 (num_items, text_dim) or None. ``item_knn`` and ``attributes`` are None when they were
    not asked for, ``attributes`` without item knowledge, too, ``embeddings`` when neither ``vector`` nor ``attention`` was
    asked for. ``prior`` float32 (num_items,) multiplies the scores of the sparse channels. ``audience`` is None while only
    channels are compared.
    """

    snapshot: GraphSnapshot
    popularity: FloatArray
    item_knn: sparse.csr_array | None
    attributes: sparse.csr_array | None
    texts: FloatArray | None
    embeddings: Embeddings | None
    item_index: FaissIndex | None
    text_index: FaissIndex | None
    node_space: NodeSpaceConfig
    neighbors: NeighborsConfig
    pagerank: PageRankConfig
    behaviour: BehaviourPart
    prior: FloatArray | None = None
    half_life: float | None = None
    audience: AudiencePart | None = None
    content: ContentPart | None = None
    item_graph: ItemGraphPart | None = None
    attention: AttentionPart | None = None

    @cached_property
    def naming(self) -> Naming:
        schema = self.snapshot.schema
        return Naming(schema.user_label, schema.item_label, next(iter(schema.edges_with_role("interaction")), "INTERACTED"))

    @cached_property
    def knowledge(self) -> tuple[Incidence, ...]:
        return item_knowledge(self.snapshot)

    @cached_property
    def knowledge_space(self) -> NodeSpace:
        return build_node_space(self.knowledge, self.node_space, self.naming)

    @cached_property
    def walk_space(self) -> NodeSpace:
        """Attributes and people side by side: what the channel ``neighbors`` walks through, and ``pagerank`` tells of."""
        people = Incidence(self.naming.interaction, self.naming.user, self._chosen_by(), reverse=True)
        config = self.node_space.model_copy(update={"hub_share": 1.0})
        return build_node_space([*self.knowledge_within_hubs, people], config, self.naming)

    @cached_property
    def knowledge_within_hubs(self) -> tuple[Incidence, ...]:
        """Item knowledge without the edges to hubs; people are never hubs, however active."""
        limit = max(self.node_space.hub_floor, self.node_space.hub_share * len(self.snapshot.items))
        return tuple(_without_hubs(part, limit) for part in self.knowledge)

    @property
    def item_vectors(self) -> tuple[FloatArray, ...]:
        """The spaces in which items can be alike: learned, and by their texts."""
        learned = () if self.embeddings is None else (self.embeddings.items,)
        return learned if self.texts is None else (*learned, self.texts)

    @cached_property
    def histories(self) -> Histories:
        return Histories.of(self.snapshot.interactions())

    @cached_property
    def names(self) -> Names:
        titled = {label: self.snapshot.titles(label) for label, spec in self.snapshot.schema.nodes.items() if spec.title}
        texts = None if self.texts is None else self.snapshot.text_of(self.naming.item)
        return Names(self.snapshot.vocabularies, titled, items_beside(self.knowledge), texts)

    def channel(self, name: str) -> Channel | None:
        """The channel of this name; None when the graph has nothing for it."""
        makers: dict[str, Callable[[], Channel | None]] = {
            "vector": self._vector,
            "item_knn": self._item_knn,
            "attributes": self._attributes,
            "neighbors": self._neighbors,
            "pagerank": self._pagerank,
            "text": self._text,
            "attention": self._attention,
            "item_graph": self._item_graph,
            "content": lambda: None if self.content is None else self.content.channel(self.naming),
            "popularity": lambda: PopularityChannel(self.popularity, naming=self.naming),
            **self.behaviour.makers(lambda: self.histories, self.naming, self.prior),
        }
        return makers[name]()

    def _vector(self) -> Channel | None:
        if self.embeddings is None or self.item_index is None:
            return None
        return VectorChannel(self.item_index, self.embeddings, naming=self.naming)

    def _item_knn(self) -> Channel | None:
        if self.item_knn is None:
            return None
        return ItemKnnChannel(self.item_knn, naming=self.naming, half_life=self.half_life, prior=self.prior)

    def _attention(self) -> Channel | None:
        if self.attention is None or self.embeddings is None or self.item_index is None:
            return None
        return self.attention.channel(self.item_index, self.embeddings, self.naming)

    def _item_graph(self) -> Channel | None:
        if self.item_graph is None:
            return None
        return self.item_graph.channel(self.snapshot.interactions(), self.knowledge, self.naming, self.prior)

    def _attributes(self) -> Channel | None:
        return None if self.attributes is None else AttributesChannel(self.attributes, self.knowledge_space, prior=self.prior)

    def _neighbors(self) -> Channel:
        return NeighborsChannel(self.walk_space, self.neighbors, num_users=len(self.snapshot.users), prior=self.prior)

    def _pagerank(self) -> Channel:
        graph = JointGraph.of(self.snapshot, relation_weights=self.pagerank.relation_weights)
        return PageRankChannel(graph, self.walk_space, self.pagerank, prior=self.prior)

    def _text(self) -> Channel | None:
        if self.texts is None or self.text_index is None:
            return None
        return TextChannel(self.text_index, self.texts, naming=self.naming)

    def _chosen_by(self) -> sparse.csr_array:
        """Who chose each item: float32 (num_items, num_users), 1 per pair."""
        return sparse.csr_array(self.histories.incidence().T)


def _without_hubs(part: Incidence, limit: float) -> Incidence:
    matrix = part.matrix.tocsc()
    counts = np.diff(matrix.indptr)
    kept = sparse.csc_array(matrix @ sparse.diags_array((counts <= limit).astype(np.float32)))
    kept.eliminate_zeros()
    return Incidence(part.relation, part.label, sparse.csr_array(kept), part.reverse)


def save(ingredients: Ingredients, writer: ArtifactWriter) -> None:
    """Write every array into a build; what is derived quickly is not stored."""
    ingredients.snapshot.save(writer.folder / "snapshot")
    writer.array("popularity", ingredients.popularity)
    for name, matrix in (("item_knn", ingredients.item_knn), ("attributes", ingredients.attributes)):
        if matrix is not None:
            writer.matrix(name, matrix)
    ingredients.behaviour.save(writer)
    if ingredients.prior is not None:
        writer.array("prior", ingredients.prior)
    if ingredients.texts is not None and ingredients.text_index is not None:
        writer.array("texts", ingredients.texts)
        ingredients.text_index.save(writer.path("text.index"))
    if ingredients.embeddings is not None and ingredients.item_index is not None:
        for name in ("users", "items", "item_inputs"):
            writer.array(f"embeddings.{name}", getattr(ingredients.embeddings, name))
        ingredients.item_index.save(writer.path("items.index"))
    for part in (ingredients.item_graph, ingredients.content, ingredients.attention, ingredients.audience):
        if part is not None:
            part.save(writer)
    writer.manifest["ingredients"] = {
        "node_space": ingredients.node_space.model_dump(),
        "neighbors": ingredients.neighbors.model_dump(),
        "pagerank": ingredients.pagerank.model_dump(),
        "half_life": ingredients.half_life,
    }


def load(artifact: Artifact) -> Ingredients:
    """The ingredients of a verified build, memory-mapped."""
    settings = artifact.manifest["ingredients"]
    vectors, texts = artifact.has("embeddings.items.npy"), artifact.has("texts.npy")
    return Ingredients(
        snapshot=GraphSnapshot.load(artifact.path("snapshot"), verify=False),
        popularity=artifact.array("popularity"),
        item_knn=artifact.matrix("item_knn") if artifact.has("item_knn.data.npy") else None,
        attributes=artifact.matrix("attributes") if artifact.has("attributes.data.npy") else None,
        texts=artifact.array("texts") if texts else None,
        embeddings=Embeddings(*(artifact.array(f"embeddings.{n}") for n in ("users", "items", "item_inputs")))
        if vectors
        else None,
        item_index=FaissIndex.load(artifact.path("items.index")) if vectors else None,
        text_index=FaissIndex.load(artifact.path("text.index")) if texts else None,
        node_space=NodeSpaceConfig(**settings["node_space"]),
        neighbors=NeighborsConfig(**settings["neighbors"]),
        pagerank=PageRankConfig(**settings["pagerank"]),
        prior=artifact.array("prior") if artifact.has("prior.npy") else None,
        half_life=settings["half_life"],
        content=ContentPart.load(artifact),
        item_graph=ItemGraphPart.load(artifact),
        attention=AttentionPart.load(artifact),
        behaviour=BehaviourPart.load(artifact),
        audience=AudiencePart.load(artifact) if "audience" in artifact.manifest else None,
    )
