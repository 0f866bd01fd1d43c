"""The same tuning budget for every system: Optuna on the validation part, resumable after a kill.

Optuna is no dependency of kgrecall; install ``tests/benchmarks/requirements.txt``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kgrecall.errors import MissingExtra, Shown
from kgrecall.evaluate import evaluate
from kgrecall.sources.cache_folder import cache_folder
from kgrecall.types import IntArray
from tests.benchmarks.quality.systems import Params, System
from tests.benchmarks.quality.tasks import Task
from tests.benchmarks.record import measure as measure_cost

Sampler = Literal["tpe", "random", "qmc"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What each system may spend: so many trials, or so many CPU seconds, whichever ends first."""

    trials: int = 40
    seconds: float = 1800.0
    sampler: Sampler = "tpe"
    """Tree-structured Parzen estimator, independent draws, or an even grid (Sobol points)."""
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

    study = _study(optuna, f"{task.name} | {system.name} | {measure} | {budget.sampler} {budget.seed}", budget, fresh)
    if not study.trials:
        study.enqueue_trial(dict(system.start))
    for _ in range(len(_finished(study)), budget.trials):
        if _seconds(study) > budget.seconds:
            break
        study.optimize(objective, n_trials=1)
    return Chosen(_native(study.best_params), study.best_value, len(_finished(study)), _seconds(study))


def memory_folder() -> Path:
    """Where searches and values per user are kept between runs."""
    folder = cache_folder() / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        remedy = "Run: pip install -r tests/benchmarks/requirements.txt"
        raise MissingExtra("quality benchmarks", expected="optuna", got=Shown("nothing installed"), remedy=remedy) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _study(optuna: Any, name: str, budget: Budget, fresh: bool) -> Any:
    storage = f"sqlite:///{memory_folder() / 'searches.sqlite'}"
    if fresh and name in optuna.study.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    samplers = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=budget.seed),
        "random": lambda: optuna.samplers.RandomSampler(seed=budget.seed),
        "qmc": lambda: optuna.samplers.QMCSampler(seed=budget.seed, warn_independent_sampling=False),
    }
    sampler = samplers[budget.sampler]()
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
