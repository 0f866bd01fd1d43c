"""How long requests take and how many are answered, as figures of one benchmark on one data set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from tests.benchmarks.record import Cost, Setting, measure, record

PASSES = 7
_FIRST = 50
"""Requests that are not counted: they load what later ones find loaded."""


@dataclass(frozen=True)
class Timings:
    """What the figures belong to."""

    benchmark: str
    dataset: str
    seed: int
    config: Mapping[str, Setting]

    def latencies(self, system: str, requests: Sequence[Callable[[], object]]) -> None:
        """Wall milliseconds are what a caller waits, on this machine and its other load; CPU milliseconds are the work
        itself."""
        for request in requests[:_FIRST]:
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
            self.note(system, metric, 1000 * float(value), "ms", cost)
        self.note(system, "requests / CPU second", len(requests) / cost.cpu_seconds, "1/s", cost)
        shown = "   ".join(f"{metric} {1000 * value:7.3f} ms" for metric, value in figures.items())
        print(f"{self.dataset:22} {system:38} {shown}", flush=True)

    def throughput(self, system: str, num_queries: int, work: Callable[[], object]) -> None:
        """Queries by CPU second of one piece of work: the median of some passes after a first one."""
        work()
        busy = []
        with measure() as cost:
            for _ in range(PASSES):
                start = time.process_time()
                work()
                busy.append(time.process_time() - start)
        rate = num_queries / median(busy)
        print(f"{self.dataset:22} {system:38} {rate:9,.0f} users / CPU s", flush=True)
        self.note(system, "requests / CPU second", rate, "1/s", cost)

    def note(self, system: str, metric: str, value: float, unit: str, cost: Cost | float | None = None) -> None:
        """Record one figure, and what it cost or how many CPU seconds."""
        seconds, peak = (cost.cpu_seconds, cost.peak_mb) if isinstance(cost, Cost) else (cost, None)
        record(
            benchmark=self.benchmark, dataset=self.dataset, system=system, metric=metric, value=value, unit=unit,
            seed=self.seed, seconds=seconds, peak_mb=peak, config=self.config,
        )  # fmt: skip
