"""How the command line talks: results on stdout, progress and notes on stderr, JSON for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from kgrecall.types import Progress as Report

_FILE_WIDTH = 160
out = Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)
err = Console(stderr=True, highlight=False)


class _Rate(ProgressColumn):
    """Steps per second since the stage began."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


@contextmanager
def progress_bars() -> Iterator[Report]:
    """A :data:`kgrecall.types.Progress` that draws one bar per stage; silent when stderr is not a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


@contextmanager
def stage(title: str) -> Iterator[list[str]]:
    """One line of result per stage: the body appends what it found, the line ends with the seconds it took."""
    found: list[str] = []
    started = time.perf_counter()
    yield found
    seconds = time.perf_counter() - started
    out.print(f"[bold]{title:<12}[/bold] {'; '.join(found)}  [dim]{seconds:.1f} s[/dim]")


def print_json(value: Any) -> None:
    """One JSON document on stdout; numpy numbers and paths become plain ones."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, best: Mapping[int, object] | None = None
) -> None:
    """A table whose numbers are aligned right; ``best`` maps a column to the value that is shown bold."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i, name in enumerate(columns):
        numeric = any(isinstance(row[i], (int, float)) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value, bold=best is not None and best.get(i) == value) for i, value in enumerate(row)))
    out.print(table)


def _cell(value: object, *, bold: bool) -> Text:
    text = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    return Text(text, style="bold" if bold else "")
