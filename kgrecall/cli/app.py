"""The typer application that the commands register with."""

from __future__ import annotations

from pathlib import Path

import typer

from kgrecall.errors import ConfigError

app = typer.Typer(
    name="kgrecall",
    help="Knowledge-graph enhanced recall: from raw files to explained candidates.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def read_lines(path: Path, option: str) -> list[str]:
    """The lines of a text file that hold anything, without the blanks around.

    Raises:
        ConfigError: there is no such file, or it is no UTF-8 (a byte-order mark is allowed).
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(option, expected="a text file in UTF-8", got=str(path), remedy=f"{_why(error)}.") from error
    return [line.strip() for line in lines if line.strip()]


def write_text(path: Path, text: str, option: str) -> None:
    """Raises ConfigError when the file cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(option, expected="a file that can be written", got=str(path), remedy=f"{_why(error)}.") from error


def _why(error: Exception) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)
