"""Imports of files that changed, that another import meets, or that lack what the mapping names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kgrecall.errors import SchemaError, StoreConflict, TooManyBadRows
from kgrecall.schema import GraphSchema
from kgrecall.sources.reader import read_tables
from kgrecall.sources.tables import Batch
from kgrecall.store.ingest import ingest
from kgrecall.store.sqlite import SqliteStore

_SCHEMA = """
format_version = 1
name = "shop"
[nodes.User]
role = "user"
[nodes.Item]
role = "item"
properties = { s = "string" }
[edges.VIEWED]
role = "interaction"
source = "User"
target = "Item"
"""
_FILES = """
[[files]]
path = "items.csv"
[[files.nodes]]
label = "Item"
id = "id"
properties = { s = "s" }
[[files]]
path = "updates.csv"
[[files.nodes]]
label = "Item"
id = "id"
properties = { s = "s" }
[[files]]
path = "users.csv"
[[files.nodes]]
label = "User"
id = "id"
[[files]]
path = "views.csv"
[[files.edges]]
type = "VIEWED"
source = "u"
target = "i"
"""


def _schema(text: str) -> GraphSchema:
    return GraphSchema.parse(tomllib.loads(text))


def _values(store: SqliteStore) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for batch in store.scan_nodes("Item", ["s"]):
        pairs.update(zip(batch["id"].to_pylist(), batch["s"].to_pylist(), strict=True))
    return pairs


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "items.csv").write_text("id,s\ni1,old\n")
    (tmp_path / "updates.csv").write_text("id,s\ni1,WRONG\ni2,new\n")
    (tmp_path / "users.csv").write_text("id\n" + "".join(f"u{i}\n" for i in range(5)))
    (tmp_path / "views.csv").write_text("u,i\n" + "".join(f"x{i},i1\n" for i in range(2_000)))
    return tmp_path


def test_files_that_were_mended_after_a_stop_are_read_from_the_start(tmp_path: Path) -> None:
    folder, schema, store = _folder(tmp_path), _schema(_SCHEMA + _FILES), SqliteStore(tmp_path / "s.sqlite")
    with pytest.raises(TooManyBadRows):
        ingest(read_tables(folder, schema), store, schema, write_rows=1)
    assert _values(store)["i1"] == "WRONG"
    (folder / "updates.csv").write_text("id,s\ni2,new\n")
    (folder / "views.csv").write_text("u,i\nu1,i1\n")
    ingest(read_tables(folder, schema), store, schema, write_rows=1)
    assert _values(store) == {"i1": "old", "i2": "new"}


def test_an_import_that_is_turned_away_changes_nothing(tmp_path: Path) -> None:
    folder, schema, store = _folder(tmp_path), _schema(_SCHEMA + _FILES), SqliteStore(tmp_path / "s.sqlite")
    (folder / "views.csv").write_text("u,i\nu1,i1\n")
    other = _schema(_SCHEMA.replace("Item", "Thing"))

    def batches() -> Iterator[Batch]:
        for batch in read_tables(folder, schema):
            with pytest.raises(StoreConflict, match="no other import into this store"):
                ingest([], SqliteStore(tmp_path / "s.sqlite"), other)
            yield batch

    ingest(batches(), store, schema)
    assert store.schema == schema
    assert _values(store) == {"i1": "WRONG", "i2": "new"}


def test_what_files_lack_is_told_by_a_first_import_too(tmp_path: Path) -> None:
    folder, schema, store = _folder(tmp_path), _schema(_SCHEMA + _FILES), SqliteStore(tmp_path / "s.sqlite")
    (folder / "views.csv").write_text("u,i\nu1,i1\n")
    (folder / "items.csv").write_text("id,S_typo\ni1,old\n")
    report = ingest(read_tables(folder, schema, drift="accept"), store, schema, drift="accept")
    assert any("items.csv" in sentence and "'s'" in sentence for sentence in report.drift)


@pytest.mark.parametrize("strength", ["inf", "nan", "-1.0", "0.0"])
def test_a_strength_is_a_finite_positive_number(strength: str) -> None:
    with pytest.raises(SchemaError, match="strength"):
        _schema(_SCHEMA + f"strength = {strength}\n")
