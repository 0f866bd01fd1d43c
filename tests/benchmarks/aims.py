"""What is aimed at beside what was reached: the first section of RESULTS.md."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

AIMS = Path(__file__).with_name("aims.toml")
OURS = "kgrecall"
HEAD = """
## Aims

What was tried on the way, with and without success, stands under `tower, one change each`, `fusion` and `added`. The last
column is a guess at the most that the channels of today can reach, where an aim was missed.

| data set | measure | aim | reached | met | at most |
| --- | --- | ---: | ---: | --- | ---: |
"""
Measured = Mapping[tuple[str, str, str, str], list[float]]
"""(benchmark, data set, system, metric) -> one value per seed."""


def read_aims() -> dict[str, Any]:
    """``level`` and ``gain`` of aims.toml."""
    return tomllib.loads(AIMS.read_text(encoding="utf-8"))


def aims_table(measured: Measured, aims: Mapping[str, Any]) -> str:
    """The section; empty where nothing that is aimed at was measured."""
    rows = [*_levels(measured, aims.get("level", ())), *_gains(measured, aims.get("gain", ()))]
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows) if rows else ""


def _levels(measured: Measured, levels: list[dict[str, Any]]) -> Iterator[list[str]]:
    for level in levels:
        for metric, aim in level["aims"].items():
            values = measured.get((level["benchmark"], level["dataset"], OURS, metric))
            if values:
                reached, guess = fmean(values), level.get("guess", {}).get(metric)
                most = "" if guess is None else _share(guess, 3)
                yield [level["dataset"], metric, _share(aim, 3), _share(reached, 4), _met(reached >= aim), most]


def _gains(measured: Measured, gains: list[dict[str, Any]]) -> Iterator[list[str]]:
    for gain in gains:
        for dataset in gain["datasets"]:
            found = {
                system: fmean(values)
                for system in (OURS, *gain["above"])
                if (values := measured.get((gain["benchmark"], dataset, system, gain["metric"])))
            }
            others = [value for system, value in found.items() if system != OURS]
            if OURS in found and others:
                reached = found[OURS] / max(others) - 1
                measure = f"{gain['metric']}, above {' and '.join(system for system in found if system != OURS)}"
                yield [dataset, measure, f"{gain['aim']:+.0%}", f"{reached:+.1%}", _met(reached > gain["aim"]), ""]


def _share(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".removeprefix("0")


def _met(met: bool) -> str:
    return "yes" if met else "no"
