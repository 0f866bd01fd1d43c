"""``export``, ``publish`` and ``neo4j``: the graph in and out of a database, its indexes, and a local one to try it with."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kgrecall.cli.app import app
from kgrecall.cli.files import Json, Store

server = typer.Typer(
    no_args_is_help=True, help="A local Neo4j server: start it, ask for it, stop it; indexes for queries by hand."
)
app.add_typer(server, name="neo4j")


class Format(StrEnum):
    """What ``export`` can write."""

    NEO4J_ADMIN = "neo4j-admin"


@app.command()
def export(
    store: Store,
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder.")],
    format: Annotated[Format, typer.Option(help="CSV files for `neo4j-admin database import full`.")] = Format.NEO4J_ADMIN,
    json: Json = False,
) -> None:
    """Write the whole graph as files, for the fastest first load of a large Neo4j database."""
    from kgrecall.cli.console import print_json, progress_bars
    from kgrecall.store import open_store
    from kgrecall.store.neo4j.admin import export_for_admin

    graph = open_store(store)
    try:
        with progress_bars() as progress:
            written = export_for_admin(graph, out, progress=progress)
    finally:
        graph.close()
    if json:
        print_json({"folder": out, "nodes": written.nodes, "edges": written.edges, "arguments": written.arguments})
        return
    print(f"{sum(written.nodes.values()):,} nodes and {sum(written.edges.values()):,} edges in {out}")
    print(f"now, with the database stopped: cd {out} && neo4j-admin database import full neo4j @import.args")


@app.command()
def publish(
    model: Annotated[Path, typer.Option("--model", "-m", help="Folder of a built model.")],
    store: Store,
    json: Json = False,
) -> None:
    """Write a model's vectors back into its Neo4j database, with a vector index and a full-text index."""
    from kgrecall.cli.console import print_json
    from kgrecall.jobs.database import publish as write_back
    from kgrecall.store import open_store

    graph = open_store(store)
    try:
        written = write_back(model, graph)
    finally:
        graph.close()
    if json:
        print_json({"vectors": written.vectors, "full_text": written.full_text})
        return
    told = ", ".join(f"{count:,} of {label}" for label, count in written.vectors.items())
    print(f"vectors: {told}; full text: {'indexed' if written.full_text else 'no text property'}")
    print("channels inside the database: neo4j_vector, neo4j_fulltext, neo4j_walk (load_engine(..., store=...))")


@server.command()
def start() -> None:
    """Start it, from Maven artifacts or in Docker, unless it runs; the data stay in the cache folder between runs."""
    from kgrecall.store.neo4j.server import start_server

    running = start_server()
    print(f"Neo4j {running.version} at {running.uri}, data in {running.home}")
    print("use it as: --store neo4j")
    print(f"user {running.user}, password in {Path(running.home) / 'server.json'}; stop it with: kgrecall neo4j stop")


@server.command()
def status(json: Json = False) -> None:
    """Whether it runs, and where."""
    from kgrecall.cli.console import print_json
    from kgrecall.store.neo4j.server import find_server, missing_parts

    running = find_server()
    if json:
        print_json({"running": running is not None, "uri": running.uri if running else None, "missing": missing_parts()})
    elif running:
        print(f"Neo4j {running.version} at {running.uri}, data in {running.home}")
    else:
        print(f"not running; {missing_parts() or 'start it with: kgrecall neo4j start'}")


@server.command()
def indexes(store: Store, json: Json = False) -> None:
    """Create the indexes of graph_schema/indexes.cypher that fit the graph, for queries by hand; wait until they are online."""
    from kgrecall.cli.console import print_json
    from kgrecall.errors import Shown, Unsupported
    from kgrecall.store import open_store
    from kgrecall.store.neo4j import Neo4jStore
    from kgrecall.store.neo4j.indexes import apply_indexes

    graph = open_store(store)
    try:
        if not isinstance(graph, Neo4jStore):
            raise Unsupported(store, expected="a Neo4j store", got=Shown("a file"), remedy="Pass --store neo4j://HOST:PORT.")
        names = apply_indexes(graph)
    finally:
        graph.close()
    if json:
        print_json({"indexes": names})
    else:
        told = [name if held == name else f"{name} (here: {held})" for name, held in names.items()]
        print(f"online: {', '.join(told) or 'none of them fits this graph'}")


@server.command()
def stop() -> None:
    """Stop it in order; the data stay."""
    from kgrecall.store.neo4j.server import stop_server

    print("stopped" if stop_server() else "it was not running")
