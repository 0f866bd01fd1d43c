"""One propagation step, forward and backward, against a bare pair of torch CSR products: CPU seconds and their ratio."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from scipy import sparse

from kgrecall.model.gcn import Adjacencies, RelationConv, csr_tensor, symmetric_normalise
from tests.benchmarks.record import record

NUM_NODES, NUM_NONZEROS, DIM, REPEATS, SEED = 51_000, 980_000, 64, 15, 0


def main() -> None:
    torch.set_num_threads(1)
    for num_relations in (1, 5):
        report(num_relations, *measured(graphs(num_relations)))


def measured(matrices: dict[str, sparse.csr_array]) -> tuple[float, float]:
    """CPU seconds of our step and of two bare products with the sum of all relations."""
    bare = csr_tensor(symmetric_normalise(sparse.csr_array(sum(matrices.values()))))
    adjacencies, conv = Adjacencies.build(matrices), RelationConv(len(matrices))
    x = torch.randn(NUM_NODES, DIM, generator=torch.Generator().manual_seed(SEED), requires_grad=True)
    grad = torch.ones(NUM_NODES, DIM)

    def ours() -> None:
        x.grad = None
        conv(x, adjacencies).backward(grad)

    def pair() -> None:
        with torch.no_grad():
            bare @ x
            bare @ grad

    return interleaved(ours, pair)


def graphs(num_relations: int) -> dict[str, sparse.csr_array]:
    """Symmetric graphs on one node space with power-law degrees, NUM_NONZEROS entries together."""
    rng = np.random.default_rng(SEED)
    found = {}
    for r in range(num_relations):
        size = NUM_NONZEROS // 2 // num_relations
        rows = (NUM_NODES * rng.random(size) ** 2).astype(np.int64)
        half = sparse.coo_array((np.ones(size, np.float32), (rows, rng.integers(0, NUM_NODES, size))), (NUM_NODES, NUM_NODES))
        found[f"r{r}"] = sparse.csr_array(half + half.T)
    return found


def interleaved(first: Callable[[], None], second: Callable[[], None]) -> tuple[float, float]:
    """Median CPU seconds of two functions that take turns, so that a busy machine slows both alike."""
    costs: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for work, cost in ((first, costs[0]), (second, costs[1])):
            started = time.process_time()
            work()
            cost.append(time.process_time() - started)
    return median(costs[0]), median(costs[1])


def report(num_relations: int, ours: float, bare: float) -> None:
    dataset = f"generated 51k nodes, 0.98M non-zeros, 64-d, {num_relations} relation(s)"
    print(f"{dataset}: ours {ours * 1e3:.0f} ms, bare pair {bare * 1e3:.0f} ms, ratio {ours / bare:.2f}")
    for system, metric, value, unit in (
        ("kgrecall RelationConv", "forward + backward", ours, "s"),
        ("bare torch CSR products", "forward + backward", bare, "s"),
        ("kgrecall RelationConv", "ratio to the bare pair", ours / bare, ""),
    ):
        record(
            benchmark="propagation",
            dataset=dataset,
            system=system,
            metric=metric,
            value=value,
            unit=unit,
            seed=SEED,
            seconds=value if unit else ours,
            peak_mb=0.0,
        )
