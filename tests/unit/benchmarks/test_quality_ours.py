"""Our engine as a system: built once for all its channels, and never showing what the protocol excludes."""

import numpy as np
import pytest

from kgrecall.errors import NotBuilt
from kgrecall.evaluate import evaluate
from kgrecall.graph.snapshot import take_snapshot
from kgrecall.graph.split import new_pairs, split_by_time
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.schema import GraphSchema
from kgrecall.sources.reader import read_tables
from kgrecall.sources.sample_shop import write_sample_shop
from kgrecall.store import open_store
from kgrecall.store.ingest import ingest
from kgrecall.types import Interactions
from tests.benchmarks.quality.ours import Builder, _without
from tests.benchmarks.quality.systems import Problem
from tests.benchmarks.quality.tasks import OURS

LISTS = np.array([[4, 3, 2, 1, 0], [0, 1, 2, 3, 4]], np.int32)


def events(pairs):
    users, items = np.array(pairs, np.int64).reshape(-1, 2).T
    return Interactions(users, items, np.ones(len(users), np.float32), None, 2, 5)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], [[4, 3, 2], [0, 1, 2]]),
        ([(0, 4), (0, 2)], [[3, 1, 0], [0, 1, 2]]),
        ([(0, i) for i in range(4)], [[4, -1, -1], [0, 1, 2]]),
    ],
)
def test_excluded_items_are_replaced_by_the_next_ones(pairs, expected):
    rank = _without(events(pairs), lambda users, k: LISTS[users, :k])
    assert rank(np.array([0, 1]), 3).tolist() == expected


def test_one_build_serves_the_engine_and_its_channels(tmp_path):
    schema = GraphSchema.load(OURS / "shop.toml")
    store = open_store(":memory:")
    ingest(read_tables(write_sample_shop(tmp_path / "shop", num_users=80, num_items=60), schema), store, schema)
    snapshot = take_snapshot(store, schema)
    store.close()
    split = split_by_time(snapshot.interactions(), valid=0, test=0.2)
    problem = Problem(split.train, split.train, snapshot.with_interactions(split.train))
    builder = Builder(BuildConfig(channels=("item_knn", "popularity"), encoder=None))
    fused = builder.system("kgrecall").fit(problem, {}, 0)
    alone = builder.system("kgrecall, popularity alone", "popularity").fit(problem, {}, 0)
    assert (fused.shared, alone.shared) == (False, True)
    assert fused.num_bytes == alone.num_bytes > 0
    truth = new_pairs(split.test, split.train)
    ndcg = [evaluate(system.rank, truth, ["ndcg@10"])["ndcg@10"] for system in (fused, alone)]
    assert ndcg[0] > ndcg[1] > 0  # the shop's users have a taste
    assert builder.system("kgrecall").fit(problem, {}, 1).shared is False
    with pytest.raises(NotBuilt, match="channel text"):
        builder.system("kgrecall, text alone", "text").fit(problem, {}, 0)
