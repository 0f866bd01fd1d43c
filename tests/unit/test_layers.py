"""The order of the rooms: who may import whom, and which library belongs to whom. Imports inside functions count too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "kgrecall"

SPINE = ("settings", "sealed", "errors", "query", "types", "threads", "mapping", "schema")
ROOMS = (*SPINE, "sources", "store", "graph", "encode", "model", "kernels", "index", "recall", "evaluate", "report")
LAYERS: Mapping[str, tuple[str, ...]] = {
    "errors": (),
    "query": ("errors",),
    "types": ("errors", "query"),
    "settings": ("errors",),
    "sealed": ("errors", "threads"),
    "threads": (),
    "mapping": ("errors", "types"),
    "graph_types": ("errors",),
    "schema": ("errors", "types", "mapping", "graph_types"),
    "sources": SPINE,
    "store": (*SPINE, "sources"),
    "graph": (*SPINE, "sources.tables", "store.base", "kernels.tier"),
    "encode": SPINE,
    "model": (*SPINE, "graph"),
    "kernels": ("errors", "query", "types", "sources.cache_folder"),
    "index": ("errors", "query", "types", "settings", "kernels.tier"),
    "recall": ("errors", "query", "types", "settings", "threads", "kernels.tier", "kernels.numbers", "graph", "index.base"),
    "evaluate": ("errors", "types"),
    "report": (*SPINE, "graph", "evaluate"),
    "jobs": ROOMS,
    "privacy": (*ROOMS, "jobs"),
    "cli": (*ROOMS, "jobs", "privacy"),
    "service": (*ROOMS, "jobs", "privacy"),
    "__main__": ("cli",),
}
"""Room -> the rooms, or single modules of rooms, that it may import besides its own files."""

EVERYWHERE = {"numpy", "pydantic", "typing_extensions"}
OWNERS: Mapping[str, tuple[str, ...]] = {
    "neo4j": ("store.neo4j.",),
    "sqlite3": ("store.sqlite.",),
    "faiss": ("index.faiss",),
    "numba": ("kernels.",),
    "llvmlite": ("kernels.",),
    "torch": ("encode.device", "encode.pretrained", "model.", "privacy."),
    "torch_geometric": ("model.",),
    "transformers": ("encode.pretrained",),
    "huggingface_hub": ("encode.",),
    "safetensors": ("encode.", "model.", "jobs."),
    "networkx": ("graph.neighbourhood", "report."),
    "matplotlib": ("report.",),
    "polars": ("sources.", "store.", "graph."),
    "pyarrow": ("sources.", "store.", "graph.", "jobs."),
    "scipy": ("graph.", "model.", "index.", "recall.", "evaluate.", "jobs."),
    "pandas": ("sources.",),
    "optuna": ("jobs.",),
    "ray": ("jobs.batch",),
    "opacus": ("privacy.",),
    "flwr": ("privacy.",),
    "typer": ("cli.",),
    "rich": ("cli.",),
    "fastapi": ("service.",),
    "uvicorn": ("service.",),
    "prometheus_client": ("service.",),
}
"""Library -> beginnings of the names of the modules that may import it. A library that is not here has no owner yet."""


def modules(root: Path) -> dict[str, Path]:
    """``graph.walk`` -> its file; a package is called like its folder, the top package is left out."""
    named = {".".join(path.relative_to(root).with_suffix("").parts): path for path in root.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in sorted(named.items()) if name != "__init__"}


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Full dotted names, of the submodule where one is imported from a package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                is_module = f"{module}.{alias.name}".removeprefix("kgrecall.") in known
                yield f"{module}.{alias.name}" if is_module else module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "import_module":
            yield from (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))


def violations(root: Path) -> list[str]:
    """Everything that is wrong, one sentence each."""
    known = modules(root)
    ours: dict[str, set[str]] = {name: set() for name in known}
    wrong = []
    for name, path in known.items():
        for target in imported(path, known):
            top = target.partition(".")[0]
            if top == "kgrecall" and target.removeprefix("kgrecall.") in known:
                ours[name].add(target.removeprefix("kgrecall."))
            elif top in {"", "kgrecall"}:
                wrong.append(f"{name} imports {target}: name a module that exists, and not the top package or a relative one")
            elif top not in EVERYWHERE:
                wrong += _library(name, top)
    wrong += [sentence for name, targets in ours.items() for target in sorted(targets) for sentence in _room(name, target)]
    wrong += [f"import ring: {' -> '.join(ring)}" for ring in rings(ours)]
    return wrong


def _library(name: str, library: str) -> list[str]:
    if library in OWNERS:
        allowed = any(f"{name}.".startswith(owner) for owner in OWNERS[library])
        return [] if allowed else [f"{name} imports {library}, which belongs to {' and '.join(OWNERS[library])}"]
    return [] if library in sys.stdlib_module_names else [f"{name} imports {library}, which nobody owns"]


def _room(name: str, target: str) -> list[str]:
    room = name.partition(".")[0]
    allowed = any(f"{target}.".startswith(f"{above}.") for above in (room, *LAYERS.get(room, ())))
    return [] if allowed else [f"{name} imports {target}, which is not above {room}"]


def rings(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules that import each other in a circle: what is left after those that import nothing that is left."""
    left = {name: {target for target in targets if target != name} for name, targets in imports.items()}
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    if not left:
        return []
    walk = [min(left)]
    while walk[-1] not in walk[:-1]:
        walk.append(min(left[walk[-1]] & left.keys()))
    return [walk[walk.index(walk[-1]) :]]


