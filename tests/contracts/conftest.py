"""The implementations that the contract suites are run against.

A store joins by an entry in ``STORES``: its name, and the name of a fixture that gives an empty one. A store that needs a
server skips itself when there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kgrecall.schema import GraphSchema
from kgrecall.store import open_store
from kgrecall.store.base import GraphStore


@pytest.fixture(scope="module", params=["numpy", "compiled"])
def tier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Everything that uses this is asked twice: of numpy, and of the compiled loops."""
    from kgrecall.kernels import tier

    wanted = request.param == "compiled"
    if tier.use(wanted) != wanted:
        pytest.skip("numba is not installed")
    yield request.param
    tier.use(True)


@pytest.fixture
def memory_store() -> Iterator[GraphStore]:
    store = open_store(":memory:")
    yield store
    store.close()


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[GraphStore]:
    store = open_store(tmp_path / "graph.sqlite")
    yield store
    store.close()


STORES = [
    pytest.param("memory_store", id="memory"),
    pytest.param("file_store", id="sqlite"),
    pytest.param("neo4j_store", id="neo4j", marks=pytest.mark.neo4j),
]

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


@pytest.fixture(params=STORES)
def fresh_store(request: pytest.FixtureRequest) -> GraphStore:
    """A store that nothing was ever written to."""
    opened: GraphStore = request.getfixturevalue(request.param)
    return opened


@pytest.fixture
def store(fresh_store: GraphStore, schema: GraphSchema) -> GraphStore:
    """An empty store that knows the schema."""
    fresh_store.apply_schema(schema)
    return fresh_store
