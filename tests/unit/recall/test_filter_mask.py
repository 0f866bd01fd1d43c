from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.errors import ConfigError
from kgrecall.graph.columns import ItemColumns
from kgrecall.graph.snapshot import take_snapshot
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.filtering.filters import And, Compare, Field, Filter, IsNull, Not, OneOf, Or, parse_filter
from kgrecall.schema import GraphSchema
from kgrecall.store import open_store

DAY = 86_400_000
PROPERTIES = {
    "price": "number",
    "size": "integer",
    "in_stock": "boolean",
    "released": "time",
    "brand": "string",
    "tags": "strings",
    "fit": "numbers",
}
SCHEMA = GraphSchema.parse(
    {
        "nodes": {
            "User": {"role": "user"},
            "Shoe": {"role": "item", "properties": PROPERTIES},
            "Sport": {"title": "name", "properties": {"name": "string"}},
        },
        "edges": {"FOR": {"source": "Shoe", "target": "Sport"}},
    }
)
SHOES: list[dict[str, Any]] = [
    {"price": 10.5, "size": 40, "in_stock": True, "released": 0, "brand": "Ari", "tags": ["red", "new"], "FOR": ["Running"]},
    {
        "price": 99.0,
        "size": 41,
        "in_stock": False,
        "released": DAY,
        "brand": "Bo",
        "tags": ["red"],
        "FOR": ["Running", "Hiking"],
    },
    {"price": 20.0, "size": None, "in_stock": None, "released": None, "brand": None, "tags": None, "FOR": []},
    {"price": None, "size": 40, "in_stock": True, "released": 2 * DAY, "brand": "Ari", "tags": [], "FOR": ["Hiking"]},
]
SPORTS = {"Running": "s.run", "Hiking": "s.hike"}


def _columns() -> ItemColumns:
    store = open_store(":memory:")
    store.apply_schema(SCHEMA)
    types = [pa.float64(), pa.int64(), pa.bool_(), pa.int64(), pa.string(), pa.list_(pa.string()), pa.list_(pa.float32())]
    table = {name: pa.array([shoe.get(name) for shoe in SHOES], kind) for name, kind in zip(PROPERTIES, types, strict=True)}
    ids = [f"shoe{i}" for i in range(len(SHOES))]
    store.upsert_nodes("Shoe", pa.array(ids), table)
    store.upsert_nodes("Sport", pa.array(list(SPORTS.values())), {"name": pa.array(list(SPORTS))})
    pairs = [(shoe_id, SPORTS[sport]) for shoe_id, shoe in zip(ids, SHOES, strict=True) for sport in shoe["FOR"]]
    store.upsert_edges("FOR", pa.array([a for a, _ in pairs]), pa.array([b for _, b in pairs]), {})
    return ItemColumns(take_snapshot(store, SCHEMA))


COLUMNS = _columns()


