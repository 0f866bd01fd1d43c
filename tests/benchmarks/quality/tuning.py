"""The same tuning budget for every system: Optuna on the validation part, resumable after a kill.

Optuna is no dependency of kgrecall; install ``tests/benchmarks/requirements.txt``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgrecall.errors import MissingExtra, Shown
from kgrecall.evaluate import evaluate
from kgrecall.types import IntArray
from tests.benchmarks.quality.memory_folder import memory_folder
from tests.benchmarks.quality.samplers import Sampler, grid_of, make_sampler
from tests.benchmarks.quality.systems import Params, Suggest, System
from tests.benchmarks.quality.tasks import Task
from tests.benchmarks.record import measure as measure_cost


@dataclass(frozen=True, slots=True)
class Budget:
    """What each system may spend: so many trials, or so many CPU seconds, whichever ends first."""

    trials: int = 40
    seconds: float = 1800.0
    sampler: Sampler = "tpe"
    valid_users: int = 10_000
    """Validation users, drawn once when there are more: selection needs no more of them."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best point of a search: its value on validation (None without a search), and what the search took."""

    params: Params
    value: float | None = None
    trials: int = 0
    seconds: float = 0.0


def tune(task: Task, system: System, budget: Budget, *, fresh: bool = False) -> Chosen:
    """Search the system's space. Trials that were finished in an earlier run count, unless ``fresh``.

    Raises:
        MissingExtra: Optuna is not installed.
    """
    suggest = system.suggest
    if suggest is None:
        return Chosen({})
    optuna = _optuna()
    problem, users = task.for_valid, _valid_users(task, budget)
    measure = task.chosen_by

    def objective(trial: Any) -> float:
        with measure_cost() as cost:
            fitted = system.fit(problem, suggest(trial), budget.seed)
            value = evaluate(fitted.rank, task.split.valid, [measure], users=users)[measure]
        trial.set_user_attr("seconds", cost.cpu_seconds)
        return value

    walk = f"{budget.sampler} {budget.seed}" + (f" of {budget.trials}" if budget.sampler == "grid" else "")
    name = f"{task.name} | {system.name} | {measure} | {walk} | {len(users)} users"
    study = _study(optuna, name, suggest, budget, fresh)
    if not study.trials and budget.sampler != "grid":
        study.enqueue_trial(dict(system.start))
    for _ in range(len(_finished(study)), _most_trials(suggest, budget)):
        if _seconds(study) > budget.seconds:
            break
        study.optimize(objective, n_trials=1)
    return Chosen(_native(study.best_params), study.best_value, len(_finished(study)), _seconds(study))


def _most_trials(suggest: Suggest, budget: Budget) -> int:
    """A grid may have fewer points than the budget allows."""
    if budget.sampler != "grid":
        return budget.trials
    return min(budget.trials, math.prod(map(len, grid_of(suggest, budget.trials).values())))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        remedy = "Run: pip install -r tests/benchmarks/requirements.txt"
        raise MissingExtra("quality benchmarks", expected="optuna", got=Shown("nothing installed"), remedy=remedy) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _study(optuna: Any, name: str, suggest: Suggest, budget: Budget, fresh: bool) -> Any:
    storage = f"sqlite:///{memory_folder() / 'searches.sqlite'}"
    if fresh and name in optuna.study.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    sampler = make_sampler(optuna, budget.sampler, suggest, budget.trials, budget.seed)
    return optuna.create_study(study_name=name, storage=storage, sampler=sampler, direction="maximize", load_if_exists=True)


def _finished(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.value is not None]


def _seconds(study: Any) -> float:
    return float(sum(trial.user_attrs["seconds"] for trial in _finished(study)))


def _native(params: dict[str, Any]) -> dict[str, Any]:
    """Floats to four significant digits: what is recorded is what was run."""
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in params.items()}


def _valid_users(task: Task, budget: Budget) -> IntArray:
    users = np.unique(task.split.valid.user_pos)
    if len(users) <= budget.valid_users:
        return users
    return np.sort(np.random.default_rng(budget.seed).choice(users, budget.valid_users, replace=False))
