"""The command line: thin doors with the same verbs as the Python API, in the order of the flow.

Heavy libraries are imported inside the commands, so that ``kgrecall --help`` answers at once.
"""

from __future__ import annotations

import sys

import typer

from kgrecall.errors import KGRecallError

app = typer.Typer(
    name="kgrecall",
    help="Knowledge-graph enhanced recall: from raw files to explained candidates.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; a kgrecall error becomes one readable message on stderr and exit code 1."""
    try:
        app()
    except KGRecallError as error:
        print(f"kgrecall: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output (head, less) went away
        sys.stderr.close()
        sys.exit(141)


# The commands register themselves; the order of these imports is the order in --help.
from kgrecall.cli import files, engine, demo, doctor  # noqa: E402, F401, I001
