"""New items and new users, served by one engine without retraining: quality.cold_start SET [--help].

Hidden from training: a fifth of the items with all their events, and some users with all of theirs. The engine knows the
graph and the texts of these items, and nothing else.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from kgrecall.evaluate import Evaluation, PairedDifference, evaluate, paired_bootstrap
from kgrecall.evaluate.tables import plain_table
from kgrecall.jobs.build import build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.serve import load_engine
from tests.benchmarks.aims import OURS
from tests.benchmarks.quality.cold_cases import Case, Cases, Hidden
from tests.benchmarks.quality.gate import WITHOUT_MODEL
from tests.benchmarks.quality.tasks import SETS, Task, load
from tests.benchmarks.record import Cost, measure, record

BENCHMARK = "cold_start"
MEASURES = ("Recall@20", "NDCG@20")


@dataclass(frozen=True)
class Answered:
    """The evaluations of one case, by system."""

    case: Case
    found: dict[str, Evaluation]

    @property
    def best_other(self) -> str:
        return max((name for name in self.found if name != OURS), key=lambda name: self.found[name][MEASURES[0]])

    def gain(self) -> PairedDifference:
        """The engine above the best of the others, user by user."""
        ours, other = (self.found[name].per_user for name in (OURS, self.best_other))
        kind = next(kind for kind in ours if str(kind) == MEASURES[0])
        return paired_bootstrap(ours[kind], other[kind], seed=0)


def main() -> None:
    options = _options()
    task = load(options.set)
    problem, test = (task.for_valid, task.split.valid) if options.develop else (task.for_test, task.split.test)
    hidden = Hidden.of(problem.train, test, items=options.items, users=options.users, seed=options.seed)
    config = BuildConfig(validation_cut=task.cut)
    if options.quick:
        config = config.model_copy(update={"channels": WITHOUT_MODEL})
    with tempfile.TemporaryDirectory() as folder:
        with measure() as cost:
            report = build_snapshot(task.snapshot.with_interactions(hidden.train), config, out=folder, seed=options.seed)
        print(report)
        cases = Cases(task.snapshot, load_engine(folder), hidden, options.users, options.seed)
        for answered in _answers(cases):
            if not options.develop:
                _record(task, answered, cost, options.seed, list(config.channels))
            print(_table(answered), flush=True)


def _answers(cases: Cases) -> Iterator[Answered]:
    for case in cases.all():
        yield Answered(
            case, {name: evaluate(rank, case.truth, MEASURES, users=case.users) for name, rank in case.ranks.items()}
        )


def _record(task: Task, answered: Answered, cost: Cost, seed: int, channels: list[str]) -> None:
    gain = answered.gain()
    for name, evaluation in answered.found.items():
        for kind, value in evaluation.values.items():
            config = {"users": evaluation.num_users, "channels": channels if name == OURS else []}
            if name == OURS:
                config |= {"against": answered.best_other, "gain": gain.difference, "p": gain.p_value}
            record(
                benchmark=BENCHMARK,
                dataset=task.name,
                system=name,
                metric=f"{kind}, {answered.case.name}",
                value=value,
                seed=seed,
                seconds=cost.cpu_seconds if name == OURS else None,
                peak_mb=cost.peak_mb if name == OURS else None,
                config=config,
            )


def _table(answered: Answered) -> str:
    rows = [[name, *(f"{value:.4f}" for value in e.values.values())] for name, e in answered.found.items()]
    users = answered.found[OURS].num_users
    title = f"{answered.case.name} ({users:,} users)"
    return f"{plain_table([title, *MEASURES], rows)}\n{OURS} above {answered.best_other}: {answered.gain()}\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="quality.cold_start", description=__doc__)
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("--quick", action="store_true", help="build only channels that need no training")
    parser.add_argument("--items", type=float, default=0.2, help="share of the items that is hidden")
    parser.add_argument("--users", type=int, default=1000, help="hidden users, and users in each question about items")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--develop", action="store_true", help="ask validation instead of test, and record nothing")
    return parser.parse_args()
