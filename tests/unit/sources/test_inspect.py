"""Proposed mappings: they parse, they say what is what, and they read the files they were made from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from kgrecall.errors import SourceError
from kgrecall.sources.inspect import Proposal, propose_mapping
from kgrecall.sources.reader import TableReader, read_tables
from kgrecall.sources.sample_shop import write_sample_shop
from kgrecall.sources.tables import NodeBatch


def write(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def read(proposal: Proposal) -> tuple[dict[str, int], TableReader]:
    reader = read_tables(proposal.folder, proposal.schema)
    counts: dict[str, int] = {}
    for batch in reader:
        name = batch.label if isinstance(batch, NodeBatch) else batch.edge_type
        counts[name] = counts.get(name, 0) + len(batch)
    return counts, reader


def rows(count: int, *columns: str) -> str:
    """Lines of made-up cells: ``u`` a user, ``i`` an item, ``r`` a rating, ``t`` seconds, anything else as it is."""
    cells = {
        "u": lambda k: f"u{k % 7}",
        "i": lambda k: f"i{k % 5}",
        "r": lambda k: str(k % 5 + 1),
        "t": lambda k: str(1_700_000_000 + 61 * k),
    }
    return "".join(",".join(cells.get(c, lambda _, c=c: c)(k) for c in columns) + "\n" for k in range(count))


def test_cells_that_run_over_several_lines_do_not_hide_a_table(tmp_path: Path) -> None:
    products = "ProductID;Name;Description;Price\r\n" + "".join(
        f'p{k};name {k};"two\nlines, or ""three""\n{k}";{k}.5\r\n' for k in range(200)
    )
    events = "UserID;ProductID;Time\n" + "".join(f"u{k % 9};p{k % 200};{1_700_000_000 + k}\n" for k in range(400))
    proposal = propose_mapping([write(tmp_path, products__csv=products, events__csv=events)])
    assert proposal.schema.nodes["Product"].properties == {"name": "text", "description": "text", "price": "number"}
    counts, reader = read(proposal)
    assert counts["Product"] == 200
    assert not reader.quarantine.reasons


def test_the_sample_shop_is_understood_whole(tmp_path: Path) -> None:
    write_sample_shop(tmp_path, num_users=60, num_items=50)
    proposal = propose_mapping([tmp_path])
    schema = proposal.schema
    assert set(schema.nodes) == {"User", "Item", "Brand", "Category", "Country"}
    assert schema.item_label == "Item"
    item = schema.nodes["Item"]
    assert (item.title, item.described_by) == ("title", ("categories",))
    assert item.properties == {
        "title": "text", "description": "text", "brand": "string", "categories": "strings", "price": "number",
        "in_stock": "boolean", "released": "time",
    }  # fmt: skip
    assert {name: spec.role for name, spec in schema.edges.items()} == {
        "PURCHASED": "interaction", "VIEWED": "interaction", "FOLLOWS": "social",
        "HAS_BRAND": "knowledge", "HAS_CATEGORY": "knowledge", "HAS_COUNTRY": "knowledge",
    }  # fmt: skip
    assert schema.edges["PURCHASED"].weight == "quantity"
    assert schema.edges["VIEWED"].time == "time"
    counts, reader = read(proposal)
    assert reader.quarantine.total == 0
    assert (counts["User"], counts["Item"], counts["Brand"]) == (60, 50, 10)
    assert all(rows > 0 for rows in reader.rows_read.values())
    assert proposal.doubts == (
        "items.csv: times in released say no zone; UTC is assumed.",
        "follows.csv: times in since say no zone; UTC is assumed.",
    )


@pytest.mark.parametrize(
    ("column", "value", "context"),
    [
        ("device", lambda k: ("phone", "desk top", "tv")[k % 3], True),
        ("deviceType", lambda k: ("phone", "tv")[k % 2], True),
        ("store_id", lambda k: str(k % 4), True),
        ("is_mobile", lambda k: ("true", "false")[k % 2], True),
        ("device", lambda k: "phone", False),
        ("device_id", lambda k: f"d{k}", False),
        ("place", lambda k: f"p{k % 201}", False),
        ("store_credit", lambda k: f"{k % 3}.5", False),
        ("price", lambda k: str(k % 4), False),
    ],
)
def test_where_and_how_events_happened_is_their_context(
    tmp_path: Path, column: str, value: Callable[[int], str], context: bool
) -> None:
    lines = "".join(f"u{k % 40},i{k % 30},{value(k)}\n" for k in range(600))
    proposal = propose_mapping([write(tmp_path, views__csv=f"user_id,item_id,{column}\n{lines}")])
    spec = proposal.schema.edges["VIEWED"]
    assert len(spec.context) == context
    assert set(spec.context) <= set(spec.properties)
    assert ("in the context of" in proposal.findings[0]) == context
    _, reader = read(proposal)
    assert reader.quarantine.total == 0


def test_movielens_csv(tmp_path: Path) -> None:
    write(
        tmp_path,
        movies__csv="movieId,title,genres\n" + "".join(f'{k},"Film, The {k} (1999)",Drama|Comedy\n' for k in range(1, 20)),
        ratings__csv="userId,movieId,rating,timestamp\n"
        + "".join(f"{k % 5},{k % 19 + 1},{k % 9 / 2 + 0.5},{964982703 + k}\n" for k in range(90)),
        tags__csv="userId,movieId,tag,timestamp\n" + "".join(f"1,{k},fun,{1137206825 + k}\n" for k in range(1, 9)),
        links__csv="movieId,imdbId\n" + "".join(f"{k},0{k}11\n" for k in range(1, 20)),
        README__txt="These files hold ratings.\n",
    )
    proposal = propose_mapping(tmp_path)
    schema = proposal.schema
    assert schema.item_label == "Movie"
    assert schema.nodes["Movie"].properties == {"imdb_id": "string", "title": "text", "genres": "strings"}
    assert (schema.edges["RATED"].weight, schema.edges["RATED"].time) == ("rating", "timestamp")
    assert schema.edges["HAS_TAG"].source == "Movie"
    counts, reader = read(proposal)
    assert counts == {"Movie": 38, "HAS_GENRE": 38, "RATED": 90, "TAGGED": 8, "HAS_TAG": 8}
    assert reader.quarantine.total == 0
    assert proposal.doubts == ()


def test_recbole_with_a_knowledge_graph(tmp_path: Path) -> None:
    write(
        tmp_path,
        x__inter="user_id:token\titem_id:token\ttimestamp:float\n"
        + "".join(f"{k % 4}\t{k % 6}\t{9e8 + k}\n" for k in range(24)),
        x__kg="head_id:token\trelation_id:token\ttail_id:token\nm.1\tfilm.genre\tm.2\nm.2\tfilm.genre\tm.3\n",
        x__link="item_id:token\tentity_id:token\n0\tm.1\n1\tm.2\n",
    )
    proposal = propose_mapping([tmp_path / "x.inter", tmp_path / "x.kg", tmp_path / "x.link"])
    assert proposal.schema.edges["SAME_AS"].role == "identity"
    assert proposal.schema.edges["RELATED"].relation == "relation"
    counts, _ = read(proposal)
    assert counts == {"INTERACTED": 24, "RELATED": 2, "SAME_AS": 2}


def test_files_without_headers_are_told_by_name_and_place(tmp_path: Path) -> None:
    write(
        tmp_path,
        users__dat="".join(f"{k}::F::25\n" for k in range(1, 9)),
        movies__dat="".join(f"{k}::Amélie {k} (2001)::Drama|Comedy\n" for k in range(1, 9)).encode("latin-1"),
        ratings__dat="".join(f"{k % 8 + 1}::{k % 7 + 1}::{k % 5 + 1}::{978300760 + k}\n" for k in range(50)),
    )
    proposal = propose_mapping(tmp_path)
    spec = proposal.schema.edges["RATED"]
    assert (spec.source, spec.target, spec.weight, spec.time) == ("User", "Movie", "column_3", "column_4")
    counts, reader = read(proposal)
    assert (counts["User"], counts["Movie"], counts["RATED"], counts["HAS_ATTRIBUTE_3"]) == (8, 8, 50, 16)
    assert reader.quarantine.total == 0
    assert "ratings.dat has no header: column_1 is taken for the user, column_2 for the item." in proposal.doubts
    assert "movies.dat: not UTF-8; cp1252 assumed: check a word with accents." in proposal.doubts


def test_a_dirty_export(tmp_path: Path) -> None:
    """Semicolons, a byte-order mark, CRLF, NULL, typing errors, stray quotes, a ragged row, a repeated header, naive times."""
    lines = [f'u{k % 9};{k % 8:03d};"{k % 3 + 1}";2024-03-{k % 28 + 1:02d} 12:00:{k % 60:02d};mobile' for k in range(200)]
    lines[17] = "u1;003;two;2024-03-01 12:00:00;mobile"
    lines[30] = "u1;003"
    lines[60] = "CustomerID;ProductID;Quantity;Ordered At;Device"
    lines[90] = "u1;003;NULL;2024-03-01 12:00:00;NULL"
    lines[120] = "u1;003;1;soon;web"
    write(
        tmp_path,
        orders__csv="\ufeffCustomerID;ProductID;Quantity;Ordered At;Device\r\n" + "\r\n".join(lines),
        products__tsv="ProductID\tName\tColours\n" + "".join(f'{k:03d}\t{k}" disk\tred, blue\n' for k in range(8)),
    )
    proposal = propose_mapping(tmp_path)
    spec = proposal.schema.edges["ORDERED"]
    assert (spec.target, spec.weight, spec.time, spec.key) == ("Product", "quantity", "ordered_at", ("ordered_at",))
    assert spec.properties == {"quantity": "number", "ordered_at": "time", "device": "string"}
    counts, reader = read(proposal)
    assert counts["ORDERED"] == 197
    assert {str(reason) for reason in reader.quarantine.reasons} == {"ragged_row", "repeated_header", "missing_key"}
    assert counts["Product"] == 8
    assert counts["HAS_COLOUR"] == 16
    doubts = "\n".join(proposal.doubts)
    assert "'two' in Quantity is no number; read as no value" in doubts
    assert "'soon' in Ordered At is no time; read as no value" in doubts
    assert "times in Ordered At say no zone; UTC is assumed" in doubts


def test_typed_and_json_files(tmp_path: Path) -> None:
    events = {"user_id": [f"u{k % 5}" for k in range(40)], "item_id": [k % 6 for k in range(40)]}
    pl.DataFrame(events | {"at": pl.Series(range(40)).cast(pl.Datetime("us", "UTC")), "n": [1.5] * 40}).write_parquet(
        tmp_path / "e.parquet"
    )
    items = [
        {"item_id": k, "title": f"A fine thing {k}", "tags": ["a", "b"], "meta": {"colour": "red"}, "x": [{"y": 1}]}
        for k in range(6)
    ]
    write(tmp_path, items__jsonl="\n".join(json.dumps(item) for item in items))
    proposal = propose_mapping(tmp_path)
    schema = proposal.schema
    assert schema.nodes["Item"].properties == {"title": "text", "tags": "strings", "meta_colour": "string"}
    assert schema.edges["INTERACTED"].time == "at"
    counts, reader = read(proposal)
    assert (counts["INTERACTED"], counts["Item"], counts["HAS_TAG"], reader.quarantine.total) == (40, 6, 12, 0)
    assert proposal.doubts == ("items.jsonl: x hold objects and are left out.",)


@pytest.mark.parametrize("separator", [" ", ", ", "|"])
def test_vectors_in_text_are_read_as_numbers(tmp_path: Path, separator: str) -> None:
    lines = [f'{k},"Thing {k} of many","[{separator.join(f"{k / (j + 3):.3f}" for j in range(8))}]"' for k in range(6)]
    write(tmp_path, events__csv="user_id,item_id\n" + rows(40, "u", "i"))
    write(tmp_path, items__csv="item_id,title,cover\n" + "\n".join(lines).replace("0,", "i0,", 1) + "\n")
    proposal = propose_mapping(tmp_path)
    assert proposal.schema.nodes["Item"].properties["cover"] == "numbers"
    reader = read(proposal)[1]
    assert reader.quarantine.total == 0
    batch = next(b for b in read_tables(tmp_path, proposal.schema) if isinstance(b, NodeBatch) and b.label == "Item")
    assert {len(vector) for vector in batch.columns["cover"].to_pylist()} == {8}


def test_kgat_sets_use_the_shipped_mapping(tmp_path: Path) -> None:
    write(
        tmp_path,
        my_train__txt="0 1 2\n1 2\n2 0 1 2\n",
        item_list__txt="org_id remap_id\na 0\nb 1\nc 2\n",
        kg_final__txt="0 0 3\n1 0 3\n2 1 4\n",
    )
    proposal = propose_mapping(tmp_path)
    assert proposal.schema.name == "kgat"
    counts, _ = read(proposal)
    assert counts == {"Item": 3, "SAME_AS": 6, "INTERACTED": 6, "RELATED": 3}


def test_sequences_alone(tmp_path: Path) -> None:
    write(tmp_path, history__txt="u1 B00A1 B00A2\nu2 B00A2\nu3 B00A1 B00A3 B00A4\n")
    proposal = propose_mapping(tmp_path)
    assert proposal.schema.edges["INTERACTED"].time == "position"
    assert read(proposal)[0] == {"INTERACTED": 6}
    assert proposal.doubts == ("history.txt: only the order of items is known; it stands for the time.",)


def test_two_id_spaces_are_not_mixed(tmp_path: Path) -> None:
    write(
        tmp_path,
        artists__csv="id,name,url\n" + "".join(f"{k},Band {k},http://x/{k}\n" for k in range(20)),
        map__csv="itemID,artistID\n" + "".join(f"{k},{k + 7}\n" for k in range(10)),
        plays__csv="userID,artistID,weight\n" + rows(40, "u", "7", "r"),
        inter__csv="userID,itemID\n" + rows(40, "u", "7"),
    )
    proposal = propose_mapping(tmp_path)
    assert proposal.schema.item_label == "Artist"
    assert {file.path for file in proposal.schema.files} == {"artists.csv", "plays.csv"}
    assert "inter.csv is left out: its item ids are not the artist ids of the other files." in proposal.doubts


def test_ids_that_no_file_of_nodes_lists_are_created(tmp_path: Path) -> None:
    write(
        tmp_path,
        users__csv="user_id,name\nu0,Ann Lee\nu1,Bob Ray\n",
        events__csv="user_id,item_id,time\n" + rows(40, "u", "i", "t"),
    )
    proposal = propose_mapping(tmp_path)
    assert next(file for file in proposal.schema.files if file.path == "events.csv").edges[0].create == ("source", "target")
    assert "events.csv: 71.4% of user_id are in no file of users; they are created." in proposal.doubts


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-16", "电影,用户\n"),
        ("gb18030", "标题是中文的电影名称"),
        ("shift_jis", "映画のタイトルはここです"),
        ("euc-kr", "영화 제목은 여기 있습니다"),
        ("cp1251", "Название фильма здесь"),
        ("cp1252", "Le fabuleux destin d’Amélie à Montréal"),
        ("utf-16-le", "Titel"),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, text: str) -> None:
    title = text.replace(",", " ").strip()
    content = "user_id;item_id;title\n" + "".join(f"u{k % 5};i{k % 7};{title}\n" for k in range(30))
    (tmp_path / "events.csv").write_bytes(content.encode(encoding))
    proposal = propose_mapping(tmp_path)
    assert proposal.schema.files[0].encoding == (None if encoding == "utf-16" else encoding)
    batch = next(iter(read_tables(tmp_path, proposal.schema)))
    assert len(batch) == 30


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    write(
        tmp_path,
        events__csv="user_id,item_id\n" + rows(20, "u", "i"),
        names__txt="one\ntwo\nthree\n",
        prose__txt="It was a dark night\nand\nthe rain fell in torrents\n",
        image__bin=bytes(range(256)) * 40,
        empty__csv="",
        whole__json='[{"a": 1}, {"a": 2}]',
        broken__parquet=b"PAR1 is not enough",
        ids__csv="tag_id,tag\n1,red\n2,blue\n3,pink\n",
    )
    doubts = "\n".join(propose_mapping(tmp_path).doubts)
    for line in (
        "names.txt is left out: a single column",
        "prose.txt is left out: its lines have no common number of cells",
        "image.bin is left out: not text",
        "empty.csv is left out: empty",
        "whole.json is left out: one JSON document",
        "broken.parquet is left out: it cannot be read",
        "ids.csv is left out: no other file refers to its tag ids",
    ):
        assert line in doubts


def test_nothing_to_propose(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="at least one file"):
        propose_mapping(tmp_path)
    with pytest.raises(SourceError, match="expected a file or a folder, got nothing there"):
        propose_mapping([tmp_path / "x.csv"])
    write(tmp_path, items__csv="item_id,title\n1,A\n2,B\n")
    with pytest.raises(SourceError, match=r"which user did something with which item, got items\.csv \(items\)"):
        propose_mapping(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ml-latest-small", {"RATED": 100_836 + 99_559, "HAS_GENRE": 22_084, "TAGGED": 3_683}),
        ("lightkg-lastfm", {"RATED": 21_173, "RELATED": 15_518, "SAME_AS": 3_846}),
        ("amazon-beauty-2014-5core", {"INTERACTED": 198_502}),
        ("hetrec-lastfm-multimodal", {"INTERACTED": 92_834, "FRIEND_OF": 25_434, "HAS_TEXT": 109_750}),
        ("lightgcn-gowalla", {"INTERACTED": 1_027_370}),
    ],
)
def test_real_sets(name: str, expected: dict[str, int]) -> None:
    folder = Path(os.environ.get("KGRECALL_BENCH_DATA", "")) / name
    if not os.environ.get("KGRECALL_BENCH_DATA") or not folder.is_dir():
        pytest.skip("KGRECALL_BENCH_DATA holds no such set")
    counts, reader = read(propose_mapping([folder]))
    assert reader.quarantine.total == 0
    assert {name: counts[name] for name in expected} == expected
