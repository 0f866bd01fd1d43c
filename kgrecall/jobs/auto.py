"""What fits into a time: channels are measured on a part of the users, cheapest first, before the whole is built."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.encoders import open_encoder
from kgrecall.jobs.folds import timed
from kgrecall.types import Interactions

Probe = Callable[[GraphSnapshot, BuildConfig], None]
"""``probe(snapshot, config)`` builds something that is thrown away."""

_ESSENTIAL = ("item_knn", "popularity")
_CHEAP_FIRST = (
    *("attributes", "neighbors", "user_knn", "text", "pagerank", "factors", "slim", "ease", "sequence", "vector", "attention"),
)
_SHARE, _LEAST_USERS = 0.1, 400
_PROBING = 0.25
"""At most this share of the time is spent on measuring."""
_USABLE = 0.8
"""Of the time that is left: predictions are rough."""
_SAMPLE_TEXTS = 32
_IN_ORDER = ("sequence", "attention")
"""Channels that have nothing to learn where events have no times."""
_TRIED_TOO = ("attention",)
"""Channels that no build has unless they are named, and that are worth a trial where time is measured."""
_BY_ITEMS = ("ease", "text")
"""Channels whose cost does not depend on how many users there are."""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Settings of a build that should end in time, and sentences that say why."""

    config: BuildConfig
    notes: tuple[str, ...]


def plan_within(
    snapshot: GraphSnapshot,
    config: BuildConfig,
    probe: Probe,
    *,
    budget: float,
    seed: int,
    device: str = "cpu",
    valid: Interactions | None = None,
) -> BuildPlan:
    """Choose the channels and how many settings are tried so that the whole build takes about ``budget`` wall seconds.

    Each channel is built and fused for a tenth of the users (400 or more), alone, and its cost taken to grow with the events.
    Channels are admitted in the order of their cost while time is left. ``item_knn`` and ``popularity`` always are. Unless
    channels are named, ``attention`` is tried beside the usual ones. ``valid`` as in
    :func:`kgrecall.jobs.build.build_snapshot`: one more fold to build for.
    """
    run = _Planning(snapshot, config, probe, budget, seed, valid)
    names = config.affordable(len(snapshot.items))[0]
    if "channels" not in config.model_fields_set:
        names = (*names, *(name for name in _TRIED_TOO if name not in names))
    if run.measure(_ESSENTIAL):
        for name in sorted(set(names) - set(_ESSENTIAL), key=_place):
            run.consider(name, device)
    return run.plan(names)


class _Planning:
    """The clock, what was measured, and what was said."""

    def __init__(
        self,
        snapshot: GraphSnapshot,
        config: BuildConfig,
        probe: Probe,
        budget: float,
        seed: int,
        valid: Interactions | None,
    ) -> None:
        self._started, self._budget, self._probe, self._config = time.perf_counter(), budget, probe, config
        self._part, self._scale, self._folds = _sample(snapshot, config, seed, valid)
        self._snapshot, self._timed = snapshot, timed(snapshot.interactions())
        self._costs: dict[str, float] = {}
        self._essential = 0.0
        self._notes: list[str] = []

    def measure(self, names: tuple[str, ...]) -> bool:
        """The cost of what every build has; whether there is time for more."""
        self._essential = self._seconds(names)
        return self._left() > self._essential * self._scale

    def consider(self, name: str, device: str) -> None:
        """Measure what one more channel costs, if there is time to."""
        if name in _IN_ORDER and not self._timed:
            return
        if time.perf_counter() - self._started > _PROBING * self._budget:
            self._notes.append(f"The channel {name} was left out: no time to measure what it costs.")
            return
        if name == "text" and (texts := self._text_seconds(device)) > _PROBING * self._budget:
            self._notes.append(f"The channel text was left out: encoding would take about {texts:.0f} s.")
            return
        alone = max(0.0, self._seconds((*_ESSENTIAL, name)) - self._essential)
        self._costs[name] = alone * (self._folds if name in _BY_ITEMS else self._scale)

    def plan(self, names: tuple[str, ...]) -> BuildPlan:
        """Admit channels by cost, then as many settings as there is time for."""
        left = self._left() * _USABLE - self._essential * self._scale
        admitted = set(_ESSENTIAL)
        for name, cost in sorted(self._costs.items(), key=lambda item: item[1]):
            if cost <= left:
                admitted.add(name)
                left -= cost
                self._notes.append(f"The channel {name} is tried: about {cost:.1f} s of the {self._budget:.0f} s.")
            else:
                self._notes.append(f"The channel {name} was left out: about {cost:.1f} s, and {max(left, 0):.1f} s are left.")
        config = self._config if self._fits_all(left) else one_setting(self._config)
        if config is not self._config:
            self._notes.append("One setting of each channel is used: there is no time to try others.")
        chosen = tuple(name for name in self._names(names) if name in admitted)
        return BuildPlan(config.model_copy(update={"channels": chosen, "budget_seconds": self._budget}), tuple(self._notes))

    def _names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return (*names, *(name for name in _ESSENTIAL if name not in names))

    def _fits_all(self, left: float) -> bool:
        config = self._config
        settings = len(config.item_knn) + len(config.trends) + len(config.history_half_lives)
        return settings * self._essential * self._scale / 2 <= left  # a build without choosing holds two such fits and more

    def _left(self) -> float:
        return self._budget - (time.perf_counter() - self._started)

    def _seconds(self, names: tuple[str, ...]) -> float:
        started = time.perf_counter()
        encoder = self._config.encoder if "text" in names else None
        self._probe(self._part, one_setting(self._config).model_copy(update={"channels": names, "encoder": encoder}))
        return time.perf_counter() - started

    def _text_seconds(self, device: str) -> float:
        texts = [text for text in self._snapshot.texts(self._snapshot.schema.item_label) if text]
        if self._config.encoder is None or not texts:
            return 0.0
        encoder = open_encoder(self._config.encoder, device=device)
        started = time.perf_counter()
        encoder.encode(texts[:_SAMPLE_TEXTS])
        return (time.perf_counter() - started) * len(texts) / min(len(texts), _SAMPLE_TEXTS)


def _sample(
    snapshot: GraphSnapshot, config: BuildConfig, seed: int, valid: Interactions | None
) -> tuple[GraphSnapshot, float, float]:
    """The graph with the events of some users, how many times longer the whole takes, and how many times more often a model of
    the whole is built."""
    events = snapshot.interactions()
    users = np.unique(events.user_pos)
    size = min(len(users), max(_LEAST_USERS, round(_SHARE * len(users))))
    drawn = np.random.default_rng(seed).choice(users, size, replace=False)
    part = events.take(np.isin(events.user_pos, drawn))
    runs = [1 + len(config.carve(some, seed, kept).folds) for some, kept in ((events, valid), (part, None))]
    folds = runs[0] / runs[1]
    return snapshot.with_interactions(part), len(events) / len(part) * folds, folds


def one_setting(config: BuildConfig) -> BuildConfig:
    """One setting of everything."""
    channels = ("item_knn", "user_knn", "sequence", "factors", "ease", "item_graph")
    shared = ("history_half_lives", "popularity_half_lives", "trends")
    one = {name: getattr(config, name)[:1] for name in (*channels, *shared)}
    return config.model_copy(update={**one, "slim": config.slim.first(), "budget_seconds": None})


def _place(name: str) -> int:
    return _CHEAP_FIRST.index(name) if name in _CHEAP_FIRST else len(_CHEAP_FIRST)
