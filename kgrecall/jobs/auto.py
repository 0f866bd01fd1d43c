"""What fits into a time: channels are measured on a few users, cheapest first, before the whole is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from kgrecall.graph.knowledge import item_knowledge
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.choices import MOST_EVENTS, Validation
from kgrecall.jobs.clock import Budget
from kgrecall.jobs.costs import ESSENTIAL, Cost, Overhead, Probe, Work, carried, one_setting
from kgrecall.jobs.folds import MOST_JUDGES, timed
from kgrecall.jobs.maker import Maker
from kgrecall.types import Interactions

_CHEAP_FIRST = (
    *("attributes", "neighbors", "user_knn", "text", "pagerank", "sequence"),
    *("factors", "slim", "ease", "item_graph", "vector", "attention"),
)
_PROBING = 0.25
"""At most this share of the time is spent on measuring."""
_USABLE = 0.8
"""Of the time that is left: predictions are rough."""
_FEW, _MORE = (100, 0.001), (400, 0.02)
"""Users who are measured first, and then: so many at least, and that share of all."""
_IN_ORDER = ("sequence", "attention")
"""Channels that have nothing to learn where events have no times."""
_OF_KNOWLEDGE = ("attributes", "item_graph")
"""Channels that have nothing to go by where nothing is known of items."""
_TRIED_TOO = ("attention",)
"""Channels that no build has unless they are named, and that are worth a trial where time is measured."""
_ON_SAMPLES = ("sequence", "factors", "item_graph")
"""Channels whose settings do not depend on how many people there are: see :mod:`kgrecall.jobs.chosen`."""
_FADING = ("user_knn", "ease", "slim")
"""Channels that are tried with each half-life of a history."""
_FEWEST_EPOCHS = 4
_SHARED = 0.5
"""Settings that many channels share are tried where that takes at most this share of the time that is left: what is learned at
the wrong ones is worth less than what is not learned."""


class Measuring(Protocol):
    """As :class:`~kgrecall.jobs.costs.Probe`."""

    work: Work

    def cost(self, *names: str) -> Cost: ...

    @property
    def essential(self) -> tuple[Cost, Overhead]: ...


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Settings of a build that should end in time, and sentences that say why."""

    config: BuildConfig
    notes: tuple[str, ...]


def plan_within(
    snapshot: GraphSnapshot,
    events: Interactions,
    maker: Maker,
    validation: Validation,
    budget: Budget,
    probe: Callable[[GraphSnapshot, Interactions, Maker, int], Measuring] = Probe,
) -> BuildPlan:
    """Choose the channels, how long is trained, and how many settings are tried, so that the build ends within the budget.

    Each channel is built and asked for a few users alone, then for more of them, which tells what of its cost grows with the
    events. Channels are admitted in the order of their cost while time is left; ``item_knn`` and ``popularity`` always are.
    Unless channels are named, ``attention`` is tried beside the usual ones. Training is cut to fewer epochs before it is left
    out. What is then left goes into trying settings, again cheapest first.

    Args:
        events: of the snapshot.
        maker: of the build, with its channels.
        validation: on which it will choose.
        probe: ``probe(snapshot, events, maker, users)`` measures on so many users.
    """
    names = maker.channels
    if "channels" not in maker.config.model_fields_set:
        names = (*names, *(name for name in _TRIED_TOO if name not in names))
    known = item_knowledge(snapshot)
    nothing = {
        *(() if timed(events) else _IN_ORDER),
        *(() if known else _OF_KNOWLEDGE),
        *(() if maker.texts is not None else ("text",)),
    }
    names = tuple(name for name in names if name not in nothing)
    run = _Planning(maker.config, names, events, validation, budget)
    run.measure([probe(snapshot, events, maker, size) for size in _sizes(len(np.unique(events.user_pos)))])
    return run.plan(len({part.relation for part in known}))


