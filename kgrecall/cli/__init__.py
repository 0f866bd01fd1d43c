"""The command line: thin doors with the same verbs as the Python API, in the order of the flow.

Heavy libraries are imported inside the commands, so that ``kgrecall --help`` answers at once.
"""

from __future__ import annotations

import errno
import io
import os
import sys

# isort: off
# The commands register themselves when they are imported: this is their order in --help.
from kgrecall.cli import files  # noqa: F401
from kgrecall.cli import database  # noqa: F401
from kgrecall.cli import engine  # noqa: F401
from kgrecall.cli import ask  # noqa: F401
from kgrecall.cli import evaluate  # noqa: F401
from kgrecall.cli import demo  # noqa: F401
from kgrecall.cli import doctor  # noqa: F401

# isort: on
from kgrecall.cli.app import app
from kgrecall.errors import KGRecallError, TooManyBadRows


def main() -> None:
    """Run the command line; a kgrecall error becomes one readable message on stderr.

    Exit codes: 0 done, 1 an error, 2 a command that is not understood, 3 an import stopped by too many bad records.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that knows no dash prints a question mark
    try:
        app()
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"kgrecall: the output could not be written: {error.strerror}", file=sys.stderr)
        os._exit(1)  # what is still to be written cannot be
    except KGRecallError as error:
        print(f"kgrecall: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(3 if isinstance(error, TooManyBadRows) else 1)
