"""The benchmark sets: a folder of real data, the mapping that reads it, how it is split and what is measured on it.

The folders lie under ``KGRECALL_BENCH_DATA``; nothing of them is part of the repository.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kgrecall.errors import ConfigError, NotBuilt, Shown, nearest
from kgrecall.evaluate import Measure, parse_measure
from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.graph.split import Split, joined, new_pairs, split_by_time, split_last, split_random
from kgrecall.jobs.folds import Cut
from kgrecall.schema import GraphSchema
from kgrecall.sources.datasets import fetch
from kgrecall.sources.quarantine import QuarantineLimits
from kgrecall.sources.reader import read_tables
from kgrecall.store import open_store
from kgrecall.store.ingest import ingest
from kgrecall.types import Interactions
from tests.benchmarks.quality import reshape
from tests.benchmarks.quality.snapshot_cache import kept_snapshot
from tests.benchmarks.quality.systems import Problem
from tests.benchmarks.record import ROOT

OURS = ROOT / "graph_schema" / "mappings"
MAPPINGS = ROOT / "tests" / "benchmarks" / "mappings"
CARVED_SHARE, CARVED_SEED = 0.1, 20
"""Where no validation part was released, this share of the training events, drawn with this seed, takes its place."""
NO_LIMITS = QuarantineLimits(max_rows=None, max_share=1)
"""Released graphs speak of many items outside the catalogue: those rows are left out, and counted by the report."""
TOP_20 = ("NDCG@20", "Recall@20", "Recall@10", "NDCG@10", "MRR@10", "Coverage@20", "Novelty@20")


@dataclass(frozen=True, slots=True)
class BenchSet:
    """One set.

    ``folder``: below ``KGRECALL_BENCH_DATA``; None for the named data set that kgrecall fetches itself. ``measures``: the
    first one chooses parameters on validation. ``learn_valid``: what is measured on test has learned from validation, too;
    False where published figures have not. ``cut``: how the parts lie in time, and so how a build validates.
    """

    folder: str | None
    mapping: Path
    split: Callable[[GraphSnapshot], Split]
    measures: tuple[str, ...] = TOP_20
    learn_valid: bool = True
    reshape: Callable[[Path, Path], None] = reshape.as_they_are
    cut: Cut = "moment"


@dataclass(frozen=True)
class Task:
    """A set that is read and split. Validation and test ask only for pairs that are new to them, each once."""

    name: str
    snapshot: GraphSnapshot
    split: Split
    measures: tuple[Measure, ...]
    learn_valid: bool
    cut: Cut

    @property
    def chosen_by(self) -> Measure:
        return self.measures[0]

    @cached_property
    def for_valid(self) -> Problem:
        """Learn from train, to be measured on validation."""
        return Problem(self.split.train, self.split.train, self.snapshot.with_interactions(self.split.train), self.cut)

    @cached_property
    def for_test(self) -> Problem:
        """Learn from train (and validation, where the set allows it), to be measured on test."""
        known = joined(self.split.train, self.split.valid)
        train = known if self.learn_valid else self.split.train
        apart = None if self.learn_valid else self.split.valid
        return Problem(train, known, self.snapshot.with_interactions(train), self.cut, apart)


def load(name: str) -> Task:
    """Read, ingest, snapshot and split one set; prints the import report, or where the snapshot of an earlier run lies.

    Raises:
        ConfigError: no such set; names the nearest.
        NotBuilt: ``KGRECALL_BENCH_DATA`` is unset or has no folder of this set.
    """
    if name not in SETS:
        raise ConfigError("benchmark set", expected="a known set", got=name, remedy=nearest(name, SETS))
    bench = SETS[name]
    folder = data_folder(bench.folder) if bench.folder else fetch(name).folder
    snapshot = kept_snapshot(bench.folder or name, folder, bench.mapping, lambda: _snapshot(bench, folder))
    split = bench.split(snapshot)
    known = joined(split.train, split.valid)
    split = Split(split.train, new_pairs(split.valid, split.train), new_pairs(split.test, known))
    return Task(name, snapshot, split, tuple(parse_measure(text) for text in bench.measures), bench.learn_valid, bench.cut)


def _snapshot(bench: BenchSet, folder: Path) -> GraphSnapshot:
    schema = GraphSchema.load(bench.mapping)
    store = open_store(":memory:")
    with tempfile.TemporaryDirectory() as scratch:
        bench.reshape(folder, Path(scratch))
        print(ingest(read_tables(scratch, schema, limits=NO_LIMITS), store, schema))
    try:
        return take_snapshot(store, schema)
    finally:
        store.close()


def data_folder(name: str) -> Path:
    """``$KGRECALL_BENCH_DATA/NAME``.

    Raises:
        NotBuilt: the variable is unset, or the folder is not there.
    """
    root = os.environ.get("KGRECALL_BENCH_DATA")
    remedy = "Set KGRECALL_BENCH_DATA to the folder that holds the unpacked sets."
    if not root:
        raise NotBuilt(f"benchmark set {name}", expected="KGRECALL_BENCH_DATA", got=Shown("an unset variable"), remedy=remedy)
    folder = Path(root) / name
    if not folder.is_dir():
        raise NotBuilt(f"benchmark set {name}", expected="a folder", got=str(folder), remedy=remedy)
    return folder


def by_time(snapshot: GraphSnapshot) -> Split:
    """One cut in time for all users, 80 : 10 : 10."""
    return split_by_time(snapshot.interactions(), valid=0.1, test=0.1)


def last_events(snapshot: GraphSnapshot) -> Split:
    """Leave one out: each user's last event is test, the one before it validation."""
    return split_last(snapshot.interactions(), valid=1, test=1)


