"""Progress is drawn where somebody looks, and nowhere else."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from kgrecall.cli import console


def drawn(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    """What a stage of 1,000 rows, 400 of them done, writes to stderr."""
    text = StringIO()
    monkeypatch.setattr(console, "err", Console(file=text, force_terminal=terminal, width=120))
    with console.progress_bars() as progress:
        for done in (100, 200, 400):
            progress("read views.csv", done, 1_000)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())


def test_a_terminal_sees_stage_rows_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(monkeypatch, terminal=True)
    assert re.search(r"read views\.csv .*400/1000 +[\d,]+/s +\d+:\d\d:\d\d", text), text


def test_a_file_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, terminal=False) == ""
