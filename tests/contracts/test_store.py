"""What every graph store owes: the same questions to each, and the same values back."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import ConfigError, ConstraintViolated, NotBuilt, SchemaError, ShapeError, Unsupported
from kgrecall.schema import GraphSchema
from kgrecall.sources.tables import ARROW_TYPES
from kgrecall.store.base import GraphStore, Ragged, WriteStats

ODD_IDS = [
    "",
    " ",
    "0",
    "00",
    "007",
    "a/b",
    "é",
    "e\u0301",
    "шкаф",
    "שלום",
    "🎬",
    "a\nb",
    "a'b\"c`d",
    "NULL",
    "nul\x00byte",
    "z" * 300,
]


def ids(*values: str) -> pa.StringArray:
    return pa.array(values, pa.string())


def integers(*values: int | None) -> pa.Int64Array:
    return pa.array(values, pa.int64())


def numbers(*values: float | None) -> pa.DoubleArray:
    return pa.array(values, pa.float64())


def rows(batches: Any) -> list[tuple[Any, ...]]:
    """All rows of a scan."""
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


def edges(store: GraphStore, edge_type: str, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(rows(store.scan_edges(edge_type, columns)), key=repr)


def hits(ragged: Ragged) -> list[list[str]]:
    return [ragged.at(i) for i in range(len(ragged))]


def numbers_of(stats: WriteStats) -> tuple[int, int, list[int], list[int]]:
    return stats.written, stats.unchanged, stats.missing_source.tolist(), stats.missing_target.tolist()


@pytest.fixture
def shop(store: GraphStore) -> GraphStore:
    """Three users, four items, two of which u1 viewed: i1 twice."""
    store.upsert_nodes("User", ids("u1", "u2", "u3"), {})
    store.upsert_nodes("Item", ids("i1", "i2", "i3", "i4"), {})
    store.upsert_edges(
        "VIEWED",
        ids("u1", "u1", "u1", "u2"),
        ids("i2", "i1", "i1", "i1"),
        {"time": integers(30, 10, 20, 15), "weight": numbers(1.0, 2.0, 3.0, None)},
    )
    return store


class TestSchema:
    def test_there_is_none_before_it_is_applied(self, fresh_store: GraphStore) -> None:
        with pytest.raises(NotBuilt):
            fresh_store.schema  # noqa: B018

    def test_it_is_kept(self, store: GraphStore, schema: GraphSchema) -> None:
        assert store.schema == schema

    def test_applying_it_again_is_no_write(self, shop: GraphStore, schema: GraphSchema) -> None:
        shop.apply_schema(schema)
        before = shop.version()
        shop.apply_schema(schema)
        assert shop.version() == before
        assert shop.count_edges("VIEWED") == 4

    def test_a_later_one_may_add(self, shop: GraphStore, schema: GraphSchema) -> None:
        data = schema.model_dump()
        data["nodes"]["Brand"] = {"properties": {"name": "string"}}
        data["nodes"]["User"]["properties"]["country"] = "string"
        data["edges"]["VIEWED"]["properties"]["place"] = "string"
        data["edges"]["MADE_BY"] = {"source": "Item", "target": "Brand"}
        shop.apply_schema(GraphSchema.parse(data))
        shop.upsert_nodes("Brand", ids("b1"), {"name": ids("Acme")})
        assert numbers_of(shop.upsert_edges("MADE_BY", ids("i1"), ids("b1"), {})) == (1, 0, [], [])
        assert rows(shop.scan_nodes("User", ["country"])) == [("u1", None), ("u2", None), ("u3", None)]
        assert edges(shop, "VIEWED", "place", "time")[0] == ("u1", "i1", None, 10)

    @pytest.mark.parametrize(
        ("label", "properties", "hint"),
        [("Userr", {}, "'User'"), ("User", {"aeg": integers(1)}, "'age'"), ("User", {"title": ids("x")}, "age")],
    )
    def test_unknown_names_are_refused_with_the_nearest(
        self, store: GraphStore, label: str, properties: dict[str, pa.Array], hint: str
    ) -> None:
        with pytest.raises(SchemaError, match=re.escape(hint)):
            store.upsert_nodes(label, ids("u1"), properties)

    def test_unknown_names_are_refused_when_reading(self, store: GraphStore) -> None:
        for call in (
            lambda: store.scan_nodes("Usr", []),
            lambda: store.scan_nodes("User", ["agee"]),
            lambda: store.scan_edges("VIEWD", []),
            lambda: store.scan_edges("VIEWED", ["wieght"]),
            lambda: store.neighbors("VIEWD", ids("u1")),
            lambda: store.count_nodes("Usr"),
            lambda: store.count_edges("VIEWD"),
            lambda: store.delete_nodes("Usr", ids("u1")),
            lambda: store.delete_edges("VIEWD", ids("u1"), ids("i1")),
        ):
            with pytest.raises(SchemaError, match="Did you mean"):
                list(call() or ())  # type: ignore[call-overload]


class TestNodes:
    def test_written_then_unchanged_then_changed(self, store: GraphStore) -> None:
        keys = ids("u2", "u1", "u3")
        assert numbers_of(store.upsert_nodes("User", keys, {"age": integers(20, 10, None)})) == (3, 0, [], [])
        assert numbers_of(store.upsert_nodes("User", keys, {"age": integers(20, 10, None)})) == (0, 3, [], [])
        assert numbers_of(store.upsert_nodes("User", keys, {"age": integers(21, 10, None)})) == (1, 2, [], [])
        assert rows(store.scan_nodes("User", ["age"])) == [("u1", 10), ("u2", 21), ("u3", None)]
        assert store.count_nodes("User") == 3

    def test_the_last_of_equal_keys_wins(self, store: GraphStore) -> None:
        stats = store.upsert_nodes("User", ids("u1", "u2", "u1"), {"age": integers(1, 2, 3)})
        assert numbers_of(stats) == (2, 1, [], [])
        assert rows(store.scan_nodes("User", ["age"])) == [("u1", 3), ("u2", 2)]

    def test_absent_columns_stay_and_nulls_clear(self, store: GraphStore) -> None:
        store.upsert_nodes("Item", ids("i1", "i2"), {"title": ids("A", "B"), "year": integers(1990, 1991)})
        store.upsert_nodes("Item", ids("i1", "i2"), {"year": integers(None, 2000)})
        assert numbers_of(store.upsert_nodes("Item", ids("i2", "i3"), {})) == (1, 1, [], [])
        assert rows(store.scan_nodes("Item", ["title", "year"])) == [("i1", "A", None), ("i2", "B", 2000), ("i3", None, None)]

    def test_every_type_comes_back_as_it_went_in(self, store: GraphStore) -> None:
        columns: dict[str, list[Any]] = {
            "title": ["Alien", "", "Ünï🎬\x00", None],
            "year": [-(2**63), 2**63 - 1, 0, None],
            "price": [0.1, -1e308, 5e-324, None],
            "sold": [True, False, True, None],
            "released": [-5, 0, 1_700_000_000_123, None],
            "picture": ["a/b.png", "", "c", None],
            "colour": ["007", "1e3", "null", None],
            "genres": [["a", "b|c", ""], [], ["é", '"x"'], None],
            "vector": [[0.5, -1.25, 3.0], [], [1e-30], None],
        }
        kinds = store.schema.node("Item").properties
        arrays = {name: pa.array(values, ARROW_TYPES[kinds[name]]) for name, values in columns.items()}
        keys = ids("a", "b", "c", "d")
        assert store.upsert_nodes("Item", keys, arrays).written == 4
        assert store.upsert_nodes("Item", keys, arrays).unchanged == 4
        table = pa.Table.from_batches(store.scan_nodes("Item", list(columns)))
        assert table.schema.types == [pa.string(), *(array.type for array in arrays.values())]
        for name, array in arrays.items():
            assert table[name].combine_chunks().to_pylist() == array.to_pylist(), name

    def test_nan_is_a_null(self, store: GraphStore) -> None:
        store.upsert_nodes("Item", ids("i1"), {"price": numbers(float("nan"))})
        assert rows(store.scan_nodes("Item", ["price"])) == [("i1", None)]
        assert store.upsert_nodes("Item", ids("i1"), {"price": numbers(float("nan"))}).unchanged == 1

    def test_ids_are_kept_to_the_byte_and_sorted_by_bytes(self, store: GraphStore) -> None:
        assert store.upsert_nodes("Tag", ids(*ODD_IDS), {}).written == len(ODD_IDS)
        expected = sorted(ODD_IDS, key=lambda i: i.encode())
        assert [row[0] for row in rows(store.scan_nodes("Tag", []))] == expected

    def test_labels_are_separate_id_spaces(self, store: GraphStore) -> None:
        store.upsert_nodes("User", ids("x"), {})
        store.upsert_nodes("Item", ids("x"), {})
        assert store.delete_nodes("User", ids("x")) == 1
        assert store.count_nodes("Item") == 1

    def test_an_empty_batch_is_no_write(self, store: GraphStore) -> None:
        before = store.version()
        assert numbers_of(store.upsert_nodes("User", ids(), {"age": integers()})) == (0, 0, [], [])
        assert store.version() == before

    def test_wrong_arrays_are_refused_and_nothing_is_written(self, store: GraphStore) -> None:
        with pytest.raises(ShapeError):
            store.upsert_nodes("User", ids("u1", "u2"), {"age": integers(1)})
        with pytest.raises(ShapeError):
            store.upsert_nodes("User", ids("u1"), {"age": ids("1")})
        with pytest.raises(ShapeError):
            store.upsert_nodes("User", integers(1), {})
        with pytest.raises(ConstraintViolated):
            store.upsert_nodes("User", pa.array(["u1", None], pa.string()), {})
        assert store.count_nodes("User") == 0


class TestEdges:
    def test_written_then_unchanged_then_changed(self, shop: GraphStore) -> None:
        stats = shop.upsert_edges(
            "VIEWED",
            ids("u1", "u1", "u3"),
            ids("i1", "i1", "i4"),
            {"time": integers(10, 20, 5), "weight": numbers(2.0, 9.0, 1.0)},
        )
        assert numbers_of(stats) == (2, 1, [], [])
        assert edges(shop, "VIEWED", "time", "weight") == [
            ("u1", "i1", 10, 2.0),
            ("u1", "i1", 20, 9.0),
            ("u1", "i2", 30, 1.0),
            ("u2", "i1", 15, None),
            ("u3", "i4", 5, 1.0),
        ]
        assert shop.count_edges("VIEWED") == 5

    def test_missing_ends_are_named_and_the_rest_is_written(self, shop: GraphStore) -> None:
        stats = shop.upsert_edges("TAGGED", ids("i1", "nope", "i2", "nope", "i1"), ids("t1", "t1", "t9", "t9", "t1"), {})
        assert numbers_of(stats) == (0, 0, [1, 3], [0, 1, 2, 3, 4])
        shop.upsert_nodes("Tag", ids("t1"), {})
        stats = shop.upsert_edges("TAGGED", ids("i1", "nope", "i2", "nope", "i1"), ids("t1", "t1", "t9", "t9", "t1"), {})
        assert numbers_of(stats) == (1, 1, [1, 3], [2, 3])
        assert stats.missing.tolist() == [1, 2, 3]
        assert edges(shop, "TAGGED") == [("i1", "t1")]

    def test_the_last_of_equal_keys_wins(self, shop: GraphStore) -> None:
        stats = shop.upsert_edges("FOLLOWS", ids("u1", "u2", "u1"), ids("u2", "u2", "u2"), {"since": integers(1, 2, 3)})
        assert numbers_of(stats) == (2, 1, [], [])
        assert edges(shop, "FOLLOWS", "since") == [("u1", "u2", 3), ("u2", "u2", 2)]

    def test_a_later_event_wins_in_whatever_order(self, shop: GraphStore) -> None:
        def rate(stars: list[float], times: list[int | None]) -> tuple[int, int, list[int], list[int]]:
            n = len(stars)
            columns = {"stars": numbers(*stars), "time": integers(*times)}
            return numbers_of(shop.upsert_edges("RATED", ids(*["u1"] * n), ids(*["i1"] * n), columns))

        assert rate([1.0], [None]) == (1, 0, [], [])
        assert rate([3.0, 5.0, 4.0, 2.0], [30, 50, 40, None]) == (1, 3, [], [])
        assert edges(shop, "RATED", "stars", "time") == [("u1", "i1", 5.0, 50)]
        assert rate([1.0], [49]) == (0, 1, [], [])
        assert rate([1.0], [None]) == (0, 1, [], [])
        assert rate([2.0], [50]) == (1, 0, [], [])
        assert edges(shop, "RATED", "stars", "time") == [("u1", "i1", 2.0, 50)]

    def test_without_its_time_a_record_changes_what_it_names(self, shop: GraphStore) -> None:
        shop.upsert_edges("RATED", ids("u1"), ids("i1"), {"stars": numbers(5.0), "time": integers(50)})
        assert shop.upsert_edges("RATED", ids("u1"), ids("i1"), {"stars": numbers(1.0)}).written == 1
        assert edges(shop, "RATED", "stars", "time") == [("u1", "i1", 1.0, 50)]

    def test_the_relation_of_a_triple_belongs_to_its_key(self, store: GraphStore) -> None:
        store.upsert_nodes("Entity", ids("a", "b"), {})
        pairs = ids("a", "a", "a"), ids("b", "b", "b")
        stats = store.upsert_edges("FACT", *pairs, {"relation": ids("r1", "r2", "r1"), "certainty": numbers(0.1, 0.2, 0.3)})
        assert numbers_of(stats) == (2, 1, [], [])
        assert edges(store, "FACT", "relation", "certainty") == [("a", "b", "r1", 0.3), ("a", "b", "r2", 0.2)]

    def test_a_key_property_must_be_there(self, shop: GraphStore) -> None:
        before = shop.version()
        with pytest.raises(ConstraintViolated):
            shop.upsert_edges("VIEWED", ids("u1"), ids("i1"), {"weight": numbers(1.0)})
        with pytest.raises(ConstraintViolated):
            shop.upsert_edges("VIEWED", ids("u1", "u1"), ids("i3", "i1"), {"time": integers(1, None)})
        assert shop.version() == before

    def test_unequal_ends_are_refused(self, shop: GraphStore) -> None:
        with pytest.raises(ShapeError):
            shop.upsert_edges("TAGGED", ids("i1", "i2"), ids("t1"), {})

    def test_a_scan_of_no_columns_gives_the_ends(self, shop: GraphStore) -> None:
        table = pa.Table.from_batches(shop.scan_edges("VIEWED", []))
        assert table.column_names == ["source", "target"]
        assert table.num_rows == 4

    def test_odd_ids_meet(self, store: GraphStore) -> None:
        store.upsert_nodes("Entity", ids(*ODD_IDS), {})
        n = len(ODD_IDS)
        targets = [*ODD_IDS[1:], ODD_IDS[0]]
        stats = store.upsert_edges("FACT", ids(*ODD_IDS), ids(*targets), {"relation": ids(*["r"] * n)})
        assert numbers_of(stats) == (n, 0, [], [])
        assert set(edges(store, "FACT")) == set(zip(ODD_IDS, targets, strict=True))

    def test_many_rows_pass_the_borders_of_batches(self, store: GraphStore) -> None:
        n = 3_000
        store.upsert_nodes("User", ids(*(f"u{i}" for i in range(n))), {"age": pa.array(np.arange(n))})
        store.upsert_nodes("Item", ids("i"), {})
        users = [f"u{i}" for i in range(n)]
        stats = store.upsert_edges(
            "VIEWED", ids(*users), ids(*["i"] * n), {"time": pa.array(np.arange(n)), "weight": pa.array(np.arange(n) / 2)}
        )
        assert stats.written == n
        expected = sorted((u, "i", i, i / 2) for i, u in enumerate(users))
        assert sorted(rows(store.scan_edges("VIEWED", ["time", "weight"]))) == expected


class TestVersion:
    def test_it_changes_with_writes_and_only_then(self, fresh_store: GraphStore, schema: GraphSchema) -> None:
        seen = [fresh_store.version()]

        def changed() -> bool:
            seen.append(fresh_store.version())
            return seen[-1] not in seen[:-1]

        fresh_store.apply_schema(schema)
        seen.append(fresh_store.version())
        assert not changed()
        fresh_store.upsert_nodes("User", ids("u1", "u2"), {"age": integers(1, 2)})
        assert changed()
        fresh_store.upsert_nodes("User", ids("u1", "u2"), {"age": integers(1, 2)})
        assert not changed()
        fresh_store.upsert_edges("FOLLOWS", ids("u1"), ids("u2"), {"since": integers(1)})
        assert changed()
        fresh_store.upsert_edges("FOLLOWS", ids("u1"), ids("u2"), {"since": integers(1)})
        fresh_store.upsert_edges("FOLLOWS", ids("u1"), ids("u9"), {})
        fresh_store.delete_edges("FOLLOWS", ids("u2"), ids("u1"))
        fresh_store.delete_nodes("User", ids("u9"))
        assert not changed()
        fresh_store.delete_edges("FOLLOWS", ids("u1"), ids("u2"))
        assert changed()
        fresh_store.delete_nodes("User", ids("u1"))
        assert changed()

    def test_since_gives_what_came_later(self, shop: GraphStore) -> None:
        before = shop.version()
        assert rows(shop.scan_edges("VIEWED", [], since=before)) == []
        shop.upsert_edges("VIEWED", ids("u1", "u3"), ids("i1", "i3"), {"time": integers(10, 1), "weight": numbers(2.0, 1.0)})
        between = shop.version()
        shop.upsert_edges("VIEWED", ids("u1"), ids("i1"), {"time": integers(20), "weight": numbers(7.0)})
        later = [("u1", "i1", 7.0)]
        assert rows(shop.scan_edges("VIEWED", ["weight"], since=between)) == later
        assert sorted(rows(shop.scan_edges("VIEWED", ["weight"], since=before))) == [*later, ("u3", "i3", 1.0)]

    def test_since_must_be_a_version_of_this_store(self, shop: GraphStore) -> None:
        for foreign in ("", "yesterday", "0123456789ab-1"):
            with pytest.raises(ConfigError):
                list(shop.scan_edges("VIEWED", [], since=foreign))


class TestDeletes:
    def test_nodes_take_their_edges_with_them(self, shop: GraphStore) -> None:
        shop.upsert_nodes("Tag", ids("t1"), {})
        shop.upsert_edges("TAGGED", ids("i1", "i2"), ids("t1", "t1"), {})
        assert shop.delete_nodes("Item", ids("i1", "i9", "i1")) == 1
        assert edges(shop, "VIEWED") == [("u1", "i2")]
        assert edges(shop, "TAGGED") == [("i2", "t1")]
        assert [row[0] for row in rows(shop.scan_nodes("Item", []))] == ["i2", "i3", "i4"]

    def test_a_loop_goes_too(self, store: GraphStore) -> None:
        store.upsert_nodes("User", ids("u1", "u2"), {})
        store.upsert_edges("FOLLOWS", ids("u1", "u1", "u2"), ids("u1", "u2", "u1"), {})
        assert store.delete_nodes("User", ids("u1")) == 1
        assert store.count_edges("FOLLOWS") == 0

    def test_all_edges_of_a_pair_go(self, shop: GraphStore) -> None:
        assert shop.delete_edges("VIEWED", ids("u1", "u2", "u9", "u1"), ids("i1", "i2", "i1", "i1")) == 2
        assert edges(shop, "VIEWED", "time") == [("u1", "i2", 30), ("u2", "i1", 15)]

    def test_a_node_that_returns_is_new(self, shop: GraphStore) -> None:
        shop.delete_nodes("User", ids("u1"))
        shop.upsert_nodes("User", ids("u1"), {})
        assert hits(shop.neighbors("VIEWED", ids("u1"))) == [[]]
        assert shop.upsert_edges("VIEWED", ids("u1"), ids("i1"), {"time": integers(1)}).written == 1
        assert edges(shop, "VIEWED", "time") == [("u1", "i1", 1), ("u2", "i1", 15)]


class TestNeighbors:
    def test_out(self, shop: GraphStore) -> None:
        found = shop.neighbors("VIEWED", ids("u2", "nobody", "u1", "u3", "u1"))
        assert hits(found) == [["i1"], [], ["i1", "i1", "i2"], [], ["i1", "i1", "i2"]]
        assert found.indptr.tolist() == [0, 1, 1, 4, 4, 7]
        assert found.columns["time"].to_pylist() == [15, 10, 20, 30, 10, 20, 30]
        assert found.columns["weight"].to_pylist() == [None, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
        assert set(found.columns) == {"time", "weight", "device"}
        assert [found.columns[c].type for c in ("time", "weight", "device")] == [pa.int64(), pa.float64(), pa.string()]

    def test_in(self, shop: GraphStore) -> None:
        found = shop.neighbors("VIEWED", ids("i1", "i4", "u1"), direction="in")
        assert hits(found) == [["u1", "u1", "u2"], [], []]
        assert found.columns["time"].to_pylist() == [10, 20, 15]

    def test_both_meets_a_loop_once(self, store: GraphStore) -> None:
        store.upsert_nodes("User", ids("a", "b", "c"), {})
        store.upsert_edges("FOLLOWS", ids("a", "b", "c", "a"), ids("b", "a", "a", "a"), {"since": integers(1, 2, 3, 4)})
        found = store.neighbors("FOLLOWS", ids("a", "c"), direction="both")
        assert hits(found) == [["a", "b", "b", "c"], ["a"]]
        assert sorted(found.columns["since"].to_pylist()[:4]) == [1, 2, 3, 4]

    def test_newest_first(self, shop: GraphStore) -> None:
        found = shop.neighbors("VIEWED", ids("u1", "u2"), newest_first=True)
        assert hits(found) == [["i2", "i1", "i1"], ["i1"]]
        assert found.columns["time"].to_pylist() == [30, 20, 10, 15]

    def test_unknown_times_are_the_oldest(self, shop: GraphStore) -> None:
        times = integers(None, 7, 7)
        shop.upsert_edges("RATED", ids("u1", "u1", "u1"), ids("i1", "i3", "i2"), {"time": times})
        assert hits(shop.neighbors("RATED", ids("u1"), newest_first=True)) == [["i2", "i3", "i1"]]

    def test_a_limit_is_per_key(self, shop: GraphStore) -> None:
        assert hits(shop.neighbors("VIEWED", ids("u1", "u2"), limit=2)) == [["i1", "i1"], ["i1"]]
        assert hits(shop.neighbors("VIEWED", ids("u1", "u2"), limit=1, newest_first=True)) == [["i2"], ["i1"]]

    def test_it_reads_its_own_writes(self, shop: GraphStore) -> None:
        assert hits(shop.neighbors("VIEWED", ids("u3"))) == [[]]
        shop.upsert_edges("VIEWED", ids("u3"), ids("i4"), {"time": integers(1)})
        assert hits(shop.neighbors("VIEWED", ids("u3"))) == [["i4"]]
        assert hits(shop.neighbors("VIEWED", ids("i4"), direction="in")) == [["u3"]]

    def test_no_keys_no_neighbours(self, shop: GraphStore) -> None:
        found = shop.neighbors("VIEWED", ids())
        assert len(found) == 0
        assert len(found.keys) == 0

    def test_what_cannot_be_asked(self, shop: GraphStore) -> None:
        with pytest.raises(Unsupported):
            shop.neighbors("TAGGED", ids("i1"), newest_first=True)
        with pytest.raises(Unsupported):
            shop.neighbors("VIEWED", ids("u1"), direction="both")
        with pytest.raises(ConfigError):
            shop.neighbors("VIEWED", ids("u1"), limit=0)
        with pytest.raises(ConfigError):
            shop.neighbors("VIEWED", ids("u1"), direction="sideways")  # type: ignore[arg-type]


def test_it_is_a_graph_store(store: GraphStore) -> None:
    assert isinstance(store, GraphStore)
    assert isinstance(store.capabilities, frozenset)


def test_a_scan_is_not_disturbed_by_writes(shop: GraphStore) -> None:
    seen = []
    for batch in shop.scan_edges("VIEWED", ["time"]):
        shop.delete_nodes("User", ids("u1", "u2"))
        seen += batch.to_pylist()
    assert len(seen) == 4
    assert shop.count_edges("VIEWED") == 0


def test_closing_twice_is_harmless(fresh_store: GraphStore) -> None:
    fresh_store.close()
    fresh_store.close()
