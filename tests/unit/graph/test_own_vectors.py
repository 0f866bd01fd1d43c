"""Vectors that items bring along: centred, of length 1, and what is none is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.ablation import with_shuffled_vectors, without_vectors
from kgrecall.graph.own_vectors import own_vectors
from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.schema import GraphSchema
from kgrecall.store import open_store

COVER = [[1.0, 0.0, 2.0], None, [3.0, 4.0, 2.0], [5.0, 2.0, 5.0], [1.0, 0.0, 2.0]]
SCHEMA = GraphSchema.parse(
    {
        "nodes": {
            "User": {"role": "user", "properties": {"taste": "numbers"}},
            "Item": {
                "role": "item",
                "properties": {"cover": "numbers", "sizes": "numbers", "one": "numbers", "none": "numbers", "name": "text"},
            },
        },
        "edges": {"MET": {"role": "interaction", "source": "User", "target": "Item"}},
    }
)


@pytest.fixture
def snapshot() -> GraphSnapshot:
    store = open_store(":memory:")
    store.apply_schema(SCHEMA)
    lists = pa.list_(pa.float32())
    columns = {
        "cover": pa.array(COVER, lists),
        "sizes": pa.array([[1.0], [2.0, 3.0, 4.0], None, [], [5.0]], lists),
        "one": pa.array([[1.0]] * 5, lists),
        "name": pa.array(list("abcde")),
    }
    store.upsert_nodes("User", pa.array(["u"]), {"taste": pa.array([[1.0, 2.0]], lists)})
    store.upsert_nodes("Item", pa.array([f"i{k}" for k in range(5)]), columns)
    return take_snapshot(store, SCHEMA)


def cover(snapshot: GraphSnapshot) -> np.ndarray:
    return own_vectors(snapshot)[0]["cover"]


def test_what_items_share_is_taken_out_and_rows_have_length_1(snapshot: GraphSnapshot) -> None:
    given = np.array([row for row in COVER if row], np.float64)
    centred = given - given.mean(axis=0)
    found = cover(snapshot)
    assert found.dtype == np.float32
    assert found[[0, 2, 3, 4]] == pytest.approx(centred / np.linalg.norm(centred, axis=1, keepdims=True), abs=1e-6)
    assert not found[1].any()


def test_properties_that_hold_no_vectors_are_named(snapshot: GraphSnapshot) -> None:
    vectors, notes = own_vectors(snapshot)
    assert list(vectors) == ["cover"]
    assert notes == (
        "Nothing was learned from sizes: its lists are of 1 to 3 numbers, and vectors are equally long.",
        "Nothing was learned from one: its lists are of 1 number, and vectors are equally long.",
    )
    assert own_vectors(snapshot, ["cover"])[1] == ()
    assert own_vectors(snapshot, []) == ({}, ())


@pytest.mark.parametrize(("name", "hint"), [("cove", "Did you mean 'cover'"), ("name", "type numbers"), ("taste", "of items")])
def test_what_is_no_property_of_numbers_is_refused(snapshot: GraphSnapshot, name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        own_vectors(snapshot, [name])


@pytest.mark.parametrize("bad", [np.nan, np.inf, None])
def test_vectors_that_are_not_finite_count_as_missing(snapshot: GraphSnapshot, bad: float | None) -> None:
    table = snapshot.properties["Item"]
    place = table.column_names.index("cover")
    lists = [[1.0, bad, 0.0], *COVER[1:]]
    table = table.set_column(place, table.schema.field(place), pa.array(lists, pa.list_(pa.float32())))
    vectors, notes = own_vectors(replace(snapshot, properties={**snapshot.properties, "Item": table}), ["cover"])
    assert vectors["cover"].any(axis=1).tolist() == [False, False, True, True, True]
    assert notes == ("1 lists of cover hold NaN or infinity and count as missing.",)


def test_vectors_that_tell_no_two_items_apart_are_none(snapshot: GraphSnapshot) -> None:
    table = snapshot.properties["Item"].select(["cover"]).take([0, 1, 1, 1, 4])
    same = replace(snapshot, properties={**snapshot.properties, "Item": table})
    assert own_vectors(same, ["cover"]) == ({}, ())


def test_they_can_be_taken_away_and_dealt_out_anew(snapshot: GraphSnapshot) -> None:
    assert own_vectors(without_vectors(snapshot)) == ({}, ())
    assert without_vectors(snapshot).texts("Item") == snapshot.texts("Item")
    shuffled = with_shuffled_vectors(snapshot, 1)
    assert shuffled.texts("Item") == snapshot.texts("Item")
    before, after = cover(snapshot), cover(shuffled)
    assert np.sort(after, axis=0) == pytest.approx(np.sort(before, axis=0))
    assert not np.array_equal(before, after)
