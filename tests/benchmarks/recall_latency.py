"""Time of one fused request of 100 candidates and of a batch, beside the bare cost of one exact vector search.

Arguments: the numbers of items, e.g. ``25000 100000`` (default 25000); 34 interactions an item, 12 a user, power law.
Channels: vector (64-d), item_knn, attributes, neighbors (through people). One thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from kgrecall.graph.knowledge import Incidence
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.index.base import VectorIndex
from kgrecall.index.faiss import FaissConfig, FaissIndex
from kgrecall.recall.attributes import AttributesChannel, build_attribute_similarity
from kgrecall.recall.base import Channel
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.histories import Histories
from kgrecall.recall.item_knn import ItemKnnChannel, build_item_knn, interaction_matrix
from kgrecall.recall.neighbors import NeighborsChannel
from kgrecall.recall.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.rank_fusion import FusionConfig
from kgrecall.recall.requests import batch_of_users
from kgrecall.recall.vector import VectorChannel, normalised
from kgrecall.types import Embeddings, FloatArray, Interactions, Query
from tests.benchmarks.record import measure, record

SEED = 0
DIM = 64
K = 100
REQUESTS = 1000
EVENTS_PER_ITEM, EVENTS_PER_USER = 34, 12
TASTES = 40


@dataclass(frozen=True)
class World:
    """A generated catalogue and everything that an engine of it is made of."""

    name: str
    engine: RecallEngine
    channels: dict[str, Channel]
    index: VectorIndex
    users: FloatArray
    histories: Histories


def main() -> None:
    for num_items in [int(argument) for argument in sys.argv[1:]] or [25_000]:
        _run(num_items)


def _run(num_items: int) -> None:
    world = make_world(num_items)
    asked = np.random.default_rng(SEED + 1).choice(len(world.users), REQUESTS)
    bare = [world.users[user : user + 1] for user in asked]
    _latencies(world, "one exact vector search", [lambda v=v: world.index.search(v, K) for v in bare])
    for name, channel in world.channels.items():
        batches = [batch_of_users(asked[i : i + 1], world.histories, 500) for i in range(REQUESTS)]
        _latencies(world, f"channel {name}", [lambda b=b, c=channel: c.recall(b, 200) for b in batches])
    queries = [Query(user_id=f"u{user:08}", k=K) for user in asked]
    _latencies(world, "fused request", [lambda q=q: world.engine.recall(q) for q in queries])
    _throughput(world, "fused, batched", len(queries), lambda: world.engine.recall_many(queries))
    _throughput(world, "ranked positions, batched", len(asked), lambda: world.engine.rank(asked, K))


def _latencies(world: World, system: str, requests: list[Callable[[], object]]) -> None:
    """Wall milliseconds are what a caller waits, on this machine and its other load; CPU milliseconds are the work itself."""
    for request in requests[:50]:
        request()
    wall, cpu = np.empty(len(requests)), np.empty(len(requests))
    with measure() as cost:
        for i, request in enumerate(requests):
            start, busy = time.perf_counter(), time.thread_time()
            request()
            wall[i], cpu[i] = time.perf_counter() - start, time.thread_time() - busy
    figures = {
        "p50": np.percentile(wall, 50),
        "p99": np.percentile(wall, 99),
        "p50 CPU": np.percentile(cpu, 50),
        "p99 CPU": np.percentile(cpu, 99),
    }
    for metric, value in figures.items():
        _record(world, system, metric, 1000 * float(value), "ms", cost.cpu_seconds, cost.peak_mb)
    shown = "   ".join(f"{metric} {1000 * value:7.3f} ms" for metric, value in figures.items())
    print(f"{world.name:16} {system:28} {shown}")


def _throughput(world: World, system: str, num_queries: int, work: Callable[[], object]) -> None:
    work()
    with measure() as cost:
        work()
    rate = num_queries / cost.cpu_seconds
    print(f"{world.name:16} {system:28} {rate:9,.0f} users / CPU s")
    _record(world, system, "users / CPU second", rate, "1/s", cost.cpu_seconds, cost.peak_mb)


def _record(world: World, system: str, metric: str, value: float, unit: str, seconds: float, peak_mb: float) -> None:
    record(
        benchmark="recall latency", dataset=world.name, system=system, metric=metric, value=value, unit=unit,
        seed=SEED, seconds=seconds, peak_mb=peak_mb, config={"k": K, "dim": DIM},
    )  # fmt: skip


def make_world(num_items: int) -> World:
    """Users with one to three of ``TASTES`` tastes choose among the items of a taste, the popular ones more often."""
    rng = np.random.default_rng(SEED)
    events = _interactions(rng, num_items)
    histories = Histories.of(events)
    embeddings = _embeddings(rng, events)
    index = FaissIndex.build(embeddings.items, FaissConfig(kind="auto"), seed=SEED)
    knowledge = build_node_space(_knowledge(rng, num_items))
    people = Incidence("INTERACTED", "User", csr_array(interaction_matrix(events).T), reverse=True)
    channels: list[Channel] = [
        VectorChannel(index, embeddings),
        ItemKnnChannel(build_item_knn(events)),
        AttributesChannel(build_attribute_similarity(knowledge), knowledge),
        NeighborsChannel(build_node_space([people], NodeSpaceConfig(hub_share=1)), num_users=events.num_users),
    ]
    engine = RecallEngine(
        Vocabulary([f"u{i:08}" for i in range(events.num_users)]),
        Vocabulary([f"i{i:08}" for i in range(num_items)]),
        channels,
        FusionConfig(),
        histories,
    )
    name = f"generated {num_items // 1000}k"
    return World(name, engine, {channel.name: channel for channel in channels}, index, embeddings.users, histories)


def _interactions(rng: np.random.Generator, num_items: int) -> Interactions:
    n = num_items * EVENTS_PER_ITEM
    num_users = n // EVENTS_PER_USER
    user = (num_users * rng.random(n) ** 1.5).astype(np.int64)
    tastes = rng.integers(0, TASTES, (num_users, 3))[user, rng.integers(0, 3, n)]
    per_taste = num_items // TASTES
    item = tastes * per_taste + (per_taste * rng.random(n) ** 2).astype(np.int64)
    user, item = np.divmod(np.unique(user * num_items + item), num_items)
    time = rng.integers(0, 10**11, len(user))
    return Interactions(user, item, np.ones(len(user), np.float32), time, num_users, num_items)


def _embeddings(rng: np.random.Generator, events: Interactions) -> Embeddings:
    taste = np.minimum(np.arange(events.num_items) // (events.num_items // TASTES), TASTES - 1)
    centres = rng.standard_normal((TASTES, DIM))
    items = normalised((centres[taste] + rng.standard_normal((events.num_items, DIM))).astype(np.float32))
    users = normalised(np.asarray(interaction_matrix(events) @ items, np.float32))
    return Embeddings(users, items, items)


def _knowledge(rng: np.random.Generator, num_items: int) -> tuple[Incidence, ...]:
    """Four relations of three edges an item to nodes of power-law size."""
    found = []
    for relation in ("actor", "genre", "director", "subject"):
        num_nodes = num_items // 10
        row = np.repeat(np.arange(num_items), 3)
        node = (num_nodes * rng.random(len(row)) ** 2).astype(np.int64)
        row, node = np.divmod(np.unique(row * num_nodes + node), num_nodes)
        matrix = csr_array((np.ones(len(row), np.float32), (row, node)), shape=(num_items, num_nodes))
        found.append(Incidence(relation, relation.title(), matrix, reverse=False))
    return tuple(found)


if __name__ == "__main__":
    main()
