from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import ConfigError, NotBuilt, SchemaError
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.scan import EdgeCounts
from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.schema import GraphSchema
from kgrecall.store.sqlite import SqliteStore

DAY = 86_400_000
Parts = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
Take = Callable[..., GraphSnapshot]


def facts(snapshot: GraphSnapshot, *edge_type: str) -> list[tuple[Any, ...]]:
    """The edges of a type with ids instead of positions."""
    source, relation, target = edge_type
    edges = snapshot.relation((source, relation, target))
    sources = snapshot.vocabularies[source].ids_at(edges.sources())
    targets = snapshot.vocabularies[target].ids_at(edges.indices)
    times = [None] * edges.num_edges if edges.time is None else edges.time.tolist()
    return list(zip(sources, targets, edges.weight.tolist(), times, strict=True))


def ends(snapshot: GraphSnapshot, *edge_type: str) -> list[tuple[str, str]]:
    return [fact[:2] for fact in facts(snapshot, *edge_type)]


def test_ids_are_sorted_and_joined_topics_are_gone(cinema: GraphSnapshot) -> None:
    found = {label: ids.ids.to_pylist() for label, ids in cinema.vocabularies.items()}
    assert found == {
        "User": ["ann", "bob", "cid"],
        "Movie": ["alien", "brazil", "casablanca", "dune"],
        "Genre": ["drama", "scifi"],
        "Topic": ["t.gilliam", "t.scott", "t.uk"],
    }
    assert cinema.users is cinema.vocabularies["User"]
    assert cinema.items is cinema.vocabularies["Movie"]
    assert cinema.num_nodes("Topic") == 3
    assert cinema.properties["Topic"].column("name").to_pylist() == ["Terry Gilliam", None, None]


def test_relations_are_split_turned_and_moved(cinema: GraphSnapshot) -> None:
    assert list(cinema.relations) == [
        ("Movie", "HAS_GENRE", "Genre"),
        ("Movie", "directed_by", "Topic"),
        ("Movie", "influenced", "Movie"),
        ("Movie", "made_in", "Topic"),
        ("Topic", "lives_in", "Topic"),
        ("User", "FOLLOWS", "User"),
        ("User", "RATED", "Movie"),
        ("User", "WATCHED", "Movie"),
    ]
    assert ends(cinema, "Movie", "directed_by", "Topic") == [("alien", "t.scott"), ("brazil", "t.gilliam")]
    assert ends(cinema, "Movie", "influenced", "Movie") == [("alien", "brazil")]
    assert ends(cinema, "Movie", "made_in", "Topic") == [("brazil", "t.uk")]
    assert ends(cinema, "Topic", "lives_in", "Topic") == [("t.gilliam", "t.uk")]


def test_every_edge_that_was_read_is_accounted_for(cinema: GraphSnapshot) -> None:
    assert cinema.counts["RELATED"] == EdgeCounts(read=6, kept=5, duplicate=1)
    assert cinema.counts["SAME_AS"] == EdgeCounts(read=2, kept=2)
    assert cinema.counts["WATCHED"] == EdgeCounts(read=2, kept=2)


def test_roles_follow_the_relation_of_the_store(cinema: GraphSnapshot) -> None:
    assert cinema.role(("Movie", "directed_by", "Topic")) == "knowledge"
    assert list(cinema.with_role("interaction")) == [("User", "RATED", "Movie"), ("User", "WATCHED", "Movie")]
    assert list(cinema.with_role("social")) == [("User", "FOLLOWS", "User")]


