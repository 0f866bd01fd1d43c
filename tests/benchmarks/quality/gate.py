"""The graph and the texts of one real set through the product's gate: quality.gate SET [--help]."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.gate import GateConfig, GateReport, run_gate
from kgrecall.jobs.gate_report import Worth
from kgrecall.jobs.gate_split import GateSplit
from tests.benchmarks.quality.tasks import SETS, Task, load
from tests.benchmarks.record import Cost, Setting, measure, record

BENCHMARK = "gate"
WITHOUT_MODEL = ("item_knn", "attributes", "neighbors", "text", "content", "popularity")
"""Channels of a build that needs no training: what a build of each arm can afford on two cores."""

LEAST_SHARE = 0.01
"""Relations with fewer edges than this share of the largest one's are measured, but not recorded."""


def main() -> None:
    options = _options()
    task = load(options.set)
    gate = GateConfig(
        pipeline=options.pipeline,
        shuffles=options.shuffles,
        max_users=options.users,
        relations=not options.no_relations,
        budget_seconds=options.seconds,
    )
    config = BuildConfig(validation_cut=task.cut)
    if not options.model:
        config = config.model_copy(update={"channels": WITHOUT_MODEL})
    split = GateSplit.of(
        task.for_test.train, task.split.test, new_items=gate.new_items, max_users=gate.max_users, seed=options.seed
    )
    with measure() as cost:
        report = run_gate(task.for_test.snapshot, config, gate, split=split, seed=options.seed)
    record_report(task, report, cost, options.seed, list(config.channels) if report.pipeline.startswith("build") else [])
    print(report.table(), report.relation_table() if report.relations else "", report, sep="\n\n")


def record_report(task: Task, report: GateReport, cost: Cost, seed: int, channels: list[str]) -> None:
    """Append what each arm reached, what is proven, and every relation."""
    config: dict[str, Setting] = {"pipeline": report.pipeline, "channels": channels, "notes": list(report.notes)}
    for subject, worths in (("graph", report.graph), ("texts", report.text), ("vectors", report.vectors)):
        for worth in worths:
            for system, value, extra in _arms(subject, worth):
                metric = f"{report.measure}, {worth.question}"
                record(
                    benchmark=BENCHMARK,
                    dataset=task.name,
                    system=f"{system} ({report.pipeline.split(' ', 1)[0]})",
                    metric=metric,
                    value=value,
                    seed=seed,
                    seconds=cost.cpu_seconds,
                    peak_mb=cost.peak_mb,
                    config={**config, "users": worth.num_users, **extra},
                )
    most = max((relation.num_edges for relation in report.relations), default=0)
    for relation in report.relations:
        if relation.num_edges < LEAST_SHARE * most:
            continue
        for what, found in (("alone", relation.alone), ("lost without", relation.lost)):
            for question, difference in found.items():
                record(
                    benchmark="gate_relations",
                    dataset=task.name,
                    system=relation.relation,
                    metric=f"{what}: {report.measure}, {question}",
                    value=difference.difference,
                    seed=seed,
                    config={"verdict": relation.verdict, "edges": relation.num_edges, "p": difference.p_value},
                )


def _arms(subject: str, worth: Worth) -> Iterator[tuple[str, float, Mapping[str, Setting]]]:
    gain, placebo = worth.gain, worth.placebo
    yield f"no {subject}", worth.without, {}
    yield (
        f"real {subject}",
        worth.real,
        {"proven": worth.proven, "gain": gain.difference, "se": gain.standard_error, "p": gain.p_value},
    )
    mean = sum(worth.shuffled) / len(worth.shuffled)
    yield f"shuffled {subject}", mean, {"each": list(worth.shuffled), "gain": placebo.difference, "p": placebo.p_value}


def _options() -> argparse.Namespace:
    usual = GateConfig()
    parser = argparse.ArgumentParser(prog="quality.gate", description=__doc__)
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("--pipeline", choices=["quick", "build"], default="quick")
    parser.add_argument("--model", action="store_true", help="build with every channel, the trained model too")
    parser.add_argument("--shuffles", type=int, default=usual.shuffles)
    parser.add_argument("--users", type=int, default=usual.max_users, help="users in each question")
    parser.add_argument("--no-relations", action="store_true", help="do not try single relations")
    parser.add_argument("--seconds", type=float, default=usual.budget_seconds)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()
