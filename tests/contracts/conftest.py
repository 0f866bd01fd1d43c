"""The implementations that the contract suites are run against.

A store joins by an entry in ``STORES``: its name, and a function that opens an empty one as a context manager. ``folder`` is
the test's own. A store that needs a server skips itself when there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from kgrecall.schema import GraphSchema
from kgrecall.store import open_store
from kgrecall.store.base import GraphStore


@contextmanager
def _in_memory(folder: Path) -> Iterator[GraphStore]:
    store = open_store(":memory:")
    yield store
    store.close()


@contextmanager
def _in_a_file(folder: Path) -> Iterator[GraphStore]:
    store = open_store(folder / "graph.sqlite")
    yield store
    store.close()


STORES: dict[str, Callable[[Path], AbstractContextManager[GraphStore]]] = {
    "memory": _in_memory,
    "sqlite": _in_a_file,
}

_SCHEMA = {
    "name": "contract",
    "nodes": {
        "User": {"role": "user", "properties": {"age": "integer"}},
        "Item": {
            "role": "item",
            "title": "title",
            "properties": {
                "title": "text",
                "year": "integer",
                "price": "number",
                "sold": "boolean",
                "released": "time",
                "picture": "image",
                "colour": "string",
                "genres": "strings",
                "vector": "numbers",
            },
        },
        "Tag": {},
        "Entity": {},
    },
    "edges": {
        "VIEWED": {
            "role": "interaction",
            "source": "User",
            "target": "Item",
            "properties": {"time": "time", "weight": "number", "device": "string"},
            "key": ["time"],
            "weight": "weight",
            "time": "time",
        },
        "RATED": {
            "role": "interaction",
            "source": "User",
            "target": "Item",
            "properties": {"stars": "number", "time": "time"},
            "weight": "stars",
            "time": "time",
        },
        "TAGGED": {"source": "Item", "target": "Tag"},
        "FOLLOWS": {"role": "social", "source": "User", "target": "User", "properties": {"since": "integer"}},
        "FACT": {
            "source": "Entity",
            "target": "Entity",
            "properties": {"relation": "string", "certainty": "number"},
            "relation": "relation",
        },
    },
}


@pytest.fixture(scope="session")
def schema() -> GraphSchema:
    """A little of everything: all property types, a keyed relation, a timed one, a bare one, a social one, triples."""
    return GraphSchema.parse(_SCHEMA)


@pytest.fixture(params=list(STORES))
def fresh_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GraphStore]:
    """A store that nothing was ever written to."""
    with STORES[request.param](tmp_path) as store:
        yield store


@pytest.fixture
def store(fresh_store: GraphStore, schema: GraphSchema) -> GraphStore:
    """An empty store that knows the schema."""
    fresh_store.apply_schema(schema)
    return fresh_store
