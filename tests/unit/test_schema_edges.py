"""What a snapshot relies on: the schema refuses weights, times and relations that it could not read."""

from __future__ import annotations

from typing import Any

import pytest

from kgrecall.errors import SchemaError
from kgrecall.schema import GraphSchema


def parse(**edge: Any) -> GraphSchema:
    properties = {"n": "number", "i": "integer", "s": "string", "t": "time", "many": "strings"}
    described = {"source": "Item", "target": "Item", "properties": properties} | edge
    return GraphSchema.parse({"nodes": {"User": {"role": "user"}, "Item": {"role": "item"}}, "edges": {"LIKE": described}})


@pytest.mark.parametrize("edge", [{"weight": "n"}, {"weight": "i"}, {"time": "t"}, {"relation": "s", "inverse_of": {"a": "b"}}])
def test_fitting_types_are_accepted(edge: dict[str, Any]) -> None:
    parse(**edge)


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ({"weight": "s"}, r"edges\.LIKE\.weight: expected a property of this relation of type integer or number, got 's'"),
        ({"time": "i"}, r"edges\.LIKE\.time: expected .* of type time, got 'i'"),
        ({"relation": "many"}, r"edges\.LIKE\.relation: expected .* of type string, got 'many'"),
        ({"relation": "s", "inverse_of": {"a": "b", "b": "a"}}, r"edges\.LIKE\.inverse_of: .* got 'a'"),
        ({"relation": "s", "inverse_of": {"a": "a"}}, r"edges\.LIKE\.inverse_of: .* got 'a'"),
    ],
)
def test_others_are_refused_with_the_key(edge: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        parse(**edge)
