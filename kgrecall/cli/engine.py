"""``build``: from the graph to an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrecall.cli.app import app
from kgrecall.cli.files import Json, Store

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
    graph = open_store(store)
    try:
        with progress_bars() as progress:
            report = run(graph, graph.schema, settings, out=out, seed=seed, device=device, progress=progress)
    finally:
        graph.close()
    if json:
        print_json(report.to_dict())
    else:
        console.print(str(report))


def build_settings(path: Path | None, encoder: str | None) -> BuildConfig:
    """The settings of a file, or the defaults; the encoder of the command line wins."""
    from kgrecall.jobs.build_config import BuildConfig

    config = BuildConfig() if path is None else BuildConfig.load(path)
    return config if encoder is None else config.model_copy(update={"encoder": encoder})
