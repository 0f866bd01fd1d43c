"""How a search space is walked: Optuna's samplers, and the grid of a space that is written as a ``suggest`` function."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tests.benchmarks.quality.systems import Suggest

Sampler = Literal["tpe", "random", "grid"]
"""Tree-structured Parzen estimator; independent draws; all combinations of evenly spaced values."""


def make_sampler(optuna: Any, sampler: Sampler, suggest: Suggest, trials: int, seed: int) -> Any:
    """The Optuna sampler of this name."""
    if sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.GridSampler(grid_of(suggest, trials), seed=seed)


def grid_of(suggest: Suggest, trials: int) -> dict[str, list[Any]]:
    """Evenly spaced values of each parameter, as many for each as keep all combinations within ``trials`` (at least two)."""
    space = _Space()
    suggest(space)
    levels = max(2, int(trials ** (1 / max(1, len(space.ranges))) + 1e-9))
    return {name: _spread(*bounds, levels) for name, bounds in space.ranges.items()}


class _Space:
    """Stands in for a trial and notes what it is asked for."""

    def __init__(self) -> None:
        self.ranges: dict[str, tuple[float, float, bool, bool]] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.ranges[name] = (low, high, log, False)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.ranges[name] = (low, high, log, True)
        return low


def _spread(low: float, high: float, log: bool, whole: bool, levels: int) -> list[Any]:
    values = np.geomspace(low, high, levels) if log else np.linspace(low, high, levels)
    return sorted({round(value) for value in values.tolist()}) if whole else values.tolist()