class _Planning:
    """What was measured, and what was said."""

    def __init__(
        self, config: BuildConfig, names: tuple[str, ...], events: Interactions, validation: Validation, budget: Budget
    ) -> None:
        self._config, self._validation, self._budget = config, validation, budget
        self._names = (*names, *(name for name in ESSENTIAL if name not in names))
        self._timed = timed(events)
        self._began = budget.spent
        self._measured: dict[str, list[tuple[Work, Cost]]] = {}
        for name in sorted(set(names) - set(ESSENTIAL), key=_place):
            self._measured[name] = []
        self._essential: list[tuple[Work, Cost]] = []
        self._overhead = Overhead(0.0, 0.0, 0.0)
        self._whole = Work.of(events, config.model)
        self._builds, self._queries = 1 + len(validation.folds), sum(fold.num_queries for fold in validation.folds)
        self._crowd = sum(len(np.unique(fold.crowd.user_pos)) for fold in validation.folds)
        self._admitted, self._epochs, self._left = list(ESSENTIAL), config.model.epochs, 0.0
        self._notes: list[str] = []

    def measure(self, probes: Sequence[Measuring]) -> None:
        """What every build has, then one channel after the other while there is time to."""
        for probe in probes:
            cost, self._overhead = probe.essential
            self._essential.append((probe.work, cost))
        paid = [probe.cost() for probe in probes]
        trained = list(paid)
        for name, found in self._measured.items():
            for i, probe in enumerate(probes):
                if self._budget.spent - self._began > _PROBING * self._budget.seconds:
                    break
                if name == "attention" and "vector" in self._names:  # the vectors that it looks at are paid for
                    found.append((probe.work, probe.cost("vector", name).beside(trained[i])))
                    continue
                own = probe.cost(name)
                trained[i] = own if name == "vector" else trained[i]
                found.append((probe.work, own.beside(paid[i])))

    def plan(self, num_relations: int) -> BuildPlan:
        """Try what all channels share; admit channels by what they cost; then try settings of single channels."""
        self._left = self._budget.left * _USABLE - self._fixed()
        config = self._shared_trials()
        costs = {name: carried(found, self._whole) for name, found in self._measured.items() if found}
        for name in self._measured:
            if name not in costs:
                self._notes.append(f"The channel {name} was left out: no time to measure what it costs.")
        for name in sorted(costs, key=lambda name: (name == "attention", self._seconds(costs[name]))):
            self._consider(name, costs[name])
        config = self._own_trials(config, num_relations)
        model = config.model.model_copy(update={"epochs": self._epochs})
        channels = tuple(name for name in self._names if name in self._admitted)
        return BuildPlan(config.model_copy(update={"channels": channels, "model": model}), tuple(self._notes))

    def _fixed(self) -> float:
        """What every build costs."""
        cost = carried(self._essential, self._whole)
        once = self._fusing(len(ESSENTIAL)) + self._whole.events * self._overhead.writing
        return self._builds * cost.learn + (self._queries + self._crowd) * cost.ask + once

    def _fusing(self, num_channels: int) -> float:
        return self._overhead.fusing(num_channels, self._queries, self._crowd)

    def _seconds(self, cost: Cost, epochs: int | None = None) -> float:
        """Of one more channel in the whole build."""
        training = (self._epochs if epochs is None else epochs) * cost.epoch
        admitted = len(self._admitted)
        fusing = self._fusing(admitted + 1) - self._fusing(admitted)
        return self._builds * (cost.learn + training) + (self._queries + self._crowd) * cost.ask + fusing

    def _consider(self, name: str, cost: Cost) -> None:
        """Admit a channel, the vectors with fewer epochs if need be, or say why not."""
        if name == "attention" and "vector" in self._names and "vector" not in self._admitted:
            self._notes.append("The channel attention was left out, with the vectors that it looks at.")
            return
        epochs = self._epochs
        if name == "vector" and cost.epoch > 0:
            epochs = min(epochs, int((self._left - self._seconds(cost, 0)) / (self._builds * cost.epoch)))
            epochs = epochs if epochs >= _FEWEST_EPOCHS else self._epochs
        seconds, budget = self._seconds(cost, epochs), self._budget.seconds
        if seconds > self._left:
            left = max(self._left, 0)
            self._notes.append(f"The channel {name} was left out: about {seconds:.1f} s, and {left:.1f} s are left.")
            return
        fewer = f", {epochs} epochs at most" if epochs < self._epochs else ""
        self._notes.append(f"The channel {name} is tried: about {seconds:.1f} s of the {budget:.0f} s{fewer}.")
        self._admitted.append(name)
        self._left -= seconds
        self._epochs = epochs

    def _shared_trials(self) -> BuildConfig:
        """The settings as they are where there is time to try those that many channels share, else the first of everything."""
        config = self._config
        others = [config.trends, config.popularity_half_lives, config.history_half_lives] if self._timed else []
        seconds = self._trials(self._essential, len(config.item_knn), sum(map(len, others)), sampled=True)
        if seconds <= _SHARED * self._left:
            self._left -= seconds
            return config
        self._notes.append("One setting of each channel is used: there is no time to try others.")
        return one_setting(config).model_copy(update={"budget_seconds": config.budget_seconds})

    def _own_trials(self, config: BuildConfig, num_relations: int) -> BuildConfig:
        """The first setting alone of those channels for whose others there is no time; cheapest first."""
        fading = len(config.history_half_lives) if self._timed else 1
        slim, costs = config.slim, dict[str, float]()
        tried = {name: len(getattr(config, name)) for name in (*_ON_SAMPLES, "user_knn", "ease")}
        relations = 2 * num_relations if num_relations <= slim.max_relations else 0
        tried["slim"] = len(slim.penalties) + len(slim.neighbours) + len(slim.knowledge) + (relations if slim.knowledge else 0)
        for name, settings in tried.items():
            lives = fading if name in _FADING else 1
            if name in self._admitted and settings + lives > 2:
                costs[name] = self._trials(self._measured[name], settings, lives, sampled=name in _ON_SAMPLES)
        for name, seconds in sorted(costs.items(), key=lambda item: item[1]):
            if seconds <= self._left:
                self._left -= seconds
                continue
            self._notes.append(f"The channel {name} has its first setting: to try others would take about {seconds:.1f} s.")
            config = config.model_copy(update={name: slim.first() if name == "slim" else getattr(config, name)[:1]})
        return config

    def _trials(self, measured: Sequence[tuple[Work, Cost]], settings: int, served: int, *, sampled: bool) -> float:
        """Seconds to learn at some settings and ask the judges, and to ask them again for others that serve the same arrays."""
        judges = self._validation.judges
        asked = sum(min(len(fold.users), MOST_JUDGES) for fold in judges)
        events = min(self._whole.events, MOST_EVENTS) if sampled else self._whole.events
        cost = carried(measured, replace(self._whole, events=events))
        return settings * len(judges) * cost.learn + (settings + served) * asked * cost.ask


def _sizes(num_users: int) -> list[int]:
    """On how many users is measured: on all where they are few."""
    sizes = [max(least, round(share * num_users)) for least, share in (_FEW, _MORE)]
    return sizes if sizes[-1] < num_users else [num_users]


def _place(name: str) -> int:
    return _CHEAP_FIRST.index(name) if name in _CHEAP_FIRST else len(_CHEAP_FIRST)