def shoes(text: str) -> list[int]:
    mask, _ = FilterMasks(COLUMNS).mask(parse_filter(text))
    return np.flatnonzero(mask).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price < 20", [0]),
        ("price <= 20", [0, 2]),
        ("price != 20", [0, 1]),
        ("price in [20, 99]", [1, 2]),
        ("price is null", [3]),
        ("not price < 20", [1, 2, 3]),
        ("size == 40", [0, 3]),
        ("in_stock", [0, 3]),
        ("in_stock == false", [1]),
        ("released >= '1970-01-02'", [1, 3]),
        ("released < '1970-01-02T01:00+01:00'", [0]),
        ("released > 86400000", [3]),
        ("brand == 'Ari'", [0, 3]),
        ("brand != 'Ari'", [1]),
        ("brand is null", [2]),
        ("tags any ['new', 'red']", [0, 1]),
        ("tags all ['new', 'red']", [0]),
        ("tags none ['new']", [1, 2, 3]),
        ("tags is null", [2, 3]),
        ("FOR any ['Running']", [0, 1]),
        ("FOR == 's.hike'", [1, 3]),
        ("FOR all ['Running', 'Hiking']", [1]),
        ("FOR is null", [2]),
        ("brand == 'Ari' and (size == 40 or FOR any ['Hiking']) and not tags any ['new']", [3]),
    ],
)
def test_filters_by_hand(text: str, expected: list[int]) -> None:
    assert shoes(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prize < 20", r"'prize'. Did you mean 'price'"),
        ("fit == 3", "a property or relation of Shoe"),
        ("price < 'cheap'", "expected a number"),
        ("price == true", "expected a number"),
        ("in_stock == 1", "expected true or false"),
        ("in_stock == 'yes'", "expected true or false"),
        ("released < 'yesterday'", "Write it like"),
        ("released == true", "a time in quotes"),
        ("brand < 'B'", "expected ==, !=, in, any, all or none"),
        ("brand == 3", "Put the value into quotes"),
    ],
)
def test_conditions_that_do_not_fit_the_column(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shoes(text)


def test_a_value_that_no_item_has_is_told() -> None:
    mask, notes = FilterMasks(COLUMNS).mask(parse_filter("FOR any ['Runing', 'Hiking']"))
    assert np.flatnonzero(mask).tolist() == [1, 3]
    assert notes == ("No item has FOR 'Runing'. Did you mean 'Running'?",)


def test_masks_are_kept_and_cannot_be_changed() -> None:
    masks = FilterMasks(COLUMNS)
    mask, _ = masks.mask(parse_filter("price < 20"))
    assert masks.mask(parse_filter({"price": {"<": 20.0}}))[0] is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = False


NAMES = ["price", "size", "in_stock", "brand", "tags", "FOR"]
leaves = st.one_of(
    st.builds(Compare, st.sampled_from(["price", "size"]), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.just(20.0)),
    st.builds(Compare, st.just("brand"), st.sampled_from(["==", "!="]), st.sampled_from(["Ari", "Bo", "Cy"])),
    st.builds(Compare, st.just("in_stock"), st.sampled_from(["==", "!="]), st.booleans()),
    st.builds(
        OneOf,
        st.sampled_from(["tags", "FOR"]),
        st.sampled_from(["in", "any", "all", "none"]),
        st.lists(st.sampled_from(["red", "new", "Running", "Hiking"]), min_size=1, max_size=3).map(tuple),
    ),
    st.builds(OneOf, st.just("size"), st.sampled_from(["in", "none", "all"]), st.just((40.0, 41.0))),
    st.builds(IsNull, st.sampled_from(NAMES)),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)
OPS: dict[str, Any] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def holds(tree: Filter, shoe: dict[str, Any]) -> bool:
    """The naive meaning of a tree, one item at a time."""
    if isinstance(tree, And):
        return all(holds(part, shoe) for part in tree.parts)
    if isinstance(tree, Or):
        return any(holds(part, shoe) for part in tree.parts)
    if isinstance(tree, Not):
        return not holds(tree.part, shoe)
    assert isinstance(tree, (Compare, OneOf, IsNull))
    value = shoe[tree.name]
    have = value if isinstance(value, list) else [] if value is None else [value]
    if isinstance(tree, IsNull):
        return not have
    if isinstance(tree, Compare):
        return bool(have) and OPS[tree.op](have[0], tree.value)
    found = [wanted in have for wanted in tree.values]
    return {"in": any(found), "any": any(found), "all": all(found), "none": not any(found)}[tree.quantifier]


@settings(max_examples=200, deadline=None)
@given(trees)
def test_any_tree_means_what_it_means_item_by_item(tree: Filter) -> None:
    mask, _ = FilterMasks(COLUMNS).mask(parse_filter(tree))
    assert mask.tolist() == [holds(tree, shoe) for shoe in SHOES]


def test_one_is_not_true_whatever_was_asked_before() -> None:
    masks = FilterMasks(COLUMNS)
    assert masks.mask(Compare("in_stock", "==", True))[0][0]
    with pytest.raises(ConfigError, match="true or false"):
        masks.mask(Compare("in_stock", "==", 1))
    with pytest.raises(ConfigError, match="finite number"):
        parse_filter(Field("size") < 10**400)
