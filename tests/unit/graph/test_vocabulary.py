from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrecall.errors import CorruptArtifact, ShapeError, UnknownId
from kgrecall.graph.vocabulary import Vocabulary

ids = st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8), max_size=30)


@given(ids)
def test_position_is_the_rank_in_bytewise_order(some: list[str]) -> None:
    vocabulary = Vocabulary.of(some)
    expected = sorted({word.encode() for word in some})
    assert [word.encode() for word in vocabulary.ids.to_pylist()] == expected
    assert vocabulary.positions(some).tolist() == [expected.index(word.encode()) for word in some]
    assert vocabulary.ids_at(vocabulary.positions(some)) == some


@given(ids, ids)
def test_unknown_ids_have_position_minus_one_in_lists_and_in_arrow_alike(known: list[str], asked: list[str]) -> None:
    vocabulary = Vocabulary.of(known)
    expected = [sorted(set(known)).index(word) if word in known else -1 for word in asked]
    column = pa.array(asked, pa.string())
    assert vocabulary.positions(asked).tolist() == expected
    assert vocabulary.positions(column).tolist() == expected
    assert vocabulary.positions(pa.chunked_array([column, column])).tolist() == expected * 2


def test_null_has_no_position() -> None:
    assert Vocabulary(["a"]).positions(pa.array(["a", None, "a"])).tolist() == [0, -1, 0]


def test_positions_are_int64_and_empty_is_fine() -> None:
    vocabulary = Vocabulary([])
    assert len(vocabulary) == 0
    assert vocabulary.positions([]).dtype == np.int64
    assert vocabulary.ids_at([]) == []


@pytest.mark.parametrize(("bad", "shown"), [(["b", "a"], "('b', 'a')"), (["a", "a"], "('a', 'a')"), (["a", None], "1")])
def test_ids_must_be_sorted_distinct_and_given(bad: list[str], shown: str) -> None:
    with pytest.raises(ShapeError, match="ids: expected") as caught:
        Vocabulary(bad)
    assert shown in str(caught.value)


def test_an_unknown_id_names_a_near_one_even_in_a_large_vocabulary() -> None:
    vocabulary = Vocabulary.of(f"user-{i:06d}" for i in range(100_000))
    assert vocabulary.position("user-012345") == 12_345
    with pytest.raises(UnknownId, match=r"Did you mean 'user-012\d\d\d'\?") as caught:
        vocabulary.position("user-01234x")
    assert isinstance(caught.value, KeyError)
    with pytest.raises(UnknownId, match="got 42"):
        vocabulary.position(42)  # type: ignore[arg-type]


def test_positions_out_of_range_are_refused() -> None:
    for bad in (-1, 2):
        with pytest.raises(ShapeError, match=f"from 0 to 1, got {bad}"):
            Vocabulary(["a", "b"]).ids_at([0, bad])


def test_membership_and_equality_follow_the_ids() -> None:
    assert "a" in Vocabulary(["a", "b"])
    assert "c" not in Vocabulary(["a", "b"])
    assert Vocabulary(["a", "b"]) == Vocabulary.of(["b", "a", "b"])
    assert len({Vocabulary(["a"]), Vocabulary(["a"]), Vocabulary(["b"])}) == 2


def test_the_fingerprint_depends_on_the_ids_alone() -> None:
    whole = pa.array(["", "a", "b", "c"])
    same = [Vocabulary(whole.slice(1)), Vocabulary(pa.chunked_array([["a"], ["b", "c"]])), Vocabulary.of("cba")]
    assert len({vocabulary.fingerprint for vocabulary in same}) == 1
    different = [Vocabulary([]), Vocabulary([""]), Vocabulary(["ab", "c"]), Vocabulary(["a", "bc"]), Vocabulary(["a", "b"])]
    assert len({vocabulary.fingerprint for vocabulary in (same[0], *different)}) == 6
    assert len(same[0].fingerprint) == 64


@pytest.mark.parametrize("some", [[], ["", "a/b", "né", "\0", "🎬"]])
def test_what_is_saved_is_loaded(some: list[str], tmp_path: Path) -> None:
    path = tmp_path / "ids.parquet"
    vocabulary = Vocabulary.of(some)
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary


def test_a_file_that_is_no_vocabulary_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "Movie.parquet"
    with pytest.raises(CorruptArtifact, match=r"vocabulary Movie\.parquet"):
        Vocabulary.load(path)
    path.write_bytes(b"not parquet at all")
    with pytest.raises(CorruptArtifact):
        Vocabulary.load(path)
    for table in (pa.table({"name": ["a"]}), pa.table({"id": ["b", "a"]})):
        pq.write_table(table, path)
        with pytest.raises(CorruptArtifact):
            Vocabulary.load(path)
