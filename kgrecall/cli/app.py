"""The typer application that the commands register with."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="kgrecall",
    help="Knowledge-graph enhanced recall: from raw files to explained candidates.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
