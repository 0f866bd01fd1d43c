"""``build``: from the graph to an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrecall.cli.app import app
from kgrecall.cli.files import Json, Store
from kgrecall.errors import ConfigError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}

if TYPE_CHECKING:
    from kgrecall.jobs.build_config import BuildConfig

Config = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file with build settings.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
Encoder = Annotated[str | None, typer.Option(help="Text encoder: a package, a folder, a hub id, or hashing.")]


@app.command()
def build(
    store: Store,
    out: Annotated[Path, typer.Option("--out", "-o", help="Artifact folder.")],
    config: Config = None,
    encoder: Encoder = None,
    auto: Annotated[bool, typer.Option("--auto", help="Choose channels and settings within --budget.")] = False,
    budget: Annotated[str, typer.Option(help="With --auto: time for the whole build, such as 90s, 10m or 2h.")] = "10m",
    seed: int = 0,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Encode texts, train, compute every channel, choose weights on validation, publish one artifact."""
    from kgrecall.cli.console import out as console
    from kgrecall.cli.console import print_json, progress_bars
    from kgrecall.jobs.build import build as run
    from kgrecall.store import open_store

    settings = build_settings(config, encoder)
    if auto:
        settings = settings.model_copy(update={"budget_seconds": seconds_of(budget)})
    graph = open_store(store)
    try:
        with progress_bars() as progress:
            report = run(graph, graph.schema, settings, out=out, seed=seed, device=device, progress=progress)
    finally:
        graph.close()
    if json:
        print_json(report.to_dict())
    else:
        console.print(str(report), markup=False)


def build_settings(path: Path | None, encoder: str | None) -> BuildConfig:
    """The settings of a file, or the defaults; the encoder of the command line wins."""
    from kgrecall.jobs.build_config import BuildConfig

    config = BuildConfig() if path is None else BuildConfig.load(path)
    return config if encoder is None else config.model_copy(update={"encoder": encoder})


def seconds_of(text: str) -> float:
    """``90``, ``90s``, ``10m`` or ``2h`` in seconds.

    Raises:
        ConfigError: anything else, or no time at all.
    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError("--budget", expected="a time such as 90s, 10m or 2h", got=text, remedy="Give a number and a unit.")
    return seconds
