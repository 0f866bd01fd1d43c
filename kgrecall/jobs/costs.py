"""What channels cost: measured on a few users, carried over to all of them."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from kgrecall.graph.knowledge import knowledge_then
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.artifact import ArtifactWriter
from kgrecall.jobs.asked import HITS, Asked
from kgrecall.jobs.audience_part import AudiencePart
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.choices import Validation
from kgrecall.jobs.chosen import choose_settings
from kgrecall.jobs.clock import Stopwatch
from kgrecall.jobs.folds import a_few
from kgrecall.jobs.ingredients import Ingredients, save
from kgrecall.jobs.maker import Maker
from kgrecall.kernels import tier
from kgrecall.model.trainer import ModelConfig
from kgrecall.recall.engine import RecallEngine
from kgrecall.types import Interactions

ESSENTIAL = ("item_knn", "popularity")
"""Channels that every build within a time has."""
_ALWAYS = ("popularity",)
"""An engine needs a channel, and the graph may have nothing for another."""
_MOST_ASKED = 512
_TRAINING = "train"
_EPOCHS = 2
"""The first one takes longer: what is used again and again is made in it."""
_INSTANT = 1e-6


@dataclass(frozen=True, slots=True)
class Work:
    """What one build has to do: how many events there are to learn from, and the users and steps of an epoch of training."""

    events: int
    users: int
    steps: int

    @classmethod
    def of(cls, events: Interactions, model: ModelConfig) -> Work:
        users = len(np.unique(events.user_pos))
        batch = min(model.batch_size, -(-events.num_users // model.min_steps))
        steps = min(model.max_steps, -(-users // batch))
        return cls(len(events), min(users, steps * batch), steps)


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall seconds of a channel: to ``learn`` from the events once, for each ``epoch`` of training beside that, and to ``ask``
    for one user."""

    learn: float
    epoch: float
    ask: float

    def beside(self, other: Cost) -> Cost:
        """What is left where the other is paid for."""
        return Cost(max(0.0, self.learn - other.learn), max(0.0, self.epoch - other.epoch), max(0.0, self.ask - other.ask))


@dataclass(frozen=True, slots=True)
class Overhead:
    """Wall seconds of what is done once: to learn how ``fusing`` is done, by ``weights`` and by a ``network``, and for the
    ``writing`` of the arrays, for each event."""

    weights: float
    network: float
    writing: float

    def fusing(self, num_channels: int, queries: int, crowd: int) -> float:
        """Each weight is tried on the lists of all channels, which partly hold the same. A network takes a least number of
        steps, however few the queries, and the crowd teaches it too."""
        networks = num_channels * math.sqrt(queries + crowd) * self.network
        return queries * num_channels * math.sqrt(num_channels) * self.weights + networks


def carried(measured: Sequence[tuple[Work, Cost]], whole: Work) -> Cost:
    """What the whole costs, from one or two measurements.

    To learn and to ask grow with a power of the events between 0 and 1: there is a part that items alone cause, and lists of
    neighbours fill up. Two measurements tell the power, by one alone it is 1. By 140 and 2,750 of 150,000 users of a generated
    shop with 10 million events, to learn for all channels was told to take some three quarters of what it took. An epoch
    takes so much a step and so much a user.
    """
    works, costs = [work for work, _ in measured], [cost for _, cost in measured]
    events = [work.events for work in (*works, whole)]
    return Cost(
        _by_power([cost.learn for cost in costs], events),
        _by_parts([cost.epoch for cost in costs], [(work.steps, work.users) for work in (*works, whole)]),
        _by_power([cost.ask for cost in costs], events),
    )


def _by_power(seconds: Sequence[float], sizes: Sequence[int]) -> float:
    """``a x^p``, 0 <= p <= 1, of the last size, through the seconds of those before it."""
    *known, whole = sizes
    first, last, power = max(seconds[0], _INSTANT), max(seconds[-1], _INSTANT), 1.0
    if known[-1] > known[0]:
        power = min(1.0, max(0.0, math.log(last / first) / math.log(known[-1] / known[0])))
    grown: float = last * (whole / known[-1]) ** power
    return grown


def _by_parts(seconds: Sequence[float], sizes: Sequence[tuple[int, int]]) -> float:
    """``a p + b q``, a, b >= 0, of the last size, through the seconds of those before it."""
    *known, (p, q) = sizes
    (p_1, q_1), (p_2, q_2) = known[0], known[-1]
    first, last = seconds[0], seconds[-1]
    if (det := p_1 * q_2 - p_2 * q_1) == 0:
        return last * max(p / p_2, q / q_2)
    a, b = (first * q_2 - last * q_1) / det, (p_1 * last - p_2 * first) / det
    if a < 0:
        return last * q / q_2
    return last * p / p_2 if b < 0 else a * p + b * q


