"""A schema is validated whole on load; errors name the file, the key and the nearest known name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.errors import ConfigError, SchemaError
from kgrecall.schema import RESERVED, GraphSchema, quote_identifier

_SHOP: dict[str, Any] = {
    "name": "shop",
    "nodes": {
        "User": {"role": "user", "properties": {"age": "integer"}},
        "Item": {
            "role": "item",
            "title": "title",
            "described_by": ["tags"],
            "properties": {"title": "text", "tags": "strings"},
        },
        "Brand": {},
    },
    "edges": {
        "VIEWED": {"role": "interaction", "source": "User", "target": "Item", "properties": {"time": "time"}, "time": "time"},
        "MADE_BY": {"source": "Item", "target": "Brand"},
        "SAID": {
            "source": "Brand",
            "target": "Brand",
            "properties": {"name": "string", "at": "time"},
            "relation": "name",
            "key": ["at"],
        },
    },
    "files": [{"path": "items.csv", "nodes": [{"label": "Item", "id": "id", "properties": {"title": "title"}}]}],
}


def changed(*path: Any, value: Any) -> dict[str, Any]:
    """The shop with one key set."""
    data = copy.deepcopy(_SHOP)
    place: Any = data
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return data


def with_edges(relation: str, **properties: str) -> dict[str, Any]:
    """The shop with edges in its file."""
    return changed("files", 0, "edges", value=[{"type": relation, "source": "a", "target": "b", "properties": properties}])


def test_a_good_schema_answers_questions() -> None:
    schema = GraphSchema.parse(_SHOP)
    assert (schema.user_label, schema.item_label) == ("User", "Item")
    assert schema.nodes["Item"].text_fields == ("title", "tags")
    assert set(schema.edges_with_role("interaction")) == {"VIEWED"}
    assert schema.edge("MADE_BY").role == "knowledge"
    assert schema.edge("SAID").edge_key == ("name", "at")
    assert schema.node("Brand").properties == {}
    assert GraphSchema.from_json(schema.to_json()) == schema


def test_a_file_is_read_and_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text('[nodes.User]\nrole = "user"\n[nodes.Item]\nrole = "item"\n[edges]\n')
    assert GraphSchema.load(path).name == "graph"
    path.write_text('[nodes.User]\nrole = "usr"\n')
    with pytest.raises(SchemaError, match=r"shop\.toml: nodes\.User\.role: expected 'user', 'item' or 'entity', got 'usr'"):
        GraphSchema.load(path)
    path.write_text("[nodes\n")
    with pytest.raises(SchemaError, match=r"shop\.toml: expected valid TOML in UTF-8, .*line 1"):
        GraphSchema.load(path)
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(SchemaError, match="valid TOML in UTF-8"):
        GraphSchema.load(path)
    with pytest.raises(ConfigError, match=r"a readable TOML file.*no\.toml"):
        GraphSchema.load(tmp_path / "no.toml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed("nodse", value={}), r"nodse: expected a known key.*Did you mean 'nodes'"),
        (changed("nodes", "Item", "titel", value="x"), r"nodes\.Item\.titel: .*Did you mean 'title'"),
        (changed("edges", "VIEWED", "wieght", value="x"), r"edges\.VIEWED\.wieght: .*Did you mean 'weight'"),
        (changed("files", 0, "delimeter", value=","), r"files\.0\.delimeter: .*Did you mean 'delimiter'"),
        (changed("files", 0, "nodes", 0, "lable", value="x"), r"files\.0\.nodes\.0\.lable: .*Did you mean 'label'"),
        (changed("files", 0, "path", value=3), r"files\.0\.path: expected a valid string, got 3"),
        (changed("format_version", value=2), "format_version: expected 1, got 2"),
        (changed("nodes", "User", "role", value="entity"), r'nodes: expected exactly one label with role = "user", got \[\]'),
        (changed("nodes", "Brand", "role", value="item"), r"exactly one label .*got \['Item', 'Brand'\]"),
        (changed("nodes", "Item", "title", value="name"), r"nodes\.Item\.title: expected a property of this label, got 'name'"),
        (changed("nodes", "Item", "described_by", value=["title"]), r"described_by: expected a string or strings property"),
        (changed("nodes", "Item", "properties", "title", value="txt"), r"nodes\.Item\.properties\.title: .*'text'"),
        (changed("nodes", "Ite`m", value={}), r"expected a letter, then letters, digits or _ .*got 'Ite`m'"),
        (changed("nodes", "User", "properties", "id", value="string"), r"property name: expected none of .*item_id"),
        (changed("edges", "MADE_BY", "target", value="Brnad"), r"edges\.MADE_BY\.target: .*Did you mean 'Brand'"),
        (changed("edges", "VIEWED", "time", value="tim"), r"edges\.VIEWED\.time: .*Did you mean 'time'"),
        (changed("edges", "VIEWED", "key", value=["when"]), r"edges\.VIEWED\.key: expected a property of this relation"),
        (changed("edges", "VIEWED", "strength", value=0), r"edges\.VIEWED\.strength: .*greater than 0"),
        (changed("edges", "MADE_BY", "role", value="interaction"), r"from User to Item, got \('Item', 'Brand'\)"),
        (changed("edges", "MADE_BY", "role", value="social"), "a social relation between Users"),
        (changed("edges", "MADE_BY", "inverse_of", value={"a": "b"}), "expected relation beside inverse_of"),
        (changed("files", 0, "nodes", 0, "label", value="Itm"), r"files\[0\] \(items\.csv\)\.nodes\.label: .*'Item'"),
        (changed("files", 0, "nodes", 0, "properties", value={"titles": "x"}), r"a property of this label.*mean 'title'"),
        (with_edges("MADEBY"), "Did you mean 'MADE_BY'"),
        (with_edges("VIEWED", tme="x"), "Did you mean 'time'"),
        (with_edges("SAID"), r"a column for each property of the key, got none for \['name', 'at'\]"),
        (changed("edges", value=None), "edges: expected a valid dictionary"),
        ({"nodes": _SHOP["nodes"]}, "edges: expected this key, got nothing"),
    ],
)
def test_what_does_not_hold_together_is_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        GraphSchema.parse(data, origin="shop.toml")
    assert str(caught.value).startswith("shop.toml: ")


def test_unknown_names_of_a_good_schema() -> None:
    schema = GraphSchema.parse(_SHOP)
    with pytest.raises(SchemaError, match="Did you mean 'Brand'"):
        schema.node("Brands")
    with pytest.raises(SchemaError, match="Did you mean 'VIEWED'"):
        schema.edge("VIEW")


@given(st.text(max_size=70))
def test_only_plain_names_are_quoted(name: str) -> None:
    plain = name.isascii() and name[:1].isalpha() and name.replace("_", "a").isalnum() and len(name) <= 63
    if plain:
        assert quote_identifier(name, "`") == f"`{name}`"
    else:
        with pytest.raises(SchemaError):
            quote_identifier(name, '"')


@pytest.mark.parametrize("name", ["a\n", "a`b", 'a"b', "", "1a", "_a", "é", "a" * 64])
def test_names_that_could_break_out(name: str) -> None:
    with pytest.raises(SchemaError):
        quote_identifier(name, "`")


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_property_names_in_any_case(name: str) -> None:
    with pytest.raises(SchemaError, match="property name"):
        GraphSchema.parse(changed("nodes", "Brand", "properties", value={name.upper(): "string"}))
