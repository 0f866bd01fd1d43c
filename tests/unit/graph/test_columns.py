from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.columns import ItemColumns, NumberColumn, ValueColumn
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.filtering.filters import parse_filter
from kgrecall.schema import GraphSchema


def test_properties_and_relations_have_columns(cinema: GraphSnapshot) -> None:
    columns = ItemColumns(cinema)
    label = cinema.schema.item_label
    kinds = cinema.schema.node(label).properties
    assert columns.num_items == len(cinema.items)
    assert set(columns.names) >= {"HAS_GENRE", "directed_by", "influenced", "made_in"}
    for name, kind in kinds.items():
        if kind == "numbers":
            continue
        column, stored = columns[name], cinema.properties[label].column(name).to_pylist()
        if isinstance(column, NumberColumn):
            np.testing.assert_array_equal(column.values, [np.nan if value is None else float(value) for value in stored])
        else:
            for value, code in column.codes.items():
                have = [
                    i for i, v in enumerate(stored) if v is not None and (v == value or (isinstance(v, list) and value in v))
                ]
                assert column.having(code).tolist() == have


def test_a_relation_is_found_by_the_id_or_the_title_of_its_nodes(cinema: GraphSnapshot) -> None:
    genre = ItemColumns(cinema)["HAS_GENRE"]
    assert isinstance(genre, ValueColumn)
    ids = cinema.vocabularies["Genre"].ids.to_pylist()
    assert [genre.having(genre.codes[node]).tolist() for node in ids] == [[2], [0, 1, 3]]
    for node, title in zip(ids, cinema.titles("Genre"), strict=True):
        assert title is None or genre.codes[title] == genre.codes[node]


def test_a_column_is_made_once(cinema: GraphSnapshot) -> None:
    columns = ItemColumns(cinema)
    assert columns["HAS_GENRE"] is columns["HAS_GENRE"]


def test_an_unknown_name_gets_the_nearest(cinema: GraphSnapshot) -> None:
    with pytest.raises(ConfigError, match=r"HAS_GENR'.*Did you mean 'HAS_GENRE'"):
        ItemColumns(cinema)["HAS_GENR"]


def shop(titles: list[str], **told: pa.Array) -> GraphSnapshot:
    """Three items, each with an actor of its own."""
    kinds = {name: "strings" if pa.types.is_list(values.type) else "integer" for name, values in told.items()}
    schema = GraphSchema.parse(
        {
            "nodes": {
                "User": {"role": "user"},
                "Item": {"role": "item", "properties": kinds},
                "Actor": {"title": "name", "properties": {"name": "string"}},
            },
            "edges": {
                "CHOSE": {"role": "interaction", "source": "User", "target": "Item"},
                "ACTS": {"source": "Item", "target": "Actor"},
            },
        }
    )
    pairs = {("Item", "ACTS", "Actor"): ([0, 1, 2], [0, 1, 2], 3), ("User", "CHOSE", "Item"): ([0], [0], 1)}
    relations = {
        kind: Adjacency.from_edges(
            kind, np.array(sources), np.array(targets), np.ones(len(sources), np.float32), None, num_sources=n, num_targets=3
        )
        for kind, (sources, targets, n) in pairs.items()
    }
    ids = {"User": ["u"], "Item": ["a", "b", "c"], "Actor": ["nm1", "nm2", "nm3"]}
    tables = {"User": pa.table({}), "Item": pa.table(told), "Actor": pa.table({"name": titles})}
    vocabularies = {label: Vocabulary(names) for label, names in ids.items()}
    return GraphSnapshot(schema, "1", vocabularies, relations, {key: key[1] for key in relations}, tables)


def test_a_title_stands_for_all_nodes_that_have_it_and_an_id_for_its_own_alone() -> None:
    masks = FilterMasks(ItemColumns(shop(["John Smith", "John Smith", "nm1"])))
    assert masks.mask(parse_filter("ACTS any ['John Smith']"))[0].tolist() == [True, True, False]
    assert masks.mask(parse_filter("ACTS none ['John Smith']"))[0].tolist() == [False, False, True]
    assert masks.mask(parse_filter("ACTS any ['nm1']"))[0].tolist() == [True, False, False]


def test_integers_beyond_what_a_float_holds_exactly_can_be_compared() -> None:
    masks = FilterMasks(ItemColumns(shop(["x", "y", "z"], ext=pa.array([2**60, 5, None], pa.int64()))))
    assert masks.mask(parse_filter("ext > 5"))[0].tolist() == [True, False, False]


def test_a_value_that_an_item_has_twice_counts_once() -> None:
    column = ItemColumns(shop(["x", "y", "z"], tags=pa.array([["a", "a"], ["b", "a"], None])))["tags"]
    assert isinstance(column, ValueColumn)
    assert column.having(column.codes["a"]).tolist() == [0, 1]
