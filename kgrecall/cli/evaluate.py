"""``evaluate``: how good is it on data it has not seen, and is the graph worth it?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kgrecall.cli.app import app
from kgrecall.cli.engine import Config, Device, Encoder, build_settings
from kgrecall.cli.files import Json, Store
from kgrecall.errors import ConfigError, Shown


@app.command()
def evaluate(
    store: Store,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Artifact folder for the engine that knows only the past.")
    ] = None,
    gate: Annotated[bool, typer.Option(help="Judge the graph and the texts instead: real, none, shuffled.")] = False,
    quick: Annotated[bool, typer.Option(help="With --gate: closed forms instead of whole builds.")] = False,
    budget: Annotated[float, typer.Option(help="With --gate: how many seconds it may take.")] = 1800,
    test: Annotated[float, typer.Option(help="Share of the events, the latest, that is held out.")] = 0.1,
    k: Annotated[list[int] | None, typer.Option("-k", help="List lengths; repeat the option. Default: 10, 20, 50.")] = None,
    config: Config = None,
    encoder: Encoder = None,
    seed: int = 0,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Hold the latest events out, build on the rest, and compare every channel with simple baselines; or judge the graph."""
    if gate:
        length = max(k) if k else 20
        _gate(store, quick, budget, test, length, config, encoder, seed, device, json)
    elif out is None:
        remedy = "Name a folder for the engine, or ask for --gate, which needs none."
        raise ConfigError("--out", expected="an artifact folder", got=Shown("nothing"), remedy=remedy)
    else:
        _trial(store, out, test, k, config, encoder, seed, device, json)


def _trial(
    store: str,
    out: Path,
    test: float,
    k: list[int] | None,
    config: Path | None,
    encoder: str | None,
    seed: int,
    device: str,
    json: bool,
) -> None:
    from kgrecall.cli.console import out as console
    from kgrecall.cli.console import print_json, progress_bars
    from kgrecall.graph.snapshot import take_snapshot
    from kgrecall.jobs.trial import FUSED, TUNED, run_trial
    from kgrecall.store import open_store

    settings, ks = build_settings(config, encoder), sorted(set(k or (10, 20, 50)))
    graph = open_store(store)
    try:
        with progress_bars() as progress:
            snapshot = take_snapshot(graph, graph.schema, progress=progress)
            trial = run_trial(snapshot, settings, out=out, test=test, ks=ks, seed=seed, device=device, progress=progress)
    finally:
        graph.close()
    gain = trial.warm.difference(FUSED, TUNED, f"ndcg@{ks[0]}", seed=seed)
    channels = {"channels": trial.channels.to_dict()}
    if json:
        print_json({"users": trial.warm[FUSED].num_users, "systems": trial.warm.rows(), "gain": str(gain), **channels})
        return
    console.print(trial.warm.table(), markup=False)
    console.print(f"{FUSED} against {TUNED}, NDCG@{ks[0]}: {gain}\n", markup=False)
    console.print(str(trial.channels), markup=False)


def _gate(
    store: str,
    quick: bool,
    budget: float,
    test: float,
    length: int,
    config: Path | None,
    encoder: str | None,
    seed: int,
    device: str,
    json: bool,
) -> None:
    from kgrecall.cli.console import out as console
    from kgrecall.cli.console import print_json, progress_bars
    from kgrecall.graph.snapshot import take_snapshot
    from kgrecall.jobs.gate import GateConfig, run_gate
    from kgrecall.store import open_store

    settings = build_settings(config, encoder)
    asked = GateConfig(pipeline="quick" if quick else "build", measure=f"recall@{length}", test=test, budget_seconds=budget)
    graph = open_store(store)
    try:
        with progress_bars() as progress:
            snapshot = take_snapshot(graph, graph.schema, progress=progress)
            report = run_gate(snapshot, settings, asked, seed=seed, device=device, progress=progress)
    finally:
        graph.close()
    if json:
        print_json(report.to_dict())
        return
    for part in (report.table(), report.relation_table() if report.relations else "", str(report)):
        if part:
            console.print(part, markup=False)
            console.print()
