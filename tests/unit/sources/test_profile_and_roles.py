"""What columns and tables are taken for, one case a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.errors import SourceError
from kgrecall.mapping import FileMapping
from kgrecall.sources.inspect import propose_mapping
from kgrecall.sources.profile import describe, words_of
from kgrecall.sources.roles import classify, singular
from kgrecall.sources.sniff import Sample, take_sample


@pytest.mark.parametrize(
    ("name", "cells", "kind", "more"),
    [
        ("age", ["31", "45", ""], "integer", {"filled": 2, "positive": True}),
        ("age", ["31"] * 99 + ["?"], "integer", {"odd": ("?",)}),
        ("age", ["31", "?"], "string", {}),
        ("n", ["1.5", "NA", "-2"], "number", {"nulls": ("NA",), "positive": False}),
        ("zip", ["00501", "10001"], "string", {}),
        ("price", ["1,234", "2,345", "99"], "string", {"separator": None}),
        ("is_new", ["true", "false", "true"], "boolean", {}),
        ("ts", ["881250949", "881250950"], "time", {"unit": "s"}),
        ("column_4", ["1700000000123", "1700000000456", "1700000000789", "1700000000999"], "time", {"unit": "ms"}),
        ("amount", ["1700000000"] * 9, "integer", {}),
        ("when", ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00+01:00"], "time", {"unit": "iso8601", "naive": False}),
        ("when", ["2024-01-01 10:00", "2024-01-02 11:00"], "time", {"unit": "iso8601", "naive": True}),
        ("day", ["20240131", "20240201"], "time", {"unit": "iso8601", "naive": True}),
        ("genres", ["Drama|Comedy", "Drama", "Comedy|Drama"], "strings", {"separator": "|", "distinct_elements": 2}),
        ("tags", ["a, b", "b, a", "a", "a, b, a"], "strings", {"separator": ", "}),
        ("title", ["Heat, The (1995)", "Up (2009)", "Solaris, again (2002)"], "text", {}),
        ("comment", ["it was a dark night", "the rain fell in torrents"], "text", {}),
        ("brand", ["Lumo", "Cairn", "Lumo"], "string", {"worded": True, "distinct": 2}),
        ("url", ["http://a/b c d", "http://a/c d e"], "string", {"worded": False}),
        ("nothing", ["", ""], "string", {"filled": 0}),
        ("vector", [[0.5, 1.0], [1.0, 2.0]], "numbers", {}),
        ("cover", ["[0.5, 1, -2e-3, 4]", "[1, 0, 0, 0]", ""], "numbers", {"separator": ",", "filled": 2}),
        ("cover", ["[ 0.5  1.  2.\n 3. ]", "[-1. 2. 3. 4.]"], "numbers", {"separator": " "}),
        ("cover", ["0.5|1|2|3", "1|2|3|4"], "numbers", {"separator": "|"}),
        ("place", ["48.1,11.5", "52.5,13.4"], "string", {}),
        ("codes", ["1|2|3|4", "4|3|2|1"], "string", {"separator": None}),
        ("version", ["1.2.3.4", "2.0.0.1"], "string", {}),
        ("tags", [["a", "b"], ["a"]], "strings", {"distinct_elements": 2, "separator": None}),
        ("flag", [True, False], "boolean", {}),
    ],
)
def test_kinds_of_columns(name: str, cells: list[Any], kind: str, more: dict[str, Any]) -> None:
    column = describe(name, pa.array(cells))
    assert column.kind == kind
    assert {key: getattr(column, key) for key in more} == more


def test_declared_lists_of_words_are_lists_unless_they_are_a_title() -> None:
    cells = pa.array(["Action Drama", "Drama"])
    assert describe("class", cells, " ").kind == "strings"
    assert describe("movie_title", cells, " ").kind == "text"


@pytest.mark.parametrize(
    ("file", "columns", "kind", "keys"),
    [
        ("ratings.csv", {"userId": "aab", "movieId": "xyx", "rating": "123"}, "interactions", ("userId", "movieId")),
        ("events.csv", {"item": "xyx", "user": "aab"}, "interactions", ("user", "item")),
        ("reviews.csv", {"reviewerID": "aab", "asin": "xyx"}, "interactions", ("reviewerID", "asin")),
        ("posts.csv", {"article_id": "xyz", "author_user_id": "aab"}, "items", ("article_id",)),
        ("users.csv", {"uid": "abc", "gender": "FMF"}, "users", ("uid",)),
        ("members.csv", {"id": "abc", "gender": "FMF"}, "users", ("id",)),
        ("artists.dat", {"id": "abc", "name": "xyz"}, "items", ("id",)),
        ("friends.csv", {"user_id": "aab", "friend_id": "bca"}, "social", ("user_id", "friend_id")),
        ("trust.csv", {"user_1": "aab", "user_2": "bca"}, "social", ("user_1", "user_2")),
        (
            "kg.tsv",
            {"head_id": "aab", "relation_id": "rrs", "tail_id": "xyx"},
            "triples",
            ("head_id", "relation_id", "tail_id"),
        ),
        ("facts.csv", {"subject": "aab", "predicate": "rrs", "object": "xyx"}, "triples", ("subject", "predicate", "object")),
        ("map.csv", {"item_id": "abc", "entity_id": "xyz"}, "link", ("item_id", "entity_id")),
        ("tags.csv", {"tagID": "abc", "tagValue": "xyz"}, "entities", ("tagID",)),
        ("songs.csv", {"song_id": "aab", "link": "xyz"}, "unknown", ("song_id",)),
        ("log.csv", {"level": "aab", "text": "xyx"}, "unknown", ()),
    ],
)
def test_kinds_of_tables(file: str, columns: dict[str, str], kind: str, keys: tuple[str, ...]) -> None:
    cells = {name: pa.array(list(values)) for name, values in columns.items()}
    sample = Sample(file, FileMapping(path=file), cells, 0, True)
    table = classify(sample, [describe(name, array) for name, array in cells.items()])
    assert (table.kind, table.keys) == (kind, keys)


@pytest.mark.parametrize(
    ("word", "one"),
    [("movies", "movie"), ("categories", "category"), ("boxes", "box"), ("class", "class"), ("news", "news"), ("bus", "bus")],
)
def test_singular(word: str, one: str) -> None:
    assert singular(word) == one


def test_words_of_names() -> None:
    assert words_of("userID") == words_of("user_id") == words_of("USER-ID") == ("user", "id")
    assert words_of("data/ml-100k.inter") == ("data", "ml", "100k", "inter")
    assert words_of("用户") == ("用户",)
    assert words_of("__") == ()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["user_id", "item_id", "1", "2.5", "a|b", "", '"', "é", "x y z", "2024-01-01"]), max_size=4),
        max_size=6,
    ),
    st.sampled_from([",", "\t", ";", "::", " "]),
    st.binary(max_size=6),
)
def test_any_file_is_proposed_refused_or_left_out(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str, tail: bytes
) -> None:
    folder: Path = tmp_path_factory.mktemp("any", numbered=True)
    (folder / "ratings.csv").write_bytes("\n".join(delimiter.join(row) for row in rows).encode() + tail)
    sample = take_sample(folder / "ratings.csv", "ratings.csv")
    assert isinstance(sample, (str, Sample))
    try:
        proposal = propose_mapping(folder)
    except SourceError:
        return
    assert proposal.schema.edges_with_role("interaction")
