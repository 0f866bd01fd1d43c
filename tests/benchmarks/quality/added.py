"""What one channel adds to a fused list that is fitted with it and without it, on validation: quality.added SET [SET ...]."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kgrecall.evaluate import paired_bootstrap
from kgrecall.evaluate.measures import Values
from kgrecall.evaluate.tables import plain_table
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.asked import Asked
from kgrecall.jobs.build import build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.channel_report import ChannelReport, fused_ndcg
from kgrecall.jobs.costs import one_setting
from kgrecall.jobs.folds import Fold, a_few
from kgrecall.jobs.ingredients import CHANNELS, CHANNELS_BY_NAME
from kgrecall.jobs.serve import load_engine
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from tests.benchmarks.quality.options import names_in
from tests.benchmarks.quality.tasks import SETS, Task, load
from tests.benchmarks.record import record

BENCHMARK = "added (validation)"


def main() -> None:
    parser = argparse.ArgumentParser(prog="quality.added", description=__doc__)
    parser.add_argument("set", nargs="+", choices=sorted(SETS))
    parser.add_argument("--channel", default="attention")
    parser.add_argument("--leave-out", default="", help="channels that are not built at all, with commas between them")
    parser.add_argument("--record", action="store_true", help="append the figures to the results")
    options = parser.parse_args()
    left_out = names_in(options.leave_out, (*CHANNELS, *CHANNELS_BY_NAME), "--leave-out")
    for name in options.set:
        compare(load(name), options.channel, left_out, keep=options.record)


def compare(task: Task, channel: str, left_out: Sequence[str], *, keep: bool) -> None:
    """Learn from train, ask validation once: weights that are fitted on half of the users are measured on the others, both
    ways. Test is not read."""
    train, valid = task.split.train, task.split.valid
    usual = one_setting(BuildConfig(validation_cut=task.cut, new_items=0.0, visitors=0.0))
    affordable, _ = usual.affordable(len(task.snapshot.items))
    names = dict.fromkeys((*affordable, channel))
    config = usual.model_copy(update={"channels": tuple(name for name in names if name not in left_out)})
    users = a_few(np.intersect1d(valid.user_pos, train.user_pos), seed=0)
    halves = _asked(
        task.for_valid.snapshot, [Fold.of(train, valid, np.sort(half)) for half in (users[::2], users[1::2])], config
    )
    rows = []
    for fusion in config.fusion[:2]:
        values = {with_it: _fused(halves, fusion, None if with_it else channel) for with_it in (True, False)}
        gain = paired_bootstrap(values[True], values[False], seed=0)
        rows.append([fusion.method, *(f"{values[with_it].mean():.4f}" for with_it in (True, False)), str(gain)])
        if keep:
            found = {"gain": gain.difference, "se": gain.standard_error, "p": gain.p_value}
            _record(task, channel, fusion.method, values, found)
    first = halves[0].fit(config.fusion[0])
    assert first is not None
    report = ChannelReport.of(halves[1], first.config)
    if keep:
        for name in halves[0].hits:
            _figure(task, f"{name} alone", float(_fused(halves, config.fusion[0], None, (name,)).mean()), {"users": len(users)})
    print(plain_table([task.name, f"with {channel}", "without", "gain"], rows), str(report), sep="\n\n", flush=True)


def _record(task: Task, channel: str, method: str, values: dict[bool, Values], gain: dict[str, float]) -> None:
    _figure(task, f"fused by {method}", float(values[True].mean()), {"users": len(values[True]), **gain})
    _figure(task, f"fused by {method}, without {channel}", float(values[False].mean()), {"users": len(values[False])})


def _figure(task: Task, system: str, value: float, config: dict[str, float]) -> None:
    record(benchmark=BENCHMARK, dataset=task.name, system=system, metric="NDCG@20", value=value, seed=0, config=config)


def _fused(halves: Sequence[Asked], fusion: FusionConfig, without: str | None, only: Sequence[str] = ()) -> Values:
    """NDCG@20 of each validation query, with weights that were fitted on the other half."""
    found = []
    for learn, ask in (halves, halves[::-1]):
        names = tuple(name for name in learn.hits if name != without and (not only or name in only))
        fitted = learn.fit(fusion, names)
        config = fusion if fitted is None else fitted.config
        found.append(fused_ndcg(ask.merged(config, names), config, names, ask.around))
    return np.concatenate(found)


def _asked(snapshot: GraphSnapshot, folds: Sequence[Fold], config: BuildConfig) -> list[Asked]:
    """What an engine built from this snapshot answers to the users of each fold."""
    started = time.process_time()
    plain = config.model_copy(update={"fusion": (FusionConfig(method="score"),)})
    with tempfile.TemporaryDirectory() as folder:
        report = build_snapshot(snapshot, plain, out=Path(folder, "built"), seed=0)
        print(f"{time.process_time() - started:.0f} CPU s: {report}", flush=True)
        engine = load_engine(Path(folder, "built"))
        return [Asked.of([fold], lambda _: engine) for fold in folds]


if __name__ == "__main__":
    main()
