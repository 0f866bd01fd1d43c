"""Graph stores: where the imported graph lives."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from kgrecall.errors import ConfigError
from kgrecall.store.base import GraphStore

_NEO4J = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


def open_store(url: str | Path) -> GraphStore:
    """Open a graph store by its address.

    Args:
        url: a file (``"shop.sqlite"``, ``"sqlite:///data/shop.sqlite"``), made by the first import; ``":memory:"`` for a graph
            that ends with the process; or a Neo4j server (``"neo4j://localhost:7687"``, ``"bolt://..."``), the bare word
            ``"neo4j"`` being the local one that ``kgrecall neo4j start`` runs.

    Raises:
        ConfigError: the address names no known kind of store.
        StoreUnavailable: the file or the server cannot be opened.
    """
    text = str(url)
    if text == "neo4j":
        return _open_local()
    scheme = urlsplit(text).scheme if "://" in text else "sqlite"
    if scheme in _NEO4J:
        from kgrecall.store.neo4j import Neo4jStore

        return Neo4jStore.connect(text)
    if scheme == "sqlite":
        from kgrecall.store.sqlite import SqliteStore

        return SqliteStore(text.removeprefix("sqlite:///"))
    raise ConfigError(
        "store address",
        expected="a file name, :memory:, sqlite:///FILE or neo4j://HOST:PORT",
        got=f"{scheme}://...",  # the rest may hold a password
        remedy="Check the part before ://.",
    )


def _open_local() -> GraphStore:
    from kgrecall.store.neo4j import Neo4jStore
    from kgrecall.store.neo4j.server import local_server

    server = local_server()
    return Neo4jStore.connect(server.uri, server.user, server.password)
