"""The same files through Neo4j and through SQLite: shares of equal vocabularies, relations, fingerprints and recall lists.

Arguments: names of data sets (default sample-shop movielens-100k), fetched as ``kgrecall demo`` does.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.jobs.build import build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.serve import load_engine
from kgrecall.sources import datasets
from kgrecall.sources.reader import read_tables
from kgrecall.store import open_store
from kgrecall.store.base import GraphStore
from kgrecall.store.ingest import ingest
from kgrecall.types import PosArray
from tests.benchmarks.neo4j_server_cost import open_bench
from tests.benchmarks.record import measure, record

CONFIG = BuildConfig(channels=("item_knn", "attributes", "neighbors", "popularity"), encoder=None)
K = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one store made of the files; ``lists`` int32 (num_users, K)."""

    snapshot: GraphSnapshot
    lists: PosArray


def main() -> None:
    names = sys.argv[1:] or ["sample-shop", "movielens-100k"]
    with open_bench() as bench, tempfile.TemporaryDirectory() as folder:
        for name in names:
            bench.wipe()
            with measure() as cost:
                found = [_outcome(store, name, Path(folder)) for store in (bench.store(), open_store(":memory:"))]
            _report(name, *found, cost.cpu_seconds)


def _outcome(store: GraphStore, name: str, folder: Path) -> Outcome:
    data = datasets.fetch(name)
    assert ingest(read_tables(data.folder, data.schema), store, data.schema).total.balanced
    snapshot = take_snapshot(store, data.schema)
    build_snapshot(snapshot, CONFIG, out=folder / "model")
    store.close()
    return Outcome(snapshot, load_engine(folder / "model").rank(np.arange(len(snapshot.users)), K))


def _report(name: str, ours: Outcome, theirs: Outcome, seconds: float) -> None:
    a, b = ours.snapshot, theirs.snapshot
    labels, relations = list(b.vocabularies), list(b.relations)
    figures = {
        "equal vocabularies": np.mean([a.vocabularies[label].ids.equals(b.vocabularies[label].ids) for label in labels]),
        "equal relations": np.mean([_same_rows(a, b, relation) for relation in relations]),
        "equal fingerprint": float(a.fingerprint == b.fingerprint),
        "equal recall lists": np.mean((ours.lists == theirs.lists).all(axis=1)),
    }
    print(f"{name}: " + ", ".join(f"{metric} {value:.4f}" for metric, value in figures.items()), flush=True)
    for metric, value in figures.items():
        record(
            benchmark="neo4j_parity",
            dataset=name,
            system=f"Neo4j beside SQLite, {len(theirs.lists):,} users, k = {K}",
            metric=metric,
            value=float(value),
            seconds=seconds,
        )


def _same_rows(a: GraphSnapshot, b: GraphSnapshot, relation: tuple[str, str, str]) -> bool:
    ours, theirs = a.relations[relation], b.relations[relation]
    return np.array_equal(ours.indptr, theirs.indptr) and np.array_equal(ours.indices, theirs.indices)


if __name__ == "__main__":
    main()
