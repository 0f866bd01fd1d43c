"""Time of one fused request of 100 candidates and of a batch, beside the bare cost of its parts and beside peers.

Arguments: sizes as ``ITEMSxDIM``, e.g. ``25000x64 100000x128`` (default 25000x64), and ``--no-peers``. Channels: vector,
item_knn, attributes, neighbors (through people); filter: a price that a fifth of the items have. One thread: run it with
``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1``. *Bare parts* are one FAISS search for 100 items and one scipy product of a
user's row with the same item-item similarity, on their own.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
from scipy import sparse

from kgrecall.types import FloatArray, Query
from tests.benchmarks.latency_world import CHEAP, SEED, World, make_world
from tests.benchmarks.quality.peers import run_peer
from tests.benchmarks.record import measure
from tests.benchmarks.timings import Timings

K = 100
REQUESTS = 1000
FUSED = "fused request"


def main() -> None:
    sizes = [argument for argument in sys.argv[1:] if not argument.startswith("-")] or ["25000x64"]
    for size in sizes:
        num_items, dim = (int(part) for part in size.split("x"))
        _run(make_world(num_items, dim), peers="--no-peers" not in sys.argv)


def _run(world: World, *, peers: bool) -> None:
    asked = np.random.default_rng(SEED + 1).choice(len(world.embeddings.users), REQUESTS)
    ids = [f"u{user:08}" for user in asked]
    world.engine.warm_up()
    _bare(world, asked)
    for suffix, condition in (("", None), (", filtered", f"price < {CHEAP}")):
        queries = [Query(user_id=user, k=K, filter=condition) for user in ids]
        _timings(world).latencies(FUSED + suffix, [lambda q=q: world.engine.recall(q) for q in queries])
        _timings(world).throughput(
            "fused, batched" + suffix, REQUESTS, lambda queries=queries: world.engine.recall_many(queries)
        )
        _two_threads(world, "fused, batched, two threads" + suffix, queries)
    _timings(world).throughput("ranked positions, batched", REQUESTS, lambda: world.engine.rank(asked, K))
    _approximation(world, asked)
    if peers:
        _peers(world, asked)


def _bare(world: World, asked: np.ndarray) -> None:
    """One search and one expansion for each request, by the libraries themselves."""
    search, rows, similarity = _bare_search(world), world.chosen[asked], sparse.csr_array(world.similarity)
    users = world.embeddings.users[asked]

    def parts(i: int) -> object:
        return search(users[i : i + 1]), rows[[i]] @ similarity

    _timings(world).latencies("bare parts: one search, one expansion", [lambda i=i: parts(i) for i in range(len(asked))])
    _timings(world).throughput("bare parts, batched", len(asked), lambda: (search(users), rows @ similarity))


def _bare_search(world: World) -> Callable[[FloatArray], object]:
    faiss.omp_set_num_threads(1)
    index, config = world.index._index, world.index.config
    params = faiss.SearchParametersIVF(nprobe=config.num_probes) if config.kind == "ivf" else None
    return lambda queries: index.search(queries, K, params=params)


def _two_threads(world: World, system: str, queries: list[Query]) -> None:
    """Wall time of two threads on one immutable engine: what two cores answer, where nothing else runs on them."""
    halves = [queries[::2], queries[1::2]]
    with ThreadPoolExecutor(2) as pool, measure() as cost:
        list(pool.map(world.engine.recall_many, halves))
    rate = len(queries) / cost.wall_seconds
    print(f"{world.name:22} {system:38} {rate:9,.0f} users / s", flush=True)
    _timings(world).note(system, "users / second, 2 threads", rate, "1/s", cost)


def _approximation(world: World, asked: np.ndarray) -> None:
    """The share of the exact 100 nearest that the index finds, over 200 users."""
    users = world.embeddings.users[asked[:200]]
    exact = np.argpartition(-(users @ world.embeddings.items.T), K, axis=1)[:, :K]
    found, _ = world.index.search(users, K)
    recall = float(np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(exact, found, strict=True)]))
    print(f"{world.name:22} recall@{K} of the vector search {recall:.4f}", flush=True)
    _timings(world).note("vector search", f"recall@{K}", recall, "")


def _peers(world: World, asked: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.save(folder / "users.npy", world.embeddings.users)
        np.save(folder / "items.npy", world.embeddings.items)
        np.save(folder / "asked.npy", asked)
        sparse.save_npz(folder / "chosen.npz", sparse.csr_array(world.chosen))
        sparse.save_npz(folder / "similarity.npz", sparse.csr_array(world.similarity))
        (folder / "k").write_text(str(K))
        run_peer("topk", folder)
        found = json.loads((folder / "seconds.json").read_text())
    for system, seconds in found.items():
        single = 1000 * np.array(seconds["single"])
        rate = len(asked) / seconds["batch"]
        for metric, value in (("p50 CPU", np.percentile(single, 50)), ("p99 CPU", np.percentile(single, 99))):
            _timings(world).note(system, metric, float(value), "ms", single.sum() / 1000)
        _timings(world).note(f"{system}, batched", "requests / CPU second", rate, "1/s", seconds["batch"])
        print(f"{world.name:22} {system:38} p50 CPU {np.median(single):.3f} ms, batched {rate:9,.0f} users / CPU s", flush=True)


def _timings(world: World) -> Timings:
    return Timings("recall latency", world.name, SEED, {"k": K, "dim": world.embeddings.dim})


if __name__ == "__main__":
    main()
