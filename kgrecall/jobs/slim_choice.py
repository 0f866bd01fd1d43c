"""How the settings of the channel slim are chosen: penalties, neighbours, then what knowledge and each relation of it weigh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from kgrecall.graph.knowledge import Knowledge
from kgrecall.jobs.choices import Validation
from kgrecall.recall.base import Channel
from kgrecall.recall.channels.slim import SlimConfig, SlimGram
from kgrecall.recall.channels.sparse_rows import Matrix
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
        self, validation: Validation, knowledge: Knowledge, serve: Callable[[Interactions, Matrix], Channel]
    ) -> tuple[SlimConfig, Callable[[Interactions], Matrix]]:
        """The setting with the best NDCG@20 on validation, and the similarity that it learns from the events of a fold.

        Args:
            knowledge: what was known of the items by the last of some events.
            serve: makes the channel of the similarity that was learned from some events.
        """
        search = _Search(validation, knowledge, serve, self.penalties[0])
        search.try_all(self.penalties)
        search.climb([{"k": k} for k in self.neighbours if validation.num_items * k**3 / 3 <= self.most_work])
        relations = sorted({part.relation for fold in validation.judges for part in knowledge(fold.train)})
        if relations:
            search.climb([{"knowledge": weight} for weight in self.knowledge])
        if search.best.knowledge and 2 <= len(relations) <= self.max_relations:
            for relation in relations:
                weights = search.best.weights
                search.try_all([search.best.model_copy(update={"weights": {**weights, relation: f}}) for f in _FACTORS])
        return search.best, search.similarity


@dataclass
class _Search:
    """The best setting so far. Its similarities are kept, for what is tried of them next, and the last Gram matrix of each
    fold, since settings that follow one another mostly share it."""

    validation: Validation
    knowledge: Knowledge
    serve: Callable[[Interactions, Matrix], Channel]
    best: SlimConfig
    value: float | None = None
    solved: dict[int, Matrix] = field(default_factory=dict)
    grams: dict[int, tuple[str, SlimGram]] = field(default_factory=dict)

    def try_all(self, settings: Sequence[SlimConfig]) -> None:
        """The best of these where it is better than what is; a single first setting is taken without measuring."""
        if len(settings) == 1 and settings[0] == self.best:
            return
        for setting in settings:
            self._is_better(setting)

    def climb(self, changes: Sequence[dict[str, object]]) -> None:
        """Changes of the best, one after the other, until one is no better."""
        for change in changes:
            if not self._is_better(self.best.model_copy(update=change)):
                return

    def similarity(self, events: Interactions) -> Matrix:
        """Of the best setting."""
        if id(events) not in self.solved:
            self.solved[id(events)] = self._learned(events, self.best)
        return self.solved[id(events)]

    def _is_better(self, setting: SlimConfig) -> bool:
        if self.value is None and setting != self.best:
            self._is_better(self.best)
        solved: dict[int, Matrix] = {}

        def channel(events: Interactions, tried: SlimConfig) -> Channel:
            solved[id(events)] = self._learned(events, tried)
            return self.serve(events, solved[id(events)])

        value = self.validation.value(setting, channel)
        if self.value is not None and value <= self.value:
            return False
        self.best, self.value, self.solved = setting, value, solved
        return True

    def _learned(self, events: Interactions, setting: SlimConfig) -> Matrix:
        key = setting.model_copy(update={"l2": 1.0, "denoise": 0.0}).model_dump_json()
        known = self.grams.get(id(events))
        if known is None or known[0] != key:
            known = self.grams[id(events)] = key, SlimGram.of(events, self.knowledge(events), setting)
        return known[1].solve(setting)
