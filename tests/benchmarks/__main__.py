"""``python -m tests.benchmarks`` lists the benchmarks, ``python -m tests.benchmarks NAME [ARGUMENT ...]`` runs one.

A benchmark is a module below this folder whose docstring says in its first line what it measures and which has a
``main()`` without parameters; its arguments stand in ``sys.argv[1:]``, as if it were run by itself. Its name is its path
with dots: ``quality.movielens``.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from kgrecall.errors import ConfigError, KGRecallError, nearest
from tests.benchmarks import render

FOLDER = Path(__file__).parent


def benchmarks(folder: Path = FOLDER) -> dict[str, str]:
    """Name -> first line of the docstring of every module with a ``main``, without importing any."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        has_main = any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)
        if has_main and path.name != "__main__.py":
            name = ".".join(path.relative_to(folder).with_suffix("").parts)
            found[name] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def run(name: str, arguments: Sequence[str]) -> None:
    """Run one benchmark and render its figures.

    Raises:
        ConfigError: no such benchmark; names the nearest one.
    """
    known = benchmarks()
    if name not in known:
        raise ConfigError("benchmark", expected="the name of a benchmark", got=name, remedy=nearest(name, known))
    sys.argv[:] = [name, *arguments]
    importlib.import_module(f"tests.benchmarks.{name}").main()
    print(f"wrote {render.write_results().name}")


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help"}:
        known = benchmarks()
        width = max(map(len, known), default=0)
        print("\n".join(f"{name:<{width}}  {line}" for name, line in known.items()))
        return 0
    try:
        run(arguments[0], arguments[1:])
    except KGRecallError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
