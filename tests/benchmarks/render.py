"""Render RESULTS.md from the recorded figures: the newest of each row, peers and published figures beside ours."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from tests.benchmarks.aims import aims_table, read_aims
from tests.benchmarks.record import Figure, read_figures, results_path

HEAD = """# Results

Rendered from `results.jsonl` by `python -m tests.benchmarks.render`; do not edit. One row per system and one column per
metric, each the newest run of that row; `±` is the standard deviation over its seeds. Shares lie between 0 and 1, `CPU s`
and `peak MB` belong to the measured work (fitting, importing, serving), not to the evaluation around it. The last column is
the version of the code, or where a published figure comes from.
"""
PUBLISHED = Path(__file__).with_name("published.toml")
Published = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
"""benchmark -> data set -> rows of ``system``, ``source`` and metrics."""
Run = list[Figure]


def write_results() -> Path:
    """Render the figures and return the file: RESULTS.md, or the name of the scratch file with ``.md``."""
    path = results_path()
    target = path.with_name("RESULTS.md") if path.name == "results.jsonl" else path.with_suffix(".md")
    published = tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))
    target.write_text(to_markdown(read_figures(path), published, read_aims()), encoding="utf-8")
    return target


def to_markdown(figures: Iterable[Figure], published: Published | None = None, aims: Mapping[str, Any] | None = None) -> str:
    """The whole document; the same figures always give the same text."""
    published = published or {}
    runs = newest_runs(figures)
    measured = {
        (run[0].benchmark, run[0].dataset, run[0].system, run[0].metric): [figure.value for figure in run] for run in runs
    }
    parts = [HEAD, aims_table(measured, aims or {})]
    for benchmark, of_benchmark in _grouped(runs, "benchmark"):
        parts.append(f"\n## {benchmark}\n")
        for dataset, of_dataset in _grouped(of_benchmark, "dataset"):
            parts.append(_section(dataset, of_dataset, published.get(benchmark, {}).get(dataset, ())))
    return "".join(parts)


def newest_runs(figures: Iterable[Figure]) -> list[Run]:
    """For each (benchmark, data set, system, metric), the newest figure of each seed of its newest run.

    A run is one command at one version of the code: seeds of an older run never slip into a mean. Rows keep the order in
    which they were first recorded.
    """
    rows: dict[tuple[str, str, str, str], Run] = {}
    for figure in figures:
        rows.setdefault((figure.benchmark, figure.dataset, figure.system, figure.metric), []).append(figure)
    runs = []
    for row in rows.values():
        newest = (row[-1].code_version, row[-1].command)
        by_seed = {figure.seed: figure for figure in row if (figure.code_version, figure.command) == newest}
        runs.append(list(by_seed.values()))
    return runs


def _grouped(runs: Iterable[Run], key: str) -> list[tuple[str, list[Run]]]:
    ordered = sorted(runs, key=lambda run: getattr(run[0], key))
    return [(name, list(group)) for name, group in groupby(ordered, key=lambda run: getattr(run[0], key))]


def _section(dataset: str, runs: list[Run], published: Sequence[Mapping[str, Any]]) -> str:
    metrics = list(dict.fromkeys((run[0].metric, run[0].unit) for run in runs))
    systems = list(dict.fromkeys(run[0].system for run in runs))
    cells = {(run[0].system, run[0].metric, run[0].unit): run for run in runs}
    header = ["system", *(f"{metric} ({unit})" if unit else metric for metric, unit in metrics), "CPU s", "peak MB", "code"]
    lines = [header, ["---", *["---:"] * (len(header) - 2), "---"]]
    for system in systems:
        own = [cells[system, *metric] for metric in metrics if (system, *metric) in cells]
        values = [_value(cells.get((system, *metric), [])) for metric in metrics]
        lines.append([system, *values, _cost(own, "seconds"), _cost(own, "peak_mb"), _code(own)])
    for row in published:
        values = [_number(row[metric]) if metric in row else "" for metric, _ in metrics]
        lines.append([f"{row['system']} (published)", *values, "", "", row["source"]])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    made = "\n".join(f"    {command}" for command in dict.fromkeys(run[-1].command for run in runs))
    return f"\n### {dataset}\n\n{table}\n\nMade by:\n\n{made}\n"


def _value(run: Run) -> str:
    if not run:
        return ""
    values = [figure.value for figure in run]
    spread = f" ± {_number(stdev(values))}" if len(values) > 1 else ""
    return _number(fmean(values)) + spread


def _cost(runs: list[Run], what: str) -> str:
    known = [getattr(figure, what) for run in runs for figure in run if getattr(figure, what) is not None]
    return f"{max(known):,.1f}" if known else ""


def _code(runs: list[Run]) -> str:
    """The versions of the code that the figures come from, the newest first."""
    newest_first = sorted((run[-1] for run in runs), key=lambda figure: figure.recorded_at, reverse=True)
    return ", ".join(dict.fromkeys(figure.code_version for figure in newest_first))


def _number(value: float) -> str:
    """Four decimals below 10 (``.1760`` as papers print it), else thousands with commas."""
    if abs(value) < 1:
        return f"{value:.4f}".replace("0.", ".", 1) if value else "0"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"


if __name__ == "__main__":
    print(f"wrote {write_results().name}")
