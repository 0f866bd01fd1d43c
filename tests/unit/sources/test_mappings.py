"""The shipped mappings hold together, their documentation is complete, and each reads files of its kind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kgrecall.errors import ConfigError, NotBuilt
from kgrecall.mapping import Column, EdgeMapping, FileMapping, NodeMapping
from kgrecall.schema import EdgeTypeSpec, GraphSchema, NodeType
from kgrecall.sources import mappings
from kgrecall.sources.mappings import find_mapping, graph_schema_folder, load_mapping, shipped_mappings
from kgrecall.sources.quarantine import Reason
from kgrecall.sources.reader import TableReader, read_tables
from kgrecall.sources.tables import Batch, NodeBatch

_README = (graph_schema_folder() / "README.md").read_text(encoding="utf-8")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


def counts(reader: TableReader) -> dict[str, int]:
    result: dict[str, int] = {}
    for batch in reader:
        name = batch.label if isinstance(batch, NodeBatch) else batch.edge_type
        result[name] = result.get(name, 0) + len(batch)
    return result


def edges(batches: list[Batch], relation: str) -> list[tuple[str, str]]:
    found = [b for b in batches if not isinstance(b, NodeBatch) and b.edge_type == relation]
    return [pair for b in found for pair in zip(b.sources.to_pylist(), b.targets.to_pylist(), strict=True)]


def test_all_shipped_mappings_load_and_name_themselves() -> None:
    assert set(shipped_mappings()) == {"kgat", "movielens-100k", "movielens-csv", "shop"}
    for path in shipped_mappings().values():
        assert load_mapping(path).files


def test_a_mapping_is_found_by_path_before_name(tmp_path: Path) -> None:
    mine = tmp_path / "shop"
    mine.write_text("")
    assert find_mapping(mine) == mine
    assert find_mapping("shop") == graph_schema_folder() / "mappings" / "shop.toml"
    with pytest.raises(ConfigError, match="Did you mean 'shop'"):
        find_mapping("shp")


def test_the_folder_is_found_in_an_installed_package_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings, "_PACKAGE", tmp_path / "kgrecall")
    with pytest.raises(NotBuilt, match="a folder of mapping files"):
        graph_schema_folder()
    (tmp_path / "graph_schema" / "mappings").mkdir(parents=True)
    assert graph_schema_folder() == tmp_path / "graph_schema"
    (tmp_path / "kgrecall" / "_graph_schema" / "mappings").mkdir(parents=True)
    assert graph_schema_folder() == tmp_path / "kgrecall" / "_graph_schema"


def test_movielens_atomic_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "ml-100k.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
            "01\t24\tM\twriter\t00501\n",
            "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
            '7\t"Dark" City\t1998\tFilm-Noir Sci-Fi\n8\tunkonwn\tV\tunknown\n',
            "ml-100k.link": "item_id:token\tentity_id:token\n7\tm.0k\n",
            "ml-100k.kg": "head_id:token\trelation_id:token\ttail_id:token\nm.0k\tfilm.film.genre\tm.0g\n",
            "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n01\t7\t4\t881250949\n",
        },
    )
    batches = list(read_tables(tmp_path, load_mapping("movielens-100k")))
    movies = next(b for b in batches if isinstance(b, NodeBatch) and b.label == "Movie")
    assert movies.columns["title"].to_pylist() == ['"Dark" City', None]
    assert movies.columns["release_year"].to_pylist() == [1998, None]
    assert movies.columns["genres"].to_pylist() == [["Film-Noir", "Sci-Fi"], ["unknown"]]
    assert edges(batches, "HAS_GENRE") == [("7", "Film-Noir"), ("7", "Sci-Fi"), ("8", "unknown")]
    assert edges(batches, "RATED") == [("01", "7")]
    rated = batches[-1]
    assert rated.columns["time"].to_pylist() == [881_250_949_000]


def test_movielens_csv_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "movies.csv": 'movieId,title,genres\r\n1,"American President, The (1995)",Comedy|Drama\r\n'
            "2,Short,(no genres listed)\r\n",
            "links.csv": "movieId,imdbId,tmdbId\r\n1,0112346,9087\r\n",
            "ratings.csv": "userId,movieId,rating,timestamp\r\n1,1,4.5,964982703\r\n",
            "tags.csv": "userId,movieId,tag,timestamp\r\n1,1,politics,1137206825\r\n",
        },
    )
    batches = list(read_tables(tmp_path, load_mapping("movielens-csv")))
    movies, links = (b for b in batches if isinstance(b, NodeBatch))
    assert movies.columns["title"].to_pylist() == ["American President, The (1995)", "Short"]
    assert movies.columns["genres"].to_pylist() == [["Comedy", "Drama"], None]
    assert links.columns["imdb_id"].to_pylist() == ["0112346"]
    assert edges(batches, "HAS_TAG") == [("1", "politics")]
    assert edges(batches, "HAS_GENRE") == [("1", "Comedy"), ("1", "Drama")]


def test_movielens_csv_needs_films_and_ratings_only(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "movies.csv": "movieId,title,genres\n1,A,Comedy\n",
            "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4,964982703\n",
        },
    )
    assert counts(read_tables(tmp_path, load_mapping("movielens-csv"))) == {"Movie": 1, "HAS_GENRE": 1, "RATED": 1}


def test_kgat_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "train.txt": "0 0 1 1\n1 2\n2\n",
            "test.txt": "0 2\n",
            "kg_final.txt": "0 0 3\n3 1 4\n0 0 3\n",
            "relation_list.txt": "org_id remap_id\nhttp://x.org/ns/film.genre 0\nhttp://x.org/ns/film.cast 1\n",
            "item_list.txt": "org_id remap_id freebase_id\nBook One 0 m.1\nB2 1 m.2\nB3 2 m.3\n",
        },
    )
    reader = read_tables(tmp_path, load_mapping("kgat"))
    batches = list(reader)
    assert edges(batches, "INTERACTED") == [("0", "0"), ("0", "1"), ("1", "2"), ("0", "2")]
    assert edges(batches, "SAME_AS") == [("0", "0"), ("1", "1"), ("2", "2")] * 2
    assert edges(batches, "RELATED") == [("0", "3"), ("3", "4")]
    assert batches[-1].columns["relation"].to_pylist() == ["film.genre", "film.cast"]
    assert reader.duplicates == {"train.txt": 1, "kg_final.txt": 1}
    items = next(b for b in batches if isinstance(b, NodeBatch))
    assert items.columns["original_id"].to_pylist() == ["Book One", "B2", "B3"]


def test_kgat_train_file_alone(tmp_path: Path) -> None:
    write(tmp_path, {"train.txt": "0 5\n"})
    assert counts(read_tables(tmp_path, load_mapping("kgat"))) == {"INTERACTED": 1, "SAME_AS": 1}


def test_shop_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "users.csv": "user_id,country,birth_year\nu1,DE,1990\n",
            "items.csv": "item_id,title,description,brand,categories,price,in_stock,released\n"
            "i1,Lamp,,Lumo,A|B,9.5,True,2024-02-29\n",
            "views.csv": "user_id,item_id,time\nu1,i1,2025-01-01T00:00:00+00:00\nu1,i1,2025-01-02T00:00:00Z\n",
            "purchases.csv": "user_id,item_id,time,quantity\n",
        },
    )
    assert counts(read_tables(tmp_path, load_mapping("shop"))) == {
        "User": 1,
        "Item": 1,
        "MADE_BY": 1,
        "IN_CATEGORY": 2,
        "VIEWED": 2,
    }


def test_every_key_type_reason_and_mapping_is_documented() -> None:
    models = (GraphSchema, NodeType, EdgeTypeSpec, FileMapping, NodeMapping, EdgeMapping, Column)
    words = {name for model in models for name in model.model_fields} | set(Reason) | set(shipped_mappings())
    absent = sorted(word for word in words if not re.search(rf"`[^`\n]*\b{re.escape(word)}\b[^`\n]*`", _README))
    assert absent == []
    for name in shipped_mappings():
        row = next(line for line in _README.splitlines() if line.startswith(f"| `{name}` |"))
        schema = load_mapping(name)
        wanted = [
            *schema.nodes,
            *schema.edges,
            *(p for t in (*schema.nodes.values(), *schema.edges.values()) for p in t.properties),
        ]
        assert [word for word in wanted if not re.search(rf"\b{word}\b", row)] == []


def test_cypher_files_are_repeatable_and_cover_every_label() -> None:
    statements = {}
    for name in ("constraints", "indexes"):
        text = (graph_schema_folder() / f"{name}.cypher").read_text(encoding="utf-8")
        statements[name] = [part.strip() for part in re.sub(r"//.*", "", text).split(";") if part.strip()]
        assert all("IF NOT EXISTS" in part for part in statements[name] if part.startswith("CREATE"))
    constrained = {re.search(r"\(n:(\w+)\) REQUIRE n\.id IS UNIQUE", part).group(1) for part in statements["constraints"]}  # type: ignore[union-attr]
    assert {label for label in constrained if not label.startswith("_")} == {
        label for name in shipped_mappings() for label in load_mapping(name).nodes
    }
