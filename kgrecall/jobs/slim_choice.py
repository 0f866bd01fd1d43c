"""How the settings of the channel slim are chosen: penalties, neighbours, then what knowledge and each relation of it weigh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from kgrecall.graph.knowledge import Incidence
from kgrecall.jobs.choices import Validation
from kgrecall.recall.base import Channel
from kgrecall.recall.slim import SlimConfig, SlimGram
from kgrecall.recall.sparse_rows import Matrix
from kgrecall.settings import Settings
from kgrecall.types import Interactions

_FACTORS = (0.0, 4.0)
"""A relation is tried without, and with more weight than it has."""

_PENALTIES = ((1.0, 1.0), (0.5, 0.5), (4.0, 1.0), (10.0, 1.0))


class SlimChoice(Settings):
    """What is tried, one kind after the other, each from the best so far."""

    penalties: tuple[SlimConfig, ...] = Field(default=tuple(SlimConfig(l2=a, denoise=b) for a, b in _PENALTIES), min_length=1)
    """Tried first."""
    neighbours: tuple[int, ...] = (100, 200)
    """Other values of ``k``, tried in this order until one is no better, or takes more than ``most_work``."""
    most_work: float = Field(default=5e10, gt=0)
    """Multiplications of one trial, ``items * k^3 / 3``: some 20 CPU seconds. Large catalogues rarely gain by more."""
    knowledge: tuple[float, ...] = (1.0, 4.0, 16.0)
    """Weights of knowledge, tried in this order until one is no better than less of it, or none."""
    max_relations: int = Field(default=6, ge=0)
    """Knowledge of at most so many relations is weighed relation by relation: without it, and at four times its weight."""

    def first(self) -> SlimChoice:
        """The first setting alone: nothing to try."""
        return SlimChoice(penalties=self.penalties[:1], neighbours=(), knowledge=(), max_relations=0)

    def best(
        self, validation: Validation, knowledge: Sequence[Incidence], serve: Callable[[Interactions, Matrix], Channel]
    ) -> SlimConfig:
        """The setting with the best NDCG@20 on validation.

        Args:
            serve: makes the channel of the similarity that was learned from some events.
        """
        grams = _Grams(knowledge)

        def make(events: Interactions, setting: SlimConfig) -> Channel:
            return serve(events, grams.of(events, setting).solve(setting))

        def climb(best: SlimConfig, changes: Sequence[dict[str, object]]) -> SlimConfig:
            for change in changes:
                found = validation.choose((best, best.model_copy(update=change)), make)
                if found is best:
                    break
                best = found
            return best

        first = validation.choose(self.penalties, make)
        best = climb(first, [{"k": k} for k in self.neighbours if validation.num_items * k**3 / 3 <= self.most_work])
        if not knowledge:
            return best
        best = climb(best, [{"knowledge": weight} for weight in self.knowledge])
        relations = sorted({part.relation for part in knowledge})
        if best.knowledge and 2 <= len(relations) <= self.max_relations:
            for relation in relations:
                tried = [best.model_copy(update={"weights": {**best.weights, relation: factor}}) for factor in _FACTORS]
                best = validation.choose((best, *tried), make)
        return best


@dataclass
class _Grams:
    """The last Gram matrix of each fold: settings that follow one another mostly share it."""

    knowledge: Sequence[Incidence]
    last: dict[int, tuple[str, SlimGram]] = field(default_factory=dict)

    def of(self, events: Interactions, setting: SlimConfig) -> SlimGram:
        key = setting.model_copy(update={"l2": 1.0, "denoise": 0.0}).model_dump_json()
        known = self.last.get(id(events))
        if known is None or known[0] != key:
            known = self.last[id(events)] = key, SlimGram.of(events, self.knowledge, setting)
        return known[1]
