"""One system on one set: choose on validation, measure on test once per seed, record what came out and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.evaluate import Evaluation, Measure, Novelty, PairedDifference, evaluate, paired_bootstrap, users_by_activity
from kgrecall.evaluate.measures import Values
from kgrecall.types import Interactions
from tests.benchmarks.quality.systems import System
from tests.benchmarks.quality.tasks import Task
from tests.benchmarks.quality.tuning import Budget, Chosen, tune
from tests.benchmarks.record import Cost, measure, record

BENCHMARK = "quality"
SEEDS = (0, 1, 2)
SEGMENT_BOUNDS = (1, 5, 20, 100)


@dataclass(frozen=True, slots=True)
class SeedResult:
    """The test values of one seed.

    ``segments``: the measure that chose, among users by the number of events that were learned from. ``serve_seconds``: CPU
    seconds to rank all test users.
    """

    seed: int | None
    values: Mapping[Measure, float]
    per_user: Mapping[Measure, Values]
    segments: Mapping[str, float]
    fit: Cost
    serve_seconds: float
    num_bytes: int


@dataclass(frozen=True, slots=True)
class SystemResult:
    """A system's seeds at its chosen parameters."""

    system: str
    chosen: Chosen
    seeds: tuple[SeedResult, ...]

    def mean(self, measure: Measure) -> float:
        return float(np.mean([result.values[measure] for result in self.seeds]))

    @property
    def segments(self) -> dict[str, float]:
        names = self.seeds[0].segments
        return {name: float(np.mean([result.segments[name] for result in self.seeds])) for name in names}

    def per_user(self, measure: Measure) -> Values:
        """The mean over seeds of each user's value, float64 (num_users,)."""
        means: Values = np.mean([result.per_user[measure] for result in self.seeds], axis=0)
        return means


def run(task: Task, system: System, budget: Budget, *, fresh: bool = False) -> SystemResult:
    """Tune, then fit and measure on test once per seed."""
    chosen = tune(task, system, budget, fresh=fresh)
    seeds: Sequence[int | None] = SEEDS if system.random else (None,)
    return SystemResult(system.name, chosen, tuple(_measure_on_test(task, system, chosen, seed) for seed in seeds))


def _measure_on_test(task: Task, system: System, chosen: Chosen, seed: int | None) -> SeedResult:
    problem = task.for_test()
    with measure() as cost:
        fitted = system.fit(problem, chosen.params, seed or 0)
    test = evaluate(fitted.rank, task.split.test, task.measures, history=problem.train)
    segments = _segments(test, problem.train, task.chosen_by)
    return SeedResult(seed, test.values, test.per_user, segments, cost, test.seconds, fitted.num_bytes)


def _segments(test: Evaluation, history: Interactions, measure: Measure) -> dict[str, float]:
    """``{"1-4 events": 0.12, ...}`` for the segments that have test users."""
    found = {}
    for name, users in users_by_activity(history, SEGMENT_BOUNDS).items():
        tested = np.intersect1d(users, test.users)
        if len(tested):
            found[f"{name} events"] = test.among(tested)[measure]
    return found


def record_result(task: Task, result: SystemResult) -> None:
    """Append every figure of a system, one line per measure and seed."""
    config = {
        **result.chosen.params,
        f"valid {task.chosen_by}": round(result.chosen.value, 5),
        "trials": result.chosen.trials,
        "search CPU s": round(result.chosen.seconds, 1),
    }
    for seed in result.seeds:
        num_users = len(next(iter(seed.per_user.values())))
        figures = [
            *((str(measure), value, "bits" if isinstance(measure, Novelty) else "") for measure, value in seed.values.items()),
            *((f"{task.chosen_by}, {name}", value, "") for name, value in seed.segments.items()),
            ("fit wall", seed.fit.wall_seconds, "s"),
            ("size", seed.num_bytes / 1e6, "MB"),
            ("users ranked", num_users / max(seed.serve_seconds, 1e-3), "1/CPU s"),
        ]
        for metric, value, unit in figures:
            record(
                benchmark=BENCHMARK,
                dataset=task.name,
                system=result.system,
                metric=metric,
                value=value,
                unit=unit,
                seed=seed.seed,
                seconds=seed.fit.cpu_seconds,
                peak_mb=seed.fit.peak_mb,
                config=config,
            )


def strongest(results: Sequence[SystemResult], measure: Measure) -> SystemResult:
    """The system that is best on test: the hardest one to compare with."""
    return max(results, key=lambda result: result.mean(measure))


def difference(result: SystemResult, baseline: SystemResult, measure: Measure) -> PairedDifference:
    return paired_bootstrap(result.per_user(measure), baseline.per_user(measure), seed=0)