def released(train: str = "TRAIN", valid: str | None = "VALID", test: str = "TEST") -> Callable[[GraphSnapshot], Split]:
    """The parts are relations of the graph; without a validation part one is carved from train."""

    def split(snapshot: GraphSnapshot) -> Split:
        learn, test_part = _part(snapshot, train), _part(snapshot, test)
        if valid is not None:
            return Split(learn, _part(snapshot, valid), test_part)
        carved = split_random(learn, valid=CARVED_SHARE, test=0.0, seed=CARVED_SEED)
        return Split(carved.train, carved.valid, test_part)

    return split


def _part(snapshot: GraphSnapshot, relation: str) -> Interactions:
    edges = {edge_type: found for edge_type, found in snapshot.with_role("interaction").items() if edge_type[1] == relation}
    return replace(snapshot, relations=edges).interactions()


LIGHTKG = BenchSet(
    "lightkg-lastfm",
    MAPPINGS / "lightkg-lastfm.toml",
    released(),
    ("MRR@10", "Recall@10", "NDCG@10", "Recall@20", "NDCG@20", "Coverage@20", "Novelty@20"),
    learn_valid=False,
)
SETS = {
    "movielens-100k": BenchSet(None, OURS / "movielens-100k.toml", by_time),
    "lightkg-lastfm": LIGHTKG,
    "lightkg-lastfm-train-valid": replace(LIGHTKG, learn_valid=True),
    "ml1m-kg": BenchSet("ml1m-kg", MAPPINGS / "ml1m-kg.toml", released(), reshape=reshape.ml1m, cut="user"),
    "kgat-last-fm-17k": BenchSet("kgat-last-fm-partial", MAPPINGS / "kgat-last-fm.toml", released(valid=None)),
    "hetrec-lastfm": BenchSet("hetrec-lastfm-multimodal", MAPPINGS / "hetrec-lastfm.toml", released("0", "1", "2")),
    "hetrec-audio": BenchSet(
        "hetrec-lastfm-multimodal", MAPPINGS / "hetrec-audio.toml", released("0", "1", "2"), reshape=reshape.hetrec_audio
    ),
    "amazon-beauty": BenchSet(
        "amazon-beauty-2014-5core", MAPPINGS / "amazon-beauty.toml", last_events, reshape=reshape.beauty, cut="user"
    ),
    "amazon-book": BenchSet("kgat-amazon-book-no-kg", MAPPINGS / "kgat-pairs.toml", released(valid=None)),
    "gowalla": BenchSet("lightgcn-gowalla", MAPPINGS / "kgat-pairs.toml", released(valid=None)),
}
