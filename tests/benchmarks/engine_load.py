"""Time from a fresh process to an engine that answers: the generated catalogue of 25,000 items as an artifact, memory-mapped.

Argument: the number of items (default 25000). Channels: vector (64-d), item_knn, neighbors, popularity. Checksums
are not compared, files lie in the page cache; the process has imported nothing of ours before.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.artifact import ArtifactWriter
from kgrecall.jobs.behaviour_part import BehaviourPart
from kgrecall.jobs.ingredients import Ingredients, save
from kgrecall.recall.channels.neighbors import NeighborsConfig
from kgrecall.recall.channels.node_space import NodeSpaceConfig
from kgrecall.recall.channels.pagerank import PageRankConfig
from kgrecall.recall.engine import EngineConfig
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from tests.benchmarks.latency_world import SEED, World, make_world
from tests.benchmarks.record import record

REPEATS = 5
CHANNELS = ["vector", "item_knn", "neighbors", "popularity"]
PROBE = """
import json, sys, time
wall, cpu = time.perf_counter(), time.process_time()
import kgrecall as kg
engine = kg.load_engine(sys.argv[1], verify=False)
loaded = time.perf_counter() - wall, time.process_time() - cpu
engine.recall(kg.Query(user_id="u00000001"))
answered = time.perf_counter() - wall, time.process_time() - cpu
loops = time.process_time()
engine.warm_up()
heavy = sorted({"torch", "torch_geometric", "transformers"} & set(sys.modules))
print(json.dumps({"load": loaded, "load and first answer": answered, "loops": time.process_time() - loops, "heavy": heavy}))
"""


def main() -> None:
    num_items = int(sys.argv[1]) if len(sys.argv) > 1 else 25_000
    world = make_world(num_items, 64)
    with tempfile.TemporaryDirectory() as place:
        _write(world, Path(place) / "model")
        runs = [_probe(Path(place) / "model") for _ in range(REPEATS)]
    assert not any(run["heavy"] for run in runs), runs
    for metric in ("load", "load and first answer"):
        for i, clock in enumerate(("wall", "CPU")):
            _record(world, f"{metric}, {clock}", float(np.median([run[metric][i] for run in runs])))
    _record(world, "compiled loops, from disk, CPU", float(np.median([run["loops"] for run in runs])))


def _probe(folder: Path) -> dict:
    command = [sys.executable, "-c", PROBE, str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def _write(world: World, out: Path) -> None:
    ingredients = Ingredients(
        snapshot=_with_choices(world),
        popularity=world.histories.popularity(),
        item_knn=world.similarity,
        behaviour=BehaviourPart(),
        attributes=None,
        texts=None,
        embeddings=world.embeddings,
        item_index=world.index,
        text_index=None,
        node_space=NodeSpaceConfig(),
        neighbors=NeighborsConfig(),
        pagerank=PageRankConfig(),
    )
    with ArtifactWriter(out) as writer:
        save(ingredients, writer)
        writer.manifest |= {
            "channels": CHANNELS,
            "fusion": FusionConfig().model_dump(),
            "engine": EngineConfig().model_dump(),
            "encoder": None,
        }


def _with_choices(world: World) -> GraphSnapshot:
    base, key = world.snapshot, ("User", "CHOSE", "Item")
    edges = world.chosen.tocoo()
    sizes = {"num_sources": edges.shape[0], "num_targets": edges.shape[1]}
    time = np.arange(edges.nnz, dtype=np.int64)
    adjacency = Adjacency.from_edges(key, *edges.coords, edges.data.astype(np.float32), time, **sizes)
    return GraphSnapshot(base.schema, "1", base.vocabularies, {key: adjacency}, {key: "CHOSE"}, base.properties)


def _record(world: World, metric: str, value: float) -> None:
    print(f"{world.name:22} {metric:34} {value:.3f} s")
    record(
        benchmark="engine load", dataset=world.name, system="kgrecall", metric=metric, value=value, unit="s",
        seed=SEED, seconds=value,
    )  # fmt: skip


if __name__ == "__main__":
    main()
