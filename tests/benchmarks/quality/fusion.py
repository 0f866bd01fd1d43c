"""Ways of fusing the same channels, fitted on one part of train and measured on validation: quality.fusion SET [SET ...]."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgrecall.evaluate.measures import Values
from kgrecall.evaluate.tables import plain_table
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.asked import Asked
from kgrecall.jobs.channel_report import ChannelReport, fused_ndcg
from kgrecall.jobs.choices import Validation
from kgrecall.jobs.folds import Fold, a_few
from kgrecall.recall.fusion.fusion_weights import weigh
from kgrecall.recall.fusion.merged_lists import MergedLists
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from tests.benchmarks.quality.tasks import SETS, Task, load
from tests.benchmarks.record import record

BENCHMARK = "fusion"
CHANNELS = ("item_knn", "ease", "attributes", "neighbors", "pagerank", "popularity")
_SEGMENTS = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """NDCG@20 of each validation query, and the CPU seconds of fitting."""

    values: Values
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="quality.fusion", description=__doc__)
    parser.add_argument("set", nargs="+", choices=sorted(SETS))
    for name in parser.parse_args().set:
        compare(load(name))


def compare(task: Task) -> None:
    """Fit every method on a fold of train, refit the channels on all of train, ask validation once. Test is not read."""
    train = task.split.train
    fold = Validation.carve(train, 0.1, seed=0).folds[0]
    inner = _asked(task.snapshot.with_interactions(fold.train), fold)
    valid = task.split.valid
    users = a_few(np.intersect1d(valid.user_pos, train.user_pos), seed=0)
    outer = _asked(task.for_valid.snapshot, Fold.of(train, valid, users))
    rows = []
    for name, found in _outcomes(inner, outer):
        value, error = float(found.values.mean()), float(found.values.std() / np.sqrt(len(found.values)))
        _record(task, name, "NDCG@20 on validation", value, found.seconds)
        rows.append([name, f"{value:.4f} ± {error:.4f}", f"{found.seconds:.1f}"])
    report = ChannelReport.of(outer, _fitted(inner, "score"))
    _record(task, "all candidates", "Recall before the cut", report.ceiling)
    print(plain_table([task.name, "NDCG@20 on validation", "fit CPU s"], rows), str(report), sep="\n\n", flush=True)


def _record(task: Task, system: str, metric: str, value: float, seconds: float | None = None) -> None:
    config = {"channels": ", ".join(CHANNELS)}
    record(benchmark=BENCHMARK, dataset=task.name, system=system, metric=metric, value=value, seconds=seconds, config=config)


def _outcomes(inner: Asked, outer: Asked) -> Iterator[tuple[str, Outcome]]:
    for method in ("rrf", "score"):
        config = FusionConfig(method=method)
        yield f"{method}, equal weights", Outcome(_values(outer, config), 0.0)
        started = time.process_time()
        config = _fitted(inner, method)
        yield f"{method}, fitted weights", Outcome(_values(outer, config), time.process_time() - started)
    yield "score, fitted by history length", _by_segment(inner, outer)
    started = time.process_time()
    learned = _fitted(inner, "learned")
    if learned.combiner is not None:
        yield "learned", Outcome(_values(outer, learned), time.process_time() - started)


def _fitted(asked: Asked, method: str) -> FusionConfig:
    config = FusionConfig(method=method)  # type: ignore[arg-type]
    fitted = asked.fit(config)
    return config if fitted is None else fitted.config


def _values(asked: Asked, config: FusionConfig) -> Values:
    names = tuple(asked.hits)
    return fused_ndcg(asked.merged(config, names), config, names, asked.around)


def _by_segment(inner: Asked, outer: Asked) -> Outcome:
    """Weights of its own for each third of the users by the length of their history."""
    config, names = FusionConfig(method="score"), tuple(inner.hits)
    learn, ask = inner.merged(config, names), outer.merged(config, names)
    bounds = np.quantile(inner.around.history[learn.queries], np.arange(1, _SEGMENTS) / _SEGMENTS)
    values, started = np.zeros(len(ask.queries)), time.process_time()
    for segment in range(_SEGMENTS):
        mine = _of(learn, inner, bounds, segment)
        theirs = np.flatnonzero(np.digitize(outer.around.history[ask.queries], bounds) == segment)
        values[theirs] = fused_ndcg(ask.take(theirs), weigh(mine, names, config).config, names, outer.around)
    return Outcome(values, time.process_time() - started)


def _of(lists: MergedLists, asked: Asked, bounds: Values, segment: int) -> MergedLists:
    return lists.take(np.flatnonzero(np.digitize(asked.around.history[lists.queries], bounds) == segment))


def _asked(snapshot: GraphSnapshot, fold: Fold) -> Asked:
    """What an engine built from this snapshot answers to the users of the fold."""
    from kgrecall.jobs.build import build_snapshot  # brings torch
    from kgrecall.jobs.build_config import BuildConfig
    from kgrecall.jobs.serve import load_engine

    usual = BuildConfig(encoder=None)
    several = ("item_knn", "ease", "history_half_lives", "popularity_half_lives", "trends")
    one = {name: getattr(usual, name)[:1] for name in several}
    affordable, _ = usual.affordable(len(snapshot.items))
    channels = tuple(name for name in CHANNELS if name in affordable)
    config = usual.model_copy(update={**one, "channels": channels, "fusion": (FusionConfig(method="score"),)})
    with tempfile.TemporaryDirectory() as folder:
        build_snapshot(snapshot, config, out=Path(folder, "built"), seed=0)
        return Asked.of([fold], lambda _: load_engine(Path(folder, "built")))