def test_interactions_merge_all_relations_with_strength_times_weight(cinema: GraphSnapshot) -> None:
    events = cinema.interactions()
    assert events.user_pos.tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert events.item_pos.tolist() == [0, 0, 0, 1, 1, 2, 3]
    assert events.weight.tolist() == [0.5, 5.0, 0.5, 3.0, 4.0, 2.0, 1.0]
    assert events.time is not None
    assert (events.time // DAY).tolist() == [1, 1, 2, 3, 2, 5, 4]
    assert (events.num_users, events.num_items) == (3, 4)
    dtypes = [events.user_pos.dtype, events.item_pos.dtype, events.weight.dtype, events.time.dtype]
    assert dtypes == [np.int64, np.int64, np.float32, np.int64]


def test_titles_and_texts(cinema: GraphSnapshot) -> None:
    assert cinema.titles("Movie") == ["Alien", "Brazil", None, None]
    assert cinema.titles("User") == [None, None, None]
    assert cinema.texts("Movie") == ["Alien\nIn space no one can hear you.", "Brazil", "A café owner meets his past.", ""]
    assert cinema.texts("Genre") == ["", ""]
    assert [cinema.text_of("Movie")(i) for i in range(4)] == cinema.texts("Movie")
    assert cinema.text_of("Genre")(1) == ""


def test_texts_tell_what_describes_a_node_too(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, _ = copy.deepcopy(cinema_parts)
    schema["nodes"]["Movie"]["properties"]["tags"] = "strings"
    schema["nodes"]["Movie"]["described_by"] = ["tags"]
    nodes["Movie"]["alien"]["tags"] = ["space", "horror"]
    nodes["Movie"]["dune"]["tags"] = ["sand"]
    texts = take(schema, nodes, {}).texts("Movie")
    assert texts[0] == "Alien\nIn space no one can hear you.\nspace, horror"
    assert texts[3] == "sand"


def test_unknown_names_are_answered_with_the_nearest(cinema: GraphSnapshot) -> None:
    for ask in (cinema.num_nodes, cinema.titles, cinema.texts):
        with pytest.raises(SchemaError, match="Did you mean 'Movie'"):
            ask("Movies")
    with pytest.raises(SchemaError, match="Did you mean 'Movie directed_by Topic'"):
        cinema.relation(("Movie", "directedby", "Topic"))


def test_the_fingerprint_depends_on_content_alone(take: Take, cinema: GraphSnapshot, cinema_parts: Parts) -> None:
    schema, nodes, edges = cinema_parts
    turned = {name: dict(reversed(found.items())) for name, found in reversed(nodes.items())}
    again = take(schema, turned, {name: list(reversed(found)) for name, found in edges.items()})
    assert again.fingerprint == cinema.fingerprint


@pytest.mark.parametrize("change", ["node", "property", "edge", "weight", "time"])
def test_the_fingerprint_sees_every_change(change: str, take: Take, cinema: GraphSnapshot, cinema_parts: Parts) -> None:
    schema, nodes, edges = copy.deepcopy(cinema_parts)
    if change == "node":
        nodes["Genre"]["noir"] = {}
    elif change == "property":
        nodes["Movie"]["dune"]["title"] = "Dune"
    elif change == "edge":
        edges["HAS_GENRE"].append(("dune", "drama", {}))
    elif change == "weight":
        edges["RATED"][0][2]["stars"] = 4.5
    else:
        edges["WATCHED"][0][2]["at"] += 1
    assert take(schema, nodes, edges).fingerprint != cinema.fingerprint


def test_weights_that_say_nothing_are_left_out_and_counted(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, _ = cinema_parts
    rated = [
        ("ann", "alien", {"stars": 0.0, "at": 1}),
        ("ann", "brazil", {"stars": -1.0, "at": 1}),
        ("ann", "dune", {"stars": None, "at": None}),
        ("bob", "dune", {"stars": 2.0, "at": 1}),
    ]
    snapshot = take(schema, nodes, {"RATED": rated})
    assert facts(snapshot, "User", "RATED", "Movie") == [("ann", "dune", 1.0, MISSING_TIME), ("bob", "dune", 2.0, 1)]
    assert snapshot.counts["RATED"] == EdgeCounts(read=4, kept=2, not_positive=2)


def test_strength_multiplies_the_weight(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, edges = copy.deepcopy(cinema_parts)
    schema["edges"]["RATED"]["strength"] = 2.0
    snapshot = take(schema, nodes, {"RATED": [*edges["RATED"], ("cid", "alien", {})]})
    weights = {fact[:2]: fact[2] for fact in facts(snapshot, "User", "RATED", "Movie")}
    assert weights["ann", "alien"] == 10.0
    assert weights["cid", "alien"] == 2.0, "no value counts as 1"


def test_a_relation_without_edges_keeps_its_place(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, _ = cinema_parts
    snapshot = take(schema, nodes, {})
    assert snapshot.relation(("User", "RATED", "Movie")).num_edges == 0
    assert snapshot.relation(("Movie", "HAS_GENRE", "Genre")).forward().shape == (4, 2)
    assert len(snapshot.interactions()) == 0
    assert not any(relation == "RELATED" for _, relation, _ in snapshot.relations)


def test_a_relation_name_of_the_data_cannot_pass_for_one_of_the_schema(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, _ = cinema_parts
    snapshot = take(schema, nodes, {"RELATED": [("t.uk", "t.scott", {"relation": "RATED"})]})
    assert ends(snapshot, "Topic", "RELATED.RATED", "Topic") == [("t.uk", "t.scott")]
    assert len(snapshot.interactions()) == 0


def test_edges_that_differ_in_a_hidden_key_property_are_all_kept(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, _ = copy.deepcopy(cinema_parts)
    schema["edges"]["WATCHED"] |= {"properties": {"at": "time", "device": "string"}, "key": ["at", "device"]}
    watched = [("ann", "dune", {"at": 5, "device": device}) for device in ("tv", "phone")]
    assert len(facts(take(schema, nodes, {"WATCHED": watched}), "User", "WATCHED", "Movie")) == 2


def test_the_latest_of_equal_facts_stays(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, _ = copy.deepcopy(cinema_parts)
    schema["edges"]["RELATED"] |= {"properties": {"relation": "string", "since": "time"}, "time": "since"}
    told = [
        ("t.alien", "t.scott", {"relation": "directed_by", "since": 3}),
        ("t.scott", "t.alien", {"relation": "directed", "since": 9}),
    ]
    snapshot = take(schema, nodes, {"SAME_AS": [], "RELATED": told})
    assert facts(snapshot, "Topic", "directed_by", "Topic") == [("t.alien", "t.scott", 1.0, 9)]
    schema["edges"]["RELATED"]["key"] = ["since"]
    assert len(facts(take(schema, nodes, {"RELATED": told}), "Topic", "directed_by", "Topic")) == 2


def test_an_empty_store_is_refused_by_name() -> None:
    schema = GraphSchema.parse({"nodes": {"User": {"role": "user"}, "Movie": {"role": "item"}}, "edges": {}})
    store = SqliteStore(":memory:")
    store.apply_schema(schema)
    with pytest.raises(NotBuilt, match="nodes of Movie, got none"):
        take_snapshot(store, schema)


def test_progress_reaches_the_total_of_every_stage(take: Take, cinema_parts: Parts) -> None:
    seen: dict[str, tuple[int, int | None]] = {}
    take(*cinema_parts, progress=lambda stage, done, total: seen.update({stage: (done, total)}))
    assert seen["nodes Movie"] == (4, 4)
    assert seen["edges RELATED"] == (6, 6)
    assert len(seen) == 10


def test_with_all_interactions_nothing_but_the_future_of_others_is_cut(cinema: GraphSnapshot) -> None:
    same = cinema.with_interactions(cinema.interactions())
    for edge_type, edges in cinema.relations.items():
        left = same.relations[edge_type].num_edges
        assert left == edges.num_edges - (edge_type[1] == "FOLLOWS"), "bob follows cid after the last event"


def test_an_event_that_is_not_in_the_graph_is_refused(cinema: GraphSnapshot) -> None:
    events = cinema.interactions()
    events.weight[2] = 7.0
    with pytest.raises(ConfigError, match="got 1 of 7 that are not"):
        cinema.with_interactions(events)
    with pytest.raises(ConfigError, match="got 1 of 2"):
        cinema.with_interactions(cinema.interactions().take(np.array([0, 0])))
    other = dataclasses.replace(cinema.interactions(), num_items=5)
    with pytest.raises(ConfigError, match=r"3 users and 4 items, got \(3, 5\)"):
        cinema.with_interactions(other)


def test_a_graph_without_interaction_relations_has_no_events(take: Take, cinema_parts: Parts) -> None:
    schema, nodes, edges = copy.deepcopy(cinema_parts)
    for name in ("RATED", "WATCHED"):
        del schema["edges"][name], edges[name]
    snapshot = take(schema, nodes, edges)
    events = snapshot.interactions()
    assert len(events) == 0
    assert events.time is None
    assert snapshot.with_interactions(events).fingerprint == snapshot.fingerprint


def test_what_is_written_while_the_snapshot_is_taken_is_left_to_the_next(cinema_parts: Parts, tmp_path: Path) -> None:
    schema = GraphSchema.parse(cinema_parts[0])
    reader, writer = SqliteStore(tmp_path / "graph.sqlite"), SqliteStore(tmp_path / "graph.sqlite")
    reader.apply_schema(schema)
    reader.upsert_nodes("Movie", pa.array(["alien"]), {})
    reader.upsert_nodes("Genre", pa.array(["scifi"]), {})

    def write(stage: str, done: int, total: int | None) -> None:
        if stage == "nodes Genre":
            writer.upsert_nodes("Genre", pa.array(["noir"]), {})
            writer.upsert_edges("HAS_GENRE", pa.array(["alien"]), pa.array(["noir"]), {})

    before = reader.version()
    snapshot = take_snapshot(reader, schema, progress=write)
    assert snapshot.version == before != reader.version()
    assert snapshot.vocabularies["Genre"].ids.to_pylist() == ["scifi"]
    assert snapshot.counts["HAS_GENRE"] == EdgeCounts(read=1, dangling=1)
    missed = list(reader.scan_edges("HAS_GENRE", [], since=snapshot.version))
    assert [batch.column("target").to_pylist() for batch in missed] == [["noir"]]
    reader.close()
    writer.close()
