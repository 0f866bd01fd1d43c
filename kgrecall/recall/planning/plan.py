"""How an answer is made, as data: rounds of channels, rules, guarantees and diversification.

    {"rounds": [{"channels": ["item_knn", "vector"], "go_on": {"fewer_than": 50}}, {"channels": ["popularity"], "weight": 0.1}],
     "rules": [{"name": "in stock first", "filter": "in_stock == false", "factor": 0.2}],
     "guarantees": [{"name": "new", "filter": "released >= '2026-01-01'", "share": 0.1}],
     "diversity": {"strength": 0.3, "at_most": {"MADE_BY": 3}}}

The stages run in this order: rounds are asked until one is content, their hits are fused once, rules multiply the scores, and
places are given one after the other: to the best score less its likeness to what was placed, within caps and guarantees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from kgrecall.errors import ConfigError
from kgrecall.recall.filtering.filters import Filter, parse_filter
from kgrecall.settings import Settings

Count = Annotated[int, Field(ge=1)]


class GoOn(Settings):
    """When the next round is asked: as soon as one of these holds. Without any it never is."""

    fewer_than: int | None = Field(default=None, ge=1)
    """Fewer candidates than so many."""
    below: float | None = Field(default=None, allow_inf_nan=False)
    """The k-th candidate's fused score is below this, or there are fewer than k."""
    less_variety: dict[str, Count] = Field(default_factory=dict)
    """Per property or relation: the first k candidates have fewer distinct values than so many."""


class Round(Settings):
    """Channels that are asked together."""

    channels: tuple[str, ...] | None = None
    """None: all of the query. A channel that an earlier round asked is asked anew, and its earlier hits are dropped."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Multiplies what this round's channels contribute: below 1 for a round that should stand behind the earlier ones."""
    min_scores: dict[str, float] = Field(default_factory=dict)
    """Per channel: hits with a lower raw score are dropped."""
    at_most: dict[str, Count] = Field(default_factory=dict)
    """Per channel: only so many of its best hits count."""
    go_on: GoOn = GoOn()


class Rule(Settings):
    """Multiplies the fused score of every item that fulfils a filter: a boost above 1, a bury below."""

    name: str = Field(min_length=1)
    filter: Any
    """In any form of :func:`kgrecall.recall.filtering.filters.parse_filter`."""
    factor: float = Field(ge=0, allow_inf_nan=False)

    @field_validator("filter")
    @classmethod
    def _understood(cls, given: Any) -> Filter:
        return parse_filter(given)


class Guarantee(Settings):
    """Places kept for some items: exactly one of ``filter``, ``channel``, ``at_most_events`` and ``explore`` says which."""

    name: str = Field(min_length=1)
    share: float | None = Field(default=None, gt=0, le=1)
    """Of the k places, rounded up; or ``places``."""
    places: int | None = Field(default=None, ge=1)
    filter: Any = None
    """Items that fulfil it."""
    channel: str | None = None
    """Items that this channel recalled: a quota."""
    at_most_events: int | None = Field(default=None, ge=0)
    """Items that at most so many users chose: new ones, and the long tail."""
    explore: bool = False
    """Items drawn at random from all eligible ones that no channel recalled; the same ones for the same query and seed."""

    @field_validator("filter")
    @classmethod
    def _understood(cls, given: Any) -> Filter | None:
        return None if given is None else parse_filter(given)

    @model_validator(mode="after")
    def _one_kind(self) -> Guarantee:
        kinds = (self.filter is not None, self.channel is not None, self.at_most_events is not None, self.explore)
        if sum(kinds) != 1 or (self.share is None) == (self.places is None):
            raise ConfigError(
                f"guarantee {self.name!r}",
                expected="one of filter, channel, at_most_events and explore; and one of share and places",
                got=self.model_dump(exclude_none=True),
                remedy='For example {"name": "new", "at_most_events": 5, "share": 0.1}.',
            )
        return self

    def wanted(self, k: int) -> int:
        """How many of k places are kept."""
        return min(k, self.places or math.ceil(k * (self.share or 0)))


class Diversity(Settings):
    """How unlike each other the candidates of a list are made."""

    strength: float = Field(default=0.0, ge=0, le=1)
    """Maximal marginal relevance: what a candidate loses, as a share of the best score, when it equals one above it."""
    at_most: dict[str, Count] = Field(default_factory=dict)
    """Per property or relation: at most so many candidates share one value, while there are others to show."""


class Plan(Settings):
    """All stages; each is optional."""

    rounds: tuple[Round, ...] = ()
    """Empty: one round of all channels."""
    rules: tuple[Rule, ...] = ()
    guarantees: tuple[Guarantee, ...] = ()
    diversity: Diversity = Diversity()
    pool: int = Field(default=200, ge=1)
    """Rules and diversification see the best so many fused candidates (at least 2 k); all of them where a guarantee is of a
    channel or explores."""
    seed: int = 0
    """Of exploration."""

    @property
    def asks_who_recalled(self) -> bool:
        """Whether a guarantee rests on what channels recalled, far down as it may stand in the fused list."""
        return any(part.explore or part.channel is not None for part in self.guarantees)

    @model_validator(mode="after")
    def _distinct_names(self) -> Plan:
        names = [rule.name for rule in self.rules] + [part.name for part in self.guarantees]
        if len(set(names)) < len(names):
            raise ConfigError("plan", expected="rules and guarantees with distinct names", got=names, remedy="Rename one.")
        return self


def parse_plan(given: object) -> Plan | None:
    """A plan from a :class:`Plan` or a JSON object; None stays None.

    Raises:
        ConfigError: it is neither, or has unknown or impossible settings.
    """
    if given is None or isinstance(given, Plan):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError("Query.plan", expected="a Plan or a JSON object", got=given, remedy='For example {"rules": [...]}.')
    return Plan.model_validate(given)
