"""Several systems over the same users, side by side, with paired significance against one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kgrecall.errors import ConfigError, nearest
from kgrecall.evaluate.evaluator import Evaluation, as_measure, evaluate
from kgrecall.evaluate.measures import Features, Measure
from kgrecall.evaluate.ranking import Rank
from kgrecall.evaluate.significance import PairedDifference, paired_bootstrap
from kgrecall.evaluate.tables import plain_table
from kgrecall.types import IntArray, Interactions, Progress, no_progress


@dataclass(frozen=True, slots=True)
class Comparison:
    """Evaluations by the name of their system, in the order in which they were given; all over the same users."""

    evaluations: Mapping[str, Evaluation]

    def __getitem__(self, system: str) -> Evaluation:
        """The evaluation of one system.

        Raises:
            ConfigError: no such system; names the nearest.
        """
        if system not in self.evaluations:
            remedy = nearest(system, self.evaluations)
            raise ConfigError("system", expected="a system of this comparison", got=system, remedy=remedy)
        return self.evaluations[system]

    @property
    def measures(self) -> tuple[Measure, ...]:
        return tuple(next(iter(self.evaluations.values())).values)

    def best(self, measure: Measure | str) -> str:
        """The system with the best value; the first of equals."""
        measure = as_measure(measure)
        sign = 1 if measure.higher_is_better else -1
        return max(self.evaluations, key=lambda system: sign * self.evaluations[system][measure])

    def difference(self, system: str, baseline: str, measure: Measure | str, *, seed: int) -> PairedDifference:
        """How far ``system`` is above ``baseline``, user by user.

        Raises:
            ConfigError: an unknown system, or a measure without a value per user (Coverage).
        """
        measure = as_measure(measure)
        a, b = self[system].per_user, self[baseline].per_user
        if measure not in a:
            remedy = f"Known: {', '.join(map(str, a))}."
            raise ConfigError("measure", expected="an evaluated measure with values per user", got=str(measure), remedy=remedy)
        return paired_bootstrap(a[measure], b[measure], seed=seed)

    def rows(self) -> list[dict[str, str | float]]:
        """One row per system: its name and the value of every measure, for any table or data frame."""
        return [
            {"system": system, **{str(measure): evaluation[measure] for measure in self.measures}}
            for system, evaluation in self.evaluations.items()
        ]

    def table(self) -> str:
        """Plain text, one line per system; the best value of each column is marked with ``*``."""
        best = {measure: self.evaluations[self.best(measure)][measure] for measure in self.measures}
        lines = [
            [system, *(f"{e[m]:.4f}{'*' if e[m] == best[m] else ' '}" for m in self.measures)]
            for system, e in self.evaluations.items()
        ]
        return plain_table(["system", *(f"{measure} " for measure in self.measures)], lines)


def compare(
    systems: Mapping[str, Rank],
    truth: Interactions,
    measures: Sequence[Measure | str],
    *,
    users: IntArray | None = None,
    history: Interactions | None = None,
    features: Features | None = None,
    block: int = 1024,
    progress: Progress = no_progress,
) -> Comparison:
    """Evaluate every system with :func:`~kgrecall.evaluate.evaluator.evaluate`; the arguments mean the same.

    Raises:
        ConfigError: no system is given.
    """
    if not systems:
        raise ConfigError("systems", expected="at least one", got=systems, remedy="Pass a name and a ranker for each.")
    return Comparison(
        {
            name: evaluate(
                rank, truth, measures, users=users, history=history, features=features, block=block, progress=progress
            )
            for name, rank in systems.items()
        }
    )
