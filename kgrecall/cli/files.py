"""``inspect``, ``ingest``, ``stats``, ``datasets``: from files to the graph."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kgrecall.cli.app import app, write_text

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Store = Annotated[str, typer.Option("--store", "-s", help="SQLite file or neo4j:// address.")]


class Duplicates(StrEnum):
    """As the argument ``duplicates`` of :func:`kgrecall.store.ingest.ingest`."""

    LAST = "last"
    FIRST = "first"
    ERROR = "error"


class Drift(StrEnum):
    """As :data:`kgrecall.sources.drift.Drift`."""

    STOP = "stop"
    EXTEND = "extend"
    ACCEPT = "accept"


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(help="Files, or one folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the proposed mapping here.")] = None,
    json: Json = False,
) -> None:
    """Look at files and propose a mapping: which columns are users, items, times, texts, lists."""
    from kgrecall.cli.console import err, print_json
    from kgrecall.sources.inspect import propose_mapping

    proposal = propose_mapping(files)
    if out is not None:
        write_text(out, proposal.toml, "--out")
    if json:
        print_json({"mapping": proposal.toml, "findings": list(proposal.findings), "doubts": list(proposal.doubts)})
        return
    for line in proposal.findings:
        err.print(line, soft_wrap=True, markup=False)
    for line in proposal.doubts:
        err.print("[yellow]unsure:[/yellow]", end=" ")
        err.print(line, soft_wrap=True, markup=False)
    print(proposal.toml if out is None else f"{out} written; now: kgrecall ingest FOLDER --mapping {out}")


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="Folder that the paths of the mapping are relative to.")],
    mapping: Annotated[str, typer.Option("--mapping", "-m", help="Mapping file, or the name of a shipped one (shop).")],
    store: Store,
    quarantine: Annotated[
        Path | None, typer.Option(help="File for bad records. Default: quarantine.jsonl beside the store.")
    ] = None,
    max_bad: Annotated[int | None, typer.Option(help="Stop at so many bad records.")] = None,
    max_bad_share: Annotated[float | None, typer.Option(help="Stop when more than this share of the records is bad.")] = None,
    duplicates: Annotated[
        Duplicates, typer.Option(help="Which of two records with one key and other values stands.")
    ] = Duplicates.LAST,
    drift: Annotated[
        Drift, typer.Option(help="When schema or columns differ: stop; extend (a lost mapped column stops); accept all.")
    ] = Drift.EXTEND,
    json: Json = False,
) -> None:
    """Read files as a mapping says and write them into the graph. Running it again changes nothing."""
    from kgrecall.cli.console import out, print_json, progress_bars
    from kgrecall.schema import GraphSchema
    from kgrecall.sources.mappings import find_mapping
    from kgrecall.sources.quarantine import QuarantineLimits
    from kgrecall.sources.reader import read_tables
    from kgrecall.store import open_store
    from kgrecall.store.ingest import ingest as run

    schema = GraphSchema.load(find_mapping(mapping))
    given = {"max_rows": max_bad, "max_share": max_bad_share}
    limits = QuarantineLimits.model_validate({name: value for name, value in given.items() if value is not None})
    bad = quarantine or _beside(store)
    with progress_bars() as progress:
        tables = read_tables(folder, schema, quarantine=bad, limits=limits, drift=drift.value, progress=progress)
        graph = open_store(store)
        try:
            report = run(tables, graph, schema, duplicates=duplicates.value, drift=drift.value, progress=progress)
        finally:
            graph.close()
    if json:
        print_json(report.to_dict())
    else:
        out.print(str(report), markup=False)


@app.command()
def delete(
    name: Annotated[str, typer.Argument(help="Label of nodes, or relation of edges.")],
    ids: Annotated[list[str], typer.Argument(help="Ids of the nodes; of edges SOURCE TARGET, as many pairs as you like.")],
    store: Store,
    quarantine: Annotated[
        list[Path] | None, typer.Option(help="Quarantine files to clean too. Default: the one beside the store.")
    ] = None,
    json: Json = False,
) -> None:
    """Delete edges; or nodes with all their edges, and their ids from the bytes of the store and of quarantine files."""
    from kgrecall.cli.console import out, print_json
    from kgrecall.store import open_store
    from kgrecall.store.erasure import delete_edges, erase

    graph = open_store(store)
    try:
        if name in graph.schema.edges and name not in graph.schema.nodes:
            edges = delete_edges(graph, name, ids)
            print_json({"edges": edges}) if json else out.print(f"{edges} {name} edges deleted", markup=False)
            return
        done = erase(graph, name, ids, quarantines=quarantine or [_beside(store)])
    finally:
        graph.close()
    if json:
        print_json({"nodes": done.nodes, "quarantined": done.quarantined})
        return
    out.print(f"{done.nodes} of {len(ids)} {name} nodes deleted, {done.quarantined} quarantine lines removed", markup=False)
    if done.nodes:
        out.print("Models built before still know them: build again.")


@app.command()
def stats(store: Store, json: Json = False) -> None:
    """Size of the graph by label and relation."""
    from kgrecall.cli.console import print_json, print_table
    from kgrecall.store import open_store

    graph = open_store(store)
    try:
        schema = graph.schema
        nodes = {label: graph.count_nodes(label) for label in schema.nodes}
        edges = {name: graph.count_edges(name) for name in schema.edges}
        version = graph.version()
    finally:
        graph.close()
    if json:
        print_json({"name": schema.name, "version": version, "nodes": nodes, "edges": edges})
        return
    print_table(
        f"{schema.name}, version {version}",
        ["label", "role", "nodes"],
        [[n, schema.nodes[n].role, c] for n, c in nodes.items()],
    )
    rows = [
        [name, f"{schema.edges[name].source} -> {schema.edges[name].target}", schema.edges[name].role, n]
        for name, n in edges.items()
    ]
    print_table("", ["relation", "from, to", "role", "edges"], rows)


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(help="Fetch this one; without it, list them all.")] = None,
    json: Json = False,
) -> None:
    """Named data sets: list them, or fetch one and print its folder."""
    from kgrecall.cli.console import err, print_json, print_table, progress_bars
    from kgrecall.sources.datasets import available, fetch

    if name is None:
        known = available()
        if json:
            print_json([{"name": d.name, "summary": d.summary, "licence": d.licence} for d in known])
        else:
            print_table("", ["name", "what it is"], [[d.name, d.summary] for d in known])
        return
    with progress_bars() as progress:
        data = fetch(name, progress=progress)
    if json:
        print_json({"name": data.name, "folder": str(data.folder), "licence": data.licence})
    else:
        err.print(data.licence, markup=False)
        print(data.folder)


def _beside(store: str) -> Path:
    """Where bad records go when nobody says: beside a store file, else in the working folder."""
    name = "quarantine.jsonl"
    return Path(name) if "://" in store or store == ":memory:" else Path(store).with_name(f"{Path(store).stem}.{name}")
