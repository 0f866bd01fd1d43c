"""What becomes part of a statement: quoted names of a schema, never values."""

from __future__ import annotations

import re

import pytest

from kgrecall.errors import SchemaError
from kgrecall.schema import EdgeTypeSpec, GraphSchema
from kgrecall.store.neo4j import statements as cypher

HOSTILE = [
    "`",
    "a`b",
    "x`) DETACH DELETE (n",
    "a//b",
    "a/*b*/",
    "a\\u0060b",
    'a"b',
    "a'b",
    "a b",
    "",
    "_seq",
    "é",
    "a\nb",
    "1a",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_never_become_cypher(name: str) -> None:
    spec = EdgeTypeSpec.model_construct(source="User", target="User", properties={name: "string"}, key=(), time=None)
    for build in (
        lambda: cypher.merge_nodes(name, []),
        lambda: cypher.merge_nodes("User", [name]),
        lambda: cypher.create_edges("T", spec, [name]),
        lambda: cypher.create_edges(name, spec, []),
        lambda: cypher.create_unique(name),
        lambda: cypher.column(name),
        lambda: cypher.scan_edges("T", spec, [name], since=False),
    ):
        with pytest.raises(SchemaError):
            build()


def test_only_our_own_labels_go_unquoted() -> None:
    assert all(label in cypher.create_unique(label) for label in cypher.META_LABELS)
    with pytest.raises(SchemaError):
        cypher.create_unique("_Other")


def test_every_write_names_its_values_as_parameters() -> None:
    schema = GraphSchema.parse(
        {
            "nodes": {"User": {"role": "user", "properties": {"age": "integer"}}, "Item": {"role": "item"}},
            "edges": {
                "VIEWED": {"source": "User", "target": "Item", "properties": {"at": "time", "n": "number"}, "key": ["at"]}
            },
        }
    )
    for statement in cypher.all_writes(schema):
        literals = set(re.findall(r"'[^']*'", statement))
        assert literals <= {"'meta'"}
