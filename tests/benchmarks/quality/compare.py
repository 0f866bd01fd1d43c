"""Recall and NDCG of tuned systems on one real set, with paired significance: quality.compare SET [--help]."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import get_args

from kgrecall.errors import BudgetExceeded, NotBuilt
from kgrecall.evaluate.measures import Values
from kgrecall.evaluate.tables import plain_table
from tests.benchmarks.quality.factors import EASE
from tests.benchmarks.quality.memory import remember, remembered
from tests.benchmarks.quality.neighbourhood import (
    COSINE_ITEM_KNN,
    DEGREE_ITEM_KNN,
    POPULARITY,
    RECENT_POPULARITY,
    RP3BETA,
    USER_KNN,
)
from tests.benchmarks.quality.options import names_in
from tests.benchmarks.quality.ours import ALONE, FUSED
from tests.benchmarks.quality.peer_models import BPR, IALS, KGAT, KGIN, LIGHTGCN, RECTOOLS_EASE, RECTOOLS_ITEM_KNN
from tests.benchmarks.quality.protocol import (
    SEEDS,
    SystemResult,
    difference,
    record_difference,
    record_result,
    run,
)
from tests.benchmarks.quality.samplers import Sampler
from tests.benchmarks.quality.systems import System
from tests.benchmarks.quality.tasks import SETS, Task, load
from tests.benchmarks.quality.tuning import Budget

BASELINES = (POPULARITY, RECENT_POPULARITY, COSINE_ITEM_KNN, DEGREE_ITEM_KNN, RP3BETA, USER_KNN, EASE, IALS)
OURS = (FUSED, *ALONE)
PEERS = (BPR, RECTOOLS_EASE, RECTOOLS_ITEM_KNN, LIGHTGCN, KGAT, KGIN)
"""Models of other projects: minutes a fit, so they are run only when they are named."""


def main() -> None:
    options = _options()
    task = load(options.set)
    budget = Budget(options.trials, options.seconds, options.sampler, options.valid_users)
    results = []
    for system in _chosen_systems(options.only):
        try:
            result = run(task, system, budget, fresh=options.fresh, num_seeds=options.seeds)
        except (BudgetExceeded, NotBuilt) as error:
            print(f"{system.name} is left out: {error}")
            continue
        record_result(task, result)
        remember(task, result.system, result.per_user(task.chosen_by))
        results.append(result)
        print(_line(task, result), flush=True)
    baselines = remembered(task, (baseline.name for baseline in (*BASELINES, *PEERS)))
    best = max(baselines, key=lambda name: baselines[name].mean(), default=None)
    if best is not None:
        for result in results:
            if result.system == FUSED.name:
                record_difference(task, result, best, baselines[best])
    print(table(task, results, best, baselines), segment_table(task, results), sep="\n\n")


def table(task: Task, results: Sequence[SystemResult], best: str | None, baselines: Mapping[str, Values]) -> str:
    """Systems and measures, best first, with the paired difference to the strongest baseline."""
    ordered = sorted(results, key=lambda result: -result.mean(task.chosen_by))
    rows = [
        [
            result.system,
            *(f"{result.mean(measure):.4f}" for measure in task.measures),
            "" if best in (None, result.system) else str(difference(result, baselines[best], task.chosen_by)),
        ]
        for result in ordered
    ]
    return plain_table([task.name, *map(str, task.measures), f"{task.chosen_by} - {best}"], rows)


def segment_table(task: Task, results: Sequence[SystemResult]) -> str:
    """The chosen measure by the length of the users' histories."""
    names = list(results[0].segments) if results else []
    rows = [[result.system, *(f"{value:.4f}" for value in result.segments.values())] for result in results]
    return plain_table([f"{task.chosen_by} of users with", *names], rows)


def _line(task: Task, result: SystemResult) -> str:
    chosen, fit = result.chosen, result.seeds[0].fit
    searched = f"; valid {chosen.value:.4f} in {chosen.trials} trials, {chosen.seconds:.0f} CPU s; " if chosen.trials else ""
    cost = f"; fit {fit.cpu_seconds:.1f} CPU s, peak {fit.peak_mb:.0f} MB" if fit else ""
    return f"{result.system}: test {task.chosen_by} {result.mean(task.chosen_by):.4f}{cost}{searched}{chosen.params or ''}"


def _options() -> argparse.Namespace:
    usual = Budget()
    parser = argparse.ArgumentParser(prog="quality.compare", description=__doc__)
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("--only", default="", help="names of systems, with commas between them")
    parser.add_argument("--trials", type=int, default=usual.trials, help="points of the search space per system")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="CPU seconds of search per system")
    parser.add_argument("--valid-users", type=int, default=usual.valid_users, help="validation users that a trial asks")
    parser.add_argument("--sampler", choices=get_args(Sampler), default=usual.sampler)
    parser.add_argument("--seeds", type=int, choices=range(1, len(SEEDS) + 1), default=len(SEEDS), help="of systems that draw")
    parser.add_argument("--fresh", action="store_true", help="forget the trials of earlier runs")
    return parser.parse_args()


def _chosen_systems(only: str) -> list[System]:
    systems = {system.name: system for system in (*BASELINES, *OURS, *PEERS)}
    usual = [system.name for system in (*BASELINES, *OURS)]
    return [systems[name] for name in names_in(only, systems, "--only") or usual]
