"""Vectors in Neo4j: recall@100 against exact search and milliseconds per query, with and without a filter, by over-fetch."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa

from kgrecall.index.base import ExactIndex
from kgrecall.recall.channels.vector import normalised
from kgrecall.store.neo4j.search import Neo4jVectorIndex
from kgrecall.types import FloatArray
from tests.benchmarks.generated_graph import SCHEMA
from tests.benchmarks.neo4j_server_cost import open_bench
from tests.benchmarks.record import record

SEED, ITEMS, DIM, QUERIES, K, CENTRES = 0, 10_000, 64, 100, 100, 200
IDS = pa.array([f"i{n:05d}" for n in range(ITEMS)])


def main() -> None:
    rng = np.random.default_rng(SEED)
    centres = rng.normal(size=(CENTRES, DIM))
    items, queries = _around(centres, ITEMS, rng), _around(centres, QUERIES, rng)
    exact = ExactIndex(items)
    with open_bench() as bench:
        store = bench.store()
        store.apply_schema(SCHEMA)
        store.upsert_nodes("Item", IDS, {})
        Neo4jVectorIndex.build(store, "Item", IDS, items)
        for overfetch in (1.0, 2.0, 4.0):
            index = Neo4jVectorIndex(store, "Item", IDS, DIM, overfetch=overfetch)
            for share in (1.0, 0.25):
                mask = None if share == 1 else rng.random(ITEMS) < share
                index.search(queries[:5], K, mask=mask)
                started = time.perf_counter()
                found, _ = index.search(queries, K, mask=mask)
                milliseconds = 1000 * (time.perf_counter() - started) / QUERIES
                true, _ = exact.search(queries, K, mask=mask)
                agreement = np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), true.tolist(), strict=True)])
                _record(f"neo4j_vector, over-fetch {overfetch:g}", share, float(agreement), milliseconds)
        store.close()


def _around(centres: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """Unit vectors in clusters, as learned ones are: float32 (n, DIM)."""
    return normalised((centres[rng.integers(0, CENTRES, n)] + rng.normal(size=(n, DIM))).astype(np.float32))


def _record(system: str, share: float, agreement: float, milliseconds: float) -> None:
    suffix = "" if share == 1 else f", mask of {share:.0%}"
    print(f"{system}{suffix}: recall@{K} {agreement:.4f}, {milliseconds:.1f} ms a query", flush=True)
    common = {"benchmark": "neo4j_vector", "dataset": f"generated {ITEMS // 1000}k x {DIM}", "system": system, "seed": SEED}
    record(**common, metric=f"recall@{K}{suffix}", value=agreement)  # type: ignore[arg-type]
    record(**common, metric=f"query{suffix}", value=milliseconds, unit="ms")  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
