from __future__ import annotations

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.columns import ItemColumns, NumberColumn, ValueColumn
from kgrecall.graph.snapshot import GraphSnapshot


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
