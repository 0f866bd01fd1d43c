"""Search 64-dimensional item vectors with every kind of index: recall@100 against exact search, queries per CPU second.

Arguments: the numbers of items, e.g. ``25000 1000000`` (default 25000 100000). One query at a time, as a request comes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from kgrecall.index.base import ExactIndex, VectorIndex
from kgrecall.index.faiss import FaissConfig, FaissIndex
from kgrecall.types import BoolArray, FloatArray, PosArray
from tests.benchmarks.record import measure, record

DIM, K, QUERIES, SEED = 64, 100, 300, 0
KINDS = (
    ("flat", FaissConfig(kind="flat")),
    ("fp16", FaissConfig(kind="fp16")),
    ("ivf", FaissConfig(kind="ivf")),
    ("hnsw", FaissConfig(kind="hnsw")),
)
MASKS = (("", None), (" of 10 %", 0.1), (" of 1 %", 0.01))


def main() -> None:
    for num_items in [int(argument) for argument in sys.argv[1:]] or [25_000, 100_000]:
        _run(num_items)


def _run(num_items: int) -> None:
    dataset = f"generated {num_items / 1e3:g}k x {DIM}"
    items, queries = generated(num_items)
    exact = ExactIndex(items)
    rng = np.random.default_rng(SEED)
    masks = {name: None if share is None else rng.random(num_items) < share for name, share in MASKS}
    true = {name: exact.search(queries, K, mask=mask)[0] for name, mask in masks.items()}
    _searches(dataset, "numpy exact", exact, queries, masks, true)
    for system, config in KINDS:
        with measure() as cost:
            index = FaissIndex.build(items, config, seed=SEED)
        _figure(dataset, f"faiss {system}", "build", cost.cpu_seconds, "s", cost.cpu_seconds)
        _figure(dataset, f"faiss {system}", "size", _megabytes(index), "MB", 0.0)
        _searches(dataset, f"faiss {system}", index, queries, masks, true)


def generated(num_items: int) -> tuple[FloatArray, FloatArray]:
    """Items around 500 unevenly filled tastes, popular ones longer, most variance in few directions; users with two tastes."""
    rng = np.random.default_rng(SEED)
    spread = np.arange(1.0, DIM + 1) ** -0.75
    tastes = rng.standard_normal((500, DIM)) * spread
    share = 1 / np.arange(1, 501)
    chosen = rng.choice(500, num_items, p=share / share.sum())
    items = tastes[chosen] + 0.5 * rng.standard_normal((num_items, DIM)) * spread
    items *= rng.lognormal(0, 0.4, (num_items, 1))
    users = tastes[rng.integers(0, 500, (QUERIES, 2))].mean(axis=1) + 0.3 * rng.standard_normal((QUERIES, DIM)) * spread
    return items.astype(np.float32), users.astype(np.float32)


def _searches(
    dataset: str,
    system: str,
    index: VectorIndex,
    queries: FloatArray,
    masks: dict[str, BoolArray | None],
    true: dict[str, PosArray],
) -> None:
    for name, mask in masks.items():
        index.search(queries[:1], K, mask=mask)
        with measure() as cost:
            found = [index.search(queries[i : i + 1], K, mask=mask)[0][0] for i in range(QUERIES)]
        recall = (
            np.mean([len(np.intersect1d(mine, right[right >= 0])) for mine, right in zip(found, true[name], strict=True)]) / K
        )
        masked = f", mask{name}" if name else ""
        _figure(dataset, system, f"recall@{K}{masked}", float(recall), "", cost.cpu_seconds)
        _figure(dataset, system, f"queries / CPU second{masked}", QUERIES / cost.cpu_seconds, "1/s", cost.cpu_seconds)


def _megabytes(index: FaissIndex) -> float:
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder))
        return sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6


def _figure(dataset: str, system: str, metric: str, value: float, unit: str, seconds: float) -> None:
    print(f"{dataset:22} {system:12} {metric:36} {value:12,.4g} {unit}", flush=True)
    record(
        benchmark="vector_index",
        dataset=dataset,
        system=system,
        metric=metric,
        value=value,
        unit=unit,
        seed=SEED,
        seconds=seconds,
    )


if __name__ == "__main__":
    main()
