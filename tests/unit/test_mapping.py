"""The ``[[files]]`` part of a mapping: short forms, defaults, and values that make no sense."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kgrecall.mapping import Column, EdgeMapping, FileMapping, NodeMapping


def test_a_bare_string_stands_for_a_column() -> None:
    node = NodeMapping.model_validate({"label": "Item", "id": "id", "properties": {"title": "name"}})
    assert node.id == Column(column="id")
    assert node.properties == {"title": Column(column="name")}
    edge = EdgeMapping.model_validate({"type": "HAS", "source": "a", "target": {"column": "b", "separator": "|"}})
    assert (edge.source.column, edge.target.separator, edge.create) == ("a", "|", ())


def test_defaults_of_a_file() -> None:
    file = FileMapping(path="x.csv")
    assert (file.format, file.quote, file.header, file.null_values, file.optional) == ("delimited", '"', True, ("",), False)
    assert FileMapping(path="x.csv", quote="").quote is None


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Column, {"column": "a", "separator": ""}, "at least 1 character"),
        (Column, {"column": "a", "unit": "minutes"}, "'s', 'ms', 'us' or 'iso8601'"),
        (Column, {"column": "a", "timezone": "Berlin"}, "an IANA zone"),
        (Column, {"column": "a", "colour": 1}, "Extra inputs"),
        (FileMapping, {"path": "x", "format": "xlsx"}, "'delimited'"),
        (FileMapping, {"path": "x", "delimiter": ""}, "at least 1 character"),
        (NodeMapping, {"label": "A", "id": {"column": "a", "separator": "|"}}, "one id per row"),
        (EdgeMapping, {"type": "A", "source": "a", "target": "b", "create": ["both"]}, "'source' or 'target'"),
    ],
)
def test_values_that_make_no_sense(kind: Any, value: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(value)


def test_mappings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        FileMapping(path="x").path = "y"  # type: ignore[misc]