def test_the_package_keeps_its_order() -> None:
    assert violations(ROOT) == []


def test_every_room_has_a_row() -> None:
    assert {name.partition(".")[0] for name in modules(ROOT)} <= set(LAYERS)


@pytest.mark.parametrize("module", ["kgrecall.cli", "kgrecall.recall.engine", "kgrecall.graph.snapshot"])
def test_the_door_and_the_serving_path_import_no_training_library(module: str) -> None:
    heavy = "{'torch', 'torch_geometric', 'transformers', 'matplotlib', 'networkx', 'faiss', 'neo4j', 'numba'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


PLANTED = {
    "an upward import": ({"graph/walk.py": "from kgrecall.recall.engine import X", "recall/engine.py": ""}, "not above graph"),
    "a forbidden neighbour": ({"recall/a.py": "import kgrecall.model.b", "model/b.py": ""}, "not above recall"),
    "a driver": (
        {"graph/a.py": "from kgrecall.store import sqlite", "store/sqlite.py": ""},
        "store.sqlite, which is not above",
    ),
    "an import in a function": ({"recall/a.py": "def f():\n    import torch"}, "torch, which belongs to"),
    "an import by name": ({"recall/a.py": "import importlib\nimportlib.import_module('torch')"}, "torch, which belongs"),
    "a submodule of a library": ({"jobs/a.py": "from torch.nn import Linear"}, "torch, which belongs"),
    "a library of another": ({"recall/a.py": "from pyarrow.parquet import read_table"}, "pyarrow, which belongs"),
    "an unknown library": ({"jobs/a.py": "import leftpad"}, "leftpad, which nobody owns"),
    "the top package": ({"jobs/a.py": "import kgrecall"}, "name a module that exists"),
    "a name of the top package": ({"jobs/a.py": "from kgrecall import Query"}, "name a module that exists"),
    "a relative import": ({"jobs/a.py": "from . import b", "jobs/b.py": ""}, "name a module that exists"),
    "a ring": (
        {
            "recall/a.py": "import kgrecall.recall.b",
            "recall/b.py": "def f():\n    from kgrecall.recall import c",
            "recall/c.py": "from kgrecall.recall.a import X",
        },
        "import ring: recall.a -> recall.b -> recall.c -> recall.a",
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_violation_is_found(kind: str, tmp_path: Path) -> None:
    files, expected = PLANTED[kind]
    for name, source in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    assert [expected in sentence for sentence in violations(tmp_path)] == [True], violations(tmp_path)


def test_what_is_allowed_is_allowed(tmp_path: Path) -> None:
    sources = {
        "recall/engine.py": "import numpy\nfrom kgrecall.index.base import VectorIndex\nfrom kgrecall.recall import fusion",
        "recall/fusion.py": "import scipy.sparse\nfrom kgrecall.types import Query",
        "index/base.py": "import json",
        "types.py": "",
        "model/gcn.py": "import torch.nn",
        "store/neo4j/write.py": "from neo4j import Driver",
    }
    for name, source in sources.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    assert violations(tmp_path) == []
