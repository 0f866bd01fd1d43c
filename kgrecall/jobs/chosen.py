"""Settings of single channels, chosen one after the other: trying all combinations would only fit the noise better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kgrecall.graph.knowledge import Incidence, Knowledge, nothing_known
from kgrecall.index.base import ExactIndex
from kgrecall.index.faiss_config import FaissConfig
from kgrecall.jobs.behaviour_part import BehaviourPart
from kgrecall.jobs.build_config import BuildConfig, TrendConfig
from kgrecall.jobs.choices import Validation
from kgrecall.jobs.folds import timed
from kgrecall.recall.channels.ease import EaseConfig, build_ease
from kgrecall.recall.channels.factors import FactorsConfig, build_factors
from kgrecall.recall.channels.folded import FactorsChannel
from kgrecall.recall.channels.item_graph import ItemGraphConfig, build_item_graph
from kgrecall.recall.channels.item_knn import ItemKnnChannel, ItemKnnConfig, build_item_knn, interaction_matrix
from kgrecall.recall.channels.popularity import PopularityChannel, item_popularity, item_trend
from kgrecall.recall.channels.sequence import SequenceConfig, build_sequence
from kgrecall.recall.channels.slim import SlimConfig
from kgrecall.recall.channels.sparse_rows import Matrix
from kgrecall.recall.channels.user_knn import UserKnnChannel, UserKnnConfig
from kgrecall.types import FloatArray, Interactions


@dataclass(frozen=True)
class Chosen:
    """The settings that won; None for a channel that was not asked for, and for what needs times without them."""

    item_knn: ItemKnnConfig
    trend: TrendConfig | None
    history_half_life: float | None
    popularity_half_life: float | None
    ease: EaseConfig | None = None
    slim: SlimConfig | None = None
    user_knn: UserKnnConfig | None = None
    sequence: SequenceConfig | None = None
    factors: FactorsConfig | None = None
    item_graph: ItemGraphConfig | None = None


def choose_settings(
    config: BuildConfig,
    validation: Validation,
    events: Interactions,
    channels: tuple[str, ...],
    *,
    knowledge: Knowledge = nothing_known,
    seed: int,
) -> Chosen:
    """The best of each field of the configuration that holds several settings.

    Args:
        events: all of them; whether they can be cut in time decides what is tried.
        channels: only these are worth trying anything for.
        knowledge: what was known of the items by the last of some events.
    """
    in_time, told = timed(events), bool(knowledge(events))
    return _Chooser(config, validation, validation.sample, in_time, knowledge, told, channels, seed).run()


@dataclass(frozen=True)
class _Chooser:
    """Settings that depend on how many people there are are tried on the whole, others on a sample. On 150,000 of 407,000
    events, ml1m-kg, every choice is the same but the penalties of ``slim``, which needs them larger where it knows less."""

    config: BuildConfig
    whole: Validation
    sample: Validation
    timed: bool
    knowledge: Knowledge
    told: bool
    """Whether anything is known."""
    channels: tuple[str, ...]
    seed: int

    def run(self) -> Chosen:
        knn, similarity = self.sample.choose_built(self.config.item_knn, build_item_knn, lambda _, s: ItemKnnChannel(s))
        trend = self._trend(similarity)
        return Chosen(
            item_knn=knn,
            trend=trend,
            history_half_life=self._half_life(self.sample, similarity, trend),
            popularity_half_life=self._popularity_half_life(),
            ease=self._ease(trend) if "ease" in self.channels else None,
            slim=self._slim(trend) if "slim" in self.channels else None,
            user_knn=self._user_knn(trend) if "user_knn" in self.channels else None,
            sequence=self._sequence(trend) if "sequence" in self.channels and self.timed else None,
            factors=self._factors() if "factors" in self.channels else None,
            item_graph=self._item_graph(trend) if "item_graph" in self.channels and self.told else None,
        )

    def _trend(self, similarity: Callable[[Interactions], Matrix]) -> TrendConfig | None:
        settings = self.config.trends if self.timed else (None,)
        return self.sample.choose(settings, lambda e, s: ItemKnnChannel(similarity(e), prior=prior(e, s)))

    def _half_life(
        self, validation: Validation, similarity: Callable[[Interactions], Matrix], trend: TrendConfig | None
    ) -> float | None:
        """After how many newer items a history item's vote halves."""
        return validation.choose(
            self.config.history_half_lives if self.timed else (None,),
            lambda e, half_life: ItemKnnChannel(similarity(e), half_life=half_life, prior=prior(e, trend)),
        )

    def _popularity_half_life(self) -> float | None:
        return self.sample.choose(
            self.config.popularity_half_lives if self.timed else (None,),
            lambda e, days: PopularityChannel(item_popularity(e, half_life_days=days)),
        )

    def _ease(self, trend: TrendConfig | None) -> EaseConfig:
        best, similarity = self.whole.choose_built(
            self.config.ease, build_ease, lambda e, s: ItemKnnChannel(s, prior=prior(e, trend))
        )
        return best.model_copy(update={"half_life": self._half_life(self.whole, similarity, trend)}) if self.timed else best

    def _slim(self, trend: TrendConfig | None) -> SlimConfig:
        def channel(events: Interactions, similarity: Matrix) -> ItemKnnChannel:
            return ItemKnnChannel(similarity, prior=prior(events, trend))

        best, similarity = self.config.slim.best(self.whole, self.knowledge, channel)
        return best.model_copy(update={"half_life": self._half_life(self.whole, similarity, trend)})

    def _user_knn(self, trend: TrendConfig | None) -> UserKnnConfig:
        def channel(events: Interactions, setting: UserKnnConfig) -> UserKnnChannel:
            return UserKnnChannel(interaction_matrix(events), setting, prior=prior(events, trend))

        best = self.whole.choose(self.config.user_knn, channel)
        if not self.timed:
            return best
        faded = [best.model_copy(update={"half_life": items}) for items in self.config.history_half_lives]
        return self.whole.choose(faded, channel)

    def _sequence(self, trend: TrendConfig | None) -> SequenceConfig:
        return self.sample.choose(
            self.config.sequence,
            lambda e, s: ItemKnnChannel(build_sequence(e, s), half_life=s.half_life, prior=prior(e, trend)),
        )

    def _item_graph(self, trend: TrendConfig | None) -> ItemGraphConfig:
        def channel(events: Interactions, setting: ItemGraphConfig) -> ItemKnnChannel:
            return ItemKnnChannel(build_item_graph(events, self.knowledge(events), setting)[0], prior=prior(events, trend))

        return self.sample.choose(self.config.item_graph, channel)

    def _factors(self) -> FactorsConfig:
        def channel(events: Interactions, setting: FactorsConfig) -> FactorsChannel:
            factors = build_factors(events, setting, seed=self.seed)
            return FactorsChannel(ExactIndex(factors.items), factors)

        return self.sample.choose(self.config.factors, channel)


def prior(events: Interactions, trend: TrendConfig | None) -> FloatArray | None:
    """What the personal channels multiply a candidate's score by, float32 (num_items,)."""
    if trend is None:
        return None
    return item_trend(events, half_life_days=trend.half_life_days, exponent=trend.exponent)


def learn_behaviour(
    events: Interactions, knowledge: Sequence[Incidence], chosen: Chosen, index: FaissConfig, *, seed: int
) -> BehaviourPart:
    """What the channels of behaviour hold at the chosen settings."""
    return BehaviourPart.of(
        events,
        index,
        ease=chosen.ease,
        slim=chosen.slim,
        knowledge=knowledge,
        user_knn=chosen.user_knn,
        sequence=chosen.sequence,
        factors=chosen.factors,
        seed=seed,
    )
