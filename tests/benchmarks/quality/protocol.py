"""One system on one set: choose on validation, measure on test once per seed, record what came out and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.evaluate import Evaluation, Measure, Novelty, PairedDifference, evaluate, paired_bootstrap, users_by_activity
from kgrecall.evaluate.measures import Values
from kgrecall.types import Interactions
from tests.benchmarks.quality.memory import SeedResult, keep_seed, kept_seed
from tests.benchmarks.quality.systems import System
from tests.benchmarks.quality.tasks import Task
from tests.benchmarks.quality.tuning import Budget, Chosen, tune
from tests.benchmarks.record import Setting, measure, record

BENCHMARK = "quality"
SEEDS = (0, 1, 2)
SEGMENT_BOUNDS = (1, 5, 20, 100)


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


def run(task: Task, system: System, budget: Budget, *, fresh: bool = False, num_seeds: int = len(SEEDS)) -> SystemResult:
    """Tune, then fit and measure on test once per seed; what this version of the code has measured counts, unless ``fresh``."""
    chosen = tune(task, system, budget, fresh=fresh)
    seeds: Sequence[int | None] = SEEDS[:num_seeds] if system.random else (None,)
    return SystemResult(system.name, chosen, tuple(_on_test(task, system, chosen, seed, fresh) for seed in seeds))


def _on_test(task: Task, system: System, chosen: Chosen, seed: int | None, fresh: bool) -> SeedResult:
    known = None if fresh else kept_seed(task, system.name, chosen.params, seed)
    if known is not None:
        return known
    result = _measure_on_test(task, system, chosen, seed)
    keep_seed(task, system.name, chosen.params, result)
    return result


def _measure_on_test(task: Task, system: System, chosen: Chosen, seed: int | None) -> SeedResult:
    problem = task.for_test
    with measure() as cost:
        fitted = system.fit(problem, chosen.params, seed or 0)
    test = evaluate(fitted.rank, task.split.test, task.measures, history=problem.train)
    segments = _segments(test, problem.train, task.chosen_by)
    return SeedResult(
        seed, test.values, test.per_user, segments, None if fitted.shared else cost, test.seconds, fitted.num_bytes
    )


def _segments(test: Evaluation, history: Interactions, measure: Measure) -> dict[str, float]:
    """``{"1-4 events": 0.12, ...}`` for the segments that have test users."""
    found = {}
    for name, users in users_by_activity(history, SEGMENT_BOUNDS).items():
        tested = np.intersect1d(users, test.users)
        if len(tested):
            found[f"{name} events"] = test.among(tested)[measure]
    return found


def record_result(task: Task, result: SystemResult) -> None:
    """Append every figure of a system, one line per measure and seed; the settings stand in the first line of a seed."""
    config = dict(result.chosen.params)
    if result.chosen.value is not None:
        config |= {
            f"valid {task.chosen_by}": round(result.chosen.value, 5),
            "trials": result.chosen.trials,
            "search CPU s": round(result.chosen.seconds, 1),
        }
    for seed in result.seeds:
        for i, (metric, value, unit) in enumerate(_figures(task, seed)):
            _record(task, result.system, metric, value, unit, seed, config if i == 0 else {})


def _figures(task: Task, seed: SeedResult) -> Iterator[tuple[str, float, str]]:
    """(metric, value, unit) of everything that one seed is remembered by."""
    for kind, value in seed.values.items():
        yield str(kind), value, "bits" if isinstance(kind, Novelty) else ""
    for name, value in seed.segments.items():
        yield f"{task.chosen_by}, {name}", value, ""
    if seed.fit is not None:
        yield "fit wall", seed.fit.wall_seconds, "s"
    yield "size", seed.num_bytes / 1e6, "MB"
    yield "users ranked", len(seed.per_user[task.chosen_by]) / max(seed.serve_seconds, 1e-3), "1/CPU s"


def _record(
    task: Task, system: str, metric: str, value: float, unit: str, seed: SeedResult | None, config: Mapping[str, Setting]
) -> None:
    fit = seed.fit if seed else None
    record(
        benchmark=BENCHMARK,
        dataset=task.name,
        system=system,
        metric=metric,
        value=value,
        unit=unit,
        seed=seed.seed if seed else None,
        seconds=fit.cpu_seconds if fit else None,
        peak_mb=fit.peak_mb if fit else None,
        config=config,
    )


def record_difference(task: Task, result: SystemResult, against: str, values: Values) -> PairedDifference:
    """Append how far a system is above another one in the measure that chose, user by user."""
    found = difference(result, values, task.chosen_by)
    config = {"against": against, "low": found.low, "high": found.high, "p": found.p_value}
    _record(task, result.system, f"{task.chosen_by} above the strongest baseline", found.difference, "", None, config)
    return found


def difference(result: SystemResult, values: Values, measure: Measure) -> PairedDifference:
    return paired_bootstrap(result.per_user(measure), values, seed=0)
