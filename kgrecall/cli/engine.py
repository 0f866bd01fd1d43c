"""``build``, ``recall``, ``explain``: from the graph to answers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrecall.cli.app import app
from kgrecall.cli.files import Json, Store

if TYPE_CHECKING:
    from kgrecall.jobs.build_config import BuildConfig
    from kgrecall.types import Query

Artifact = Annotated[Path, typer.Argument(help="Folder made by `kgrecall build`.")]
Config = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file with build settings.")]
User = Annotated[str | None, typer.Option("--user", "-u", help="A user of the graph.")]
History = Annotated[list[str] | None, typer.Option("--history", help="Item ids, oldest first; repeat the option.")]
Text = Annotated[str | None, typer.Option("--text", "-t", help="Free text.")]
Like = Annotated[str | None, typer.Option("--like", help="More like this item id.")]
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


@app.command()
def recall(
    artifact: Artifact,
    user: User = None,
    history: History = None,
    text: Text = None,
    like: Like = None,
    only: Annotated[
        str | None, typer.Option("--filter", help="Only items that fulfil this: \"price < 20 and MADE_BY any ['Norra']\".")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many candidates.")] = 10,
    json: Json = False,
) -> None:
    """Ask for candidates."""
    from kgrecall.cli.console import err, print_json, print_table
    from kgrecall.jobs.serve import load_engine

    engine = load_engine(artifact)
    found = engine.recall(_query(user, history, text, like, k, only))
    if json:
        rows = [
            {"rank": c.rank, "item_id": c.item_id, "title": c.title, "score": c.score, "channels": c.channels} for c in found
        ]
        print_json({"served": found.served, "notes": list(found.notes), "candidates": rows})
        return
    names = [name for name in engine.channel_names if any(name in c.channels for c in found)]
    cells = [[c.rank, c.item_id, c.title or "", c.score, *(c.channels.get(name, "") for name in names)] for c in found]
    print_table(f"{found.served} answer", ["rank", "item", "title", "score", *names], cells)
    for note in found.notes:
        err.print(note)


@app.command()
def explain(
    artifact: Artifact,
    item: Annotated[str, typer.Argument(help="The item to explain.")],
    user: User = None,
    history: History = None,
    text: Text = None,
    like: Like = None,
    limit: Annotated[int, typer.Option(help="Most paths.")] = 3,
    json: Json = False,
) -> None:
    """Why this item: the strongest paths, and what each channel adds to the score."""
    from kgrecall.cli.console import out, print_json
    from kgrecall.jobs.serve import load_engine

    engine = load_engine(artifact)
    query = _query(user, history, text, like, 100)
    paths = engine.explain(query, item, limit)
    added = engine.contributions(query, item)
    if json:
        print_json({"item_id": item, "contributions": added, "paths": [asdict(path) for path in paths]})
        return
    for path in paths:
        out.print(f"{path.channel}: {path} ({path.weight:.0%} of this channel)", markup=False)
    out.print(
        "score = " + " + ".join(f"{value:.4f} {name}" for name, value in added.items()) if added else "no channel recalls it"
    )


def _query(
    user: str | None, history: list[str] | None, text: str | None, like: str | None, k: int, only: str | None = None
) -> Query:
    from kgrecall.types import Query

    return Query(user_id=user, history=history or None, text=text, item_id=like, k=k, filter=only)


def build_settings(path: Path | None, encoder: str | None) -> BuildConfig:
    """The settings of a file, or the defaults; the encoder of the command line wins."""
    from kgrecall.jobs.build_config import BuildConfig

    config = BuildConfig() if path is None else BuildConfig.load(path)
    return config if encoder is None else config.model_copy(update={"encoder": encoder})
