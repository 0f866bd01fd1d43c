"""What ``inspect`` proposes is imported unchanged: nothing lost, nothing quarantined that is sound."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from kgrecall.sources.datasets import fetch
from kgrecall.sources.inspect import Proposal, propose_mapping
from kgrecall.sources.reader import read_tables
from kgrecall.store.base import GraphStore
from kgrecall.store.ingest import ingest
from kgrecall.store.report import ImportReport
from kgrecall.store.sqlite import SqliteStore


def imported(folder: Path) -> tuple[Proposal, GraphStore, ImportReport]:
    proposal = propose_mapping(folder)
    store = SqliteStore(":memory:")
    report = ingest(read_tables(proposal.folder, proposal.schema), store, proposal.schema)
    assert report.total.balanced
    return proposal, store, report


@pytest.mark.parametrize(
    ("name", "edges"),
    [
        ("ml-latest-small", {"RATED": 100_836, "HAS_GENRE": 22_084, "TAGGED": 3_423, "HAS_TAG": 3_579}),
        ("lightkg-lastfm", {"RATED": 21_173, "RELATED": 15_518, "SAME_AS": 3_846}),
        ("amazon-beauty-2014-5core", {"INTERACTED": 198_502}),
        ("hetrec-lastfm-multimodal", {"INTERACTED": 92_834, "FRIEND_OF": 25_434, "HAS_TEXT": 109_750}),
        ("lightgcn-gowalla", {"INTERACTED": 1_027_370}),
    ],
)
def test_a_real_set(name: str, edges: dict[str, int]) -> None:
    folder = Path(os.environ.get("KGRECALL_BENCH_DATA", "")) / name
    if not os.environ.get("KGRECALL_BENCH_DATA") or not folder.is_dir():
        pytest.skip("KGRECALL_BENCH_DATA holds no such set")
    _, store, report = imported(folder)
    assert report.total.quarantined == 0
    assert {relation: store.count_edges(relation) for relation in edges} == edges
    store.close()


def test_movielens_100k() -> None:
    _, store, report = imported(fetch("movielens-100k").folder)
    assert report.total.quarantined == 0
    counts = {"RATED": 100_000, "RELATED": 91_631, "SAME_AS": 1_598, "HAS_OCCUPATION": 943}
    assert {relation: store.count_edges(relation) for relation in counts} == counts
    store.close()


def events(first: int, rows: int = 300) -> list[dict[str, object]]:
    """A log with context columns, two kinds of events and milliseconds."""
    return [
        {
            "user_id": f"u{k % 23:03d}",
            "item_id": f"{k * 7 % 31:05d}",
            "event": ("view", "cart", "view")[k % 3],
            "ts": 1_710_000_000_000 + 61_007 * k,
            "device": ("phone", "desktop")[k % 2],
            "place": ("Köln", "Łódź", "東京")[k % 3],
        }
        for k in range(first, first + rows)
    ]


def test_a_dirty_export_of_many_formats(tmp_path: Path) -> None:
    """Parts (gzip, zstd, BOM and CRLF), Arrow, JSON lines, Parquet, a social graph, triples and their link file."""
    for part, pack in enumerate((lambda data: data, gzip.compress, lambda data: pa.compress(data, codec="zstd", asbytes=True))):
        text = pl.DataFrame(events(300 * part)).write_csv(separator=";", line_terminator="\r\n")
        (tmp_path / f"events-2024-{part + 1:02d}.csv").write_bytes(pack(text.encode("utf-8-sig")))
    items = {
        "item_id": [f"{k:05d}" for k in range(31)],
        "title": [f'The "{k}" inch,\nfine thing' for k in range(31)],
        "categories": [["a", "b"][: k % 3] for k in range(31)],
        "price": [k + 0.5 for k in range(31)],
    }
    with pa.ipc.new_stream(str(tmp_path / "items.arrows"), (table := pa.table(items)).schema) as writer:
        writer.write_table(table)
    users = [{"user_id": f"u{k:03d}", "country": ["DE", "FR", "PL"][k % 3], "born": None if k % 5 else 1980} for k in range(23)]
    (tmp_path / "users.jsonl").write_text("\n".join(map(json.dumps, users)) + "\n")
    friends = {"user_id": [f"u{k:03d}" for k in range(22)], "friend_id": [f"u{k + 1:03d}" for k in range(22)]}
    pl.DataFrame(friends).write_parquet(tmp_path / "friends.parquet")
    triples = "".join(f"e{k}\tmade_by\tm{k % 4}\n" for k in range(31))
    (tmp_path / "triples.tsv").write_text("head\trelation\ttail\n" + triples)
    (tmp_path / "links.csv").write_text("item_id,entity_id\n" + "".join(f"{k:05d},e{k}\n" for k in range(31)))

    proposal, store, report = imported(tmp_path)
    schema = proposal.schema
    assert report.reasons == {}
    (event,) = [file for file in schema.files if file.path.startswith("events")]
    assert event.path == "events-*.csv"
    (name,) = {edge.type for edge in event.edges if schema.edges[edge.type].role == "interaction"}
    spec = schema.edges[name]
    assert spec.time == "ts"
    assert {"device", "place", "event"} <= set(spec.properties)
    assert spec.context == ("device", "place")
    assert store.count_edges(name) == 900
    assert schema.nodes["Item"].properties["categories"] == "strings"
    assert {relation: store.count_edges(relation) for relation in ("FRIEND_OF", "RELATED", "SAME_AS")} == {
        "FRIEND_OF": 22, "RELATED": 31, "SAME_AS": 31,
    }  # fmt: skip
    places = {place for batch in store.scan_edges(name, ["place"]) for place in batch["place"].to_pylist()}
    assert places == {"Köln", "Łódź", "東京"}
    titles = [title for batch in store.scan_nodes("Item", ["title"]) for title in batch["title"].to_pylist()]
    assert titles == items["title"]
    store.close()


def test_parts_with_other_columns_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "buys_1.csv").write_text("user_id,item_id,price\n" + "".join(f"u{k % 5},i{k % 9},{k}.5\n" for k in range(20)))
    (tmp_path / "buys_2.csv").write_text("user_id,item_id\n" + "".join(f"u{k % 5},i{k % 8}\n" for k in range(20)))
    proposal, store, report = imported(tmp_path)
    assert [file.path for file in proposal.schema.files] == ["buys_1.csv", "buys_2.csv"]
    assert report.total.quarantined == 0
    store.close()


def test_bad_rows_of_a_dirty_export_are_explained(tmp_path: Path) -> None:
    lines = [f'"u{k % 9}",i{k % 8},{k % 5 + 1},{1_700_000_000 + 61 * k}' for k in range(400)]
    bad = {
        7: ",i1,3,1700000000",
        20: "u1,,3,1700000000",
        33: "u1,i1,nan,1700000000",
        46: "u1,i1,3,99999999999",
        59: "u1,i1,3,-5",
        72: 'u1,"i1,3,1700000000',
        85: "u1,i1",
        98: "user_id,item_id,rating,timestamp",
        111: f"{'x' * 1_100},i1,3,1700000000",
        124: "u1,i1,3,",
    }
    for row, line in bad.items():
        lines[row] = line
    (tmp_path / "ratings.csv").write_text("user_id,item_id,rating,timestamp\n" + "\n".join(lines) + "\n")
    _, store, report = imported(tmp_path)
    assert report.edges["RATED"].read == 400
    once = ("future_time", "negative_time", "bad_quote", "ragged_row", "repeated_header", "too_long", "missing_key")
    assert report.reasons == {"missing_id": 2} | dict.fromkeys(once, 1)
    assert store.count_edges("RATED") == 400 - 9
    store.close()
