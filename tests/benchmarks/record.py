"""The memory of the benchmarks: one JSON line per figure, appended to ``results.jsonl`` and never rewritten.

A benchmark measures a stretch of work and records what came out::

    with measure() as cost:
        report = ingest(tables, store, schema)
    record(
        benchmark="ingest", dataset="generated-3m", system="kgrecall sqlite", metric="relationships / CPU second",
        value=3e6 / cost.cpu_seconds, unit="1/s", seed=0, seconds=cost.cpu_seconds, peak_mb=cost.peak_mb,
    )

The version of the code and the command are added here, so that every figure can be made again.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

from kgrecall.errors import ConfigError, SourceError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.jsonl")
MEASURED_SOURCES = ("kgrecall", "graph_schema", "tests/benchmarks", "pyproject.toml", "constraints.txt")
OWN_OUTPUT = (":!tests/benchmarks/results.jsonl", ":!tests/benchmarks/RESULTS.md")
Setting = str | int | float | bool | None | Sequence["Setting"] | Mapping[str, "Setting"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of one system on one data set, and what it cost. The fields are the keys of the JSON line, in this order."""

    benchmark: str
    dataset: str
    system: str
    metric: str
    value: float
    unit: str
    """``""`` for a share between 0 and 1, else ``s``, ``ms``, ``MB``, ``1/s`` ..."""
    seed: int | None
    """None when nothing in it is random."""
    seconds: float | None
    """CPU seconds of the measured work; None when there is none to speak of."""
    peak_mb: float | None
    """The largest resident memory of the process during the measured work, in MB of 10^6 bytes."""
    code_version: str
    command: str
    config: Mapping[str, Setting] = field(default_factory=dict)
    """The settings that were chosen, where a benchmark chooses any."""
    recorded_at: str = ""
    """UTC, ISO 8601, to the second."""


@dataclass(slots=True)
class Cost:
    """What a stretch of work took; the values are set when :func:`measure` ends."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_mb: float = 0.0


@contextmanager
def measure() -> Iterator[Cost]:
    """CPU seconds (all threads, and the child processes that ended), wall seconds and peak resident memory of the block.

    The memory is that of this process; where its peak cannot be reset (anything but Linux), it is the peak so far.
    """
    cost = Cost()
    _reset_peak()
    cpu, wall = _cpu_seconds(), time.perf_counter()
    try:
        yield cost
    finally:
        cost.cpu_seconds = _cpu_seconds() - cpu
        cost.wall_seconds = time.perf_counter() - wall
        cost.peak_mb = _peak_mb()


def record(
    *,
    benchmark: str,
    dataset: str,
    system: str,
    metric: str,
    value: float,
    unit: str = "",
    seed: int | None = None,
    seconds: float | None = None,
    peak_mb: float | None = None,
    config: Mapping[str, Setting] | None = None,
    path: Path | None = None,
) -> Figure:
    """Append one figure and return it.

    ``path`` defaults to the file named by ``KGRECALL_BENCH_RESULTS``, else to ``results.jsonl`` beside this module.

    Raises:
        ConfigError: the value is not finite, or a name is empty.
    """
    names = {"benchmark": benchmark, "dataset": dataset, "system": system, "metric": metric}
    for what, name in names.items():
        if not name:
            raise ConfigError(what, expected="a name", got=name, remedy="Say what was measured on what.")
    if not math.isfinite(value):
        raise ConfigError(f"value of {metric}", expected="a finite number", got=value, remedy="A failed run is no figure.")
    figure = Figure(
        **names,
        value=float(f"{value:.7g}"),
        unit=unit,
        seed=seed,
        seconds=None if seconds is None else round(float(seconds), 4),
        peak_mb=None if peak_mb is None else round(float(peak_mb), 1),
        code_version=code_version(),
        command=command(),
        config=config or {},
        recorded_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    line = json.dumps(asdict(figure), ensure_ascii=False, allow_nan=False) + "\n"
    with (path or results_path()).open("a", encoding="utf-8") as file:
        file.write(line)
    return figure


def results_path() -> Path:
    """Where figures go: a scratch file while ``KGRECALL_BENCH_RESULTS`` names one, else the file of the repository."""
    scratch = os.environ.get("KGRECALL_BENCH_RESULTS")
    return Path(scratch) if scratch else RESULTS


def read_figures(path: Path | None = None) -> list[Figure]:
    """All figures, oldest first; none when the file does not exist yet.

    Raises:
        SourceError: a line is not a figure; names the line.
    """
    path = path or results_path()
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [_parse(line, f"{path.name}, line {i}") for i, line in enumerate(lines, 1)]


def _parse(line: str, where: str) -> Figure:
    try:
        return Figure(**json.loads(line))
    except (json.JSONDecodeError, TypeError) as error:
        raise SourceError(where, expected="one figure as JSON", got=line, remedy=f"{error}. Mend or drop the line.") from error


@cache
def code_version() -> str:
    """``1a2b3c4d5e``, the last commit of the files that a benchmark measures, with ``-dirty`` when they differ from it.

    Commits of figures alone are passed over: they come and go while runs on several machines are put together.
    """
    try:
        commit = _git("log", "-1", "--format=%h", "--abbrev=10", "--", *MEASURED_SOURCES, *OWN_OUTPUT)
        changed = _git("status", "--porcelain", "--", *MEASURED_SOURCES, *OWN_OUTPUT)
    except (OSError, subprocess.CalledProcessError):  # an unpacked release has no history
        return f"kgrecall {version('kgrecall')}"
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def command(arguments: Sequence[str] | None = None) -> str:
    """The command line of this process without anything that holds only on this machine (paths become their last part)."""
    interpreter, *rest = sys.orig_argv if arguments is None else arguments
    if "-c" in rest:
        rest = [*rest[: rest.index("-c")], "-c", "..."]
    shown = [Path(part).name if Path(part).is_absolute() else part for part in rest]
    name = "python" if Path(interpreter).name.startswith("python") else Path(interpreter).name
    return " ".join([name, *shown])


def _cpu_seconds() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