class Probe:
    """A build for some of the users that is thrown away.

    Args:
        events: of the snapshot.
        size: how many users.
    """

    def __init__(self, snapshot: GraphSnapshot, events: Interactions, maker: Maker, size: int) -> None:
        users = np.unique(events.user_pos)
        drawn = np.random.default_rng(maker.seed).choice(users, min(size, len(users)), replace=False)
        part = events.take(np.isin(events.user_pos, drawn))
        folds = maker.config.carve(part, maker.seed).folds
        self._fold = folds[0] if folds else None
        self._events = folds[0].train if folds else part
        self._snapshot = snapshot.with_interactions(self._events)
        brief = maker.config.model.model_copy(update={"epochs": _EPOCHS})
        self._maker = replace(maker, config=one_setting(maker.config).model_copy(update={"model": brief}))
        self.work = Work.of(self._events, maker.config.model)

    def cost(self, *names: str) -> Cost:
        """Of these channels together, each at its first setting, and of what is made for any channel, without names of that
        alone."""
        return self._made(names)[0]

    @cached_property
    def essential(self) -> tuple[Cost, Overhead]:
        """The cost of :data:`ESSENTIAL`, and of what is done once."""
        cost, ingredients, engine = self._made(ESSENTIAL)
        writing = self._writing(ingredients) / len(self._events)
        return cost, Overhead(*self._fusing(engine), writing)

    def _made(self, names: tuple[str, ...]) -> tuple[Cost, Ingredients, RecallEngine]:
        marks: list[float] = []

        def progress(stage: str, done: int, total: int | None) -> None:
            if stage == _TRAINING:
                marks.append(time.perf_counter())

        tier.load()  # what is done once
        names = (*names, *(name for name in _ALWAYS if name not in names))
        maker = replace(self._maker, channels=names, progress=progress, watch=Stopwatch())
        nothing, known = Validation(()), knowledge_then(self._snapshot)
        started = time.perf_counter()
        chosen = choose_settings(maker.config, nothing, self._events, names, knowledge=known, seed=maker.seed)
        ingredients, _ = maker.ingredients(self._snapshot, self._events, chosen, epochs=_EPOCHS)
        engine = maker.serve(ingredients)
        learned = time.perf_counter() - started
        epochs = np.diff(marks).tolist() if marks else [0.0]
        return Cost(learned - sum(epochs), epochs[-1], self._asking(engine)), ingredients, engine

    def _asking(self, engine: RecallEngine) -> float:
        users = np.unique(self._events.user_pos) if self._fold is None else self._fold.users
        users = a_few(users, seed=self._maker.seed, most=_MOST_ASKED)
        return _seconds(lambda: engine.channel_hits(users, min(HITS, self._events.num_items))) / len(users)

    def _fusing(self, engine: RecallEngine) -> tuple[float, float]:
        """Seconds of the weights of all methods, and to find out what is not needed; seconds of the networks."""
        if self._fold is None:
            return 0.0, 0.0
        asked, channels = Asked.of([self._fold], lambda _: engine), len(ESSENTIAL)
        took = [(method, _seconds(partial(asked.fit, method))) for method in self._maker.config.fusion]
        weights = [seconds for method, seconds in took if method.method != "learned"]
        usual = float(np.mean(weights)) if weights else 0.0
        networks = sum(max(0.0, seconds - usual) for method, seconds in took if method.method == "learned")
        return (len(took) + 1) * usual / (len(asked.kind) * channels**1.5), networks / (asked.num_queries**0.5 * channels)

    def _writing(self, ingredients: Ingredients) -> float:
        def write() -> None:
            audience = AudiencePart.of(self._snapshot, self._events)
            with tempfile.TemporaryDirectory() as folder, ArtifactWriter(Path(folder, "probe")) as writer:
                save(replace(ingredients, audience=audience), writer)

        return _seconds(write)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def one_setting(config: BuildConfig) -> BuildConfig:
    """One setting of everything."""
    shared = ("history_half_lives", "popularity_half_lives", "trends")
    names = ("item_knn", "user_knn", "sequence", "factors", "ease", "item_graph")
    one = {name: getattr(config, name)[:1] for name in (*names, *shared)}
    return config.model_copy(update={**one, "slim": config.slim.first(), "budget_seconds": None})
