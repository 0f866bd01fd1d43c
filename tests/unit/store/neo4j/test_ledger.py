"""What a ledger says of a source: nothing, unless all of its edges are known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.store.neo4j.ledger import Ledger, Page, hashed


def opened(ledger: Ledger, edges: list[tuple[str, str]], stars: list[float | None] | None = None) -> Page:
    """A call with these edges; the sources of the page are the distinct ones in the order of their first edge."""
    names = [list(dict.fromkeys(end)) for end in zip(*edges, strict=True)]
    pairs = [np.array([of.index(edge[i]) for edge in edges], np.int64) for i, of in enumerate(names)]
    key = [] if stars is None else [pa.array(stars, pa.float64())]
    return ledger.open("LIKES", (pa.array(names[0]), pa.array(names[1])), (pairs[0], pairs[1]), key)


def of_an_import(most: int = 100) -> Ledger:
    ledger = Ledger(most)
    ledger.begin()
    return ledger


def written(ledger: Ledger, edges: list[tuple[str, str]]) -> None:
    page = opened(ledger, edges)
    page.note(np.arange(len(edges)))
    ledger.close(page)


def test_a_source_is_alone_while_it_has_what_it_got() -> None:
    ledger = of_an_import()
    written(ledger, [("a", "x"), ("a", "y"), ("b", "x")])
    page = opened(ledger, [("b", "x"), ("b", "z"), ("a", "y"), ("c", "x")])
    assert page.seen.tolist() == [True, False, True, False]
    sources = np.arange(3)
    assert page.alone(sources, np.array([1, 2, 0])).tolist() == [True, True, True]
    assert page.alone(sources, np.array([2, 1, 1])).tolist() == [False, False, False], "somebody else was there"
    page.note(np.array([1]))
    assert page.alone(sources, np.array([2, 2, 0])).all()
    ledger.close(page)
    assert opened(ledger, [("b", "z")]).alone(np.arange(1), np.array([2])).all()


def test_relations_and_instances_know_nothing_of_each_other() -> None:
    ledger = of_an_import()
    written(ledger, [("a", "x")])
    other = ledger.open("HATES", (pa.array(["a"]), pa.array(["x"])), (np.zeros(1, np.int64), np.zeros(1, np.int64)), [])
    assert not other.seen.any()
    assert not opened(of_an_import(), [("a", "x")]).seen.any()


def test_what_was_not_committed_is_not_remembered() -> None:
    ledger = of_an_import()
    ledger.close(opened(ledger, [("a", "x")]))
    page = opened(ledger, [("a", "x")])
    assert not page.seen.any()
    assert not page.alone(np.arange(1), np.array([1])).any()


def test_outside_of_an_import_nothing_is_remembered_but_a_call_knows_its_own_edges() -> None:
    ledger = of_an_import()
    written(ledger, [("a", "x")])
    ledger.end()
    page = opened(ledger, [("a", "x"), ("a", "y")])
    assert not page.seen.any()
    assert not page.alone(np.arange(1), np.array([1])).any()
    page.note(np.array([1]))
    assert page.alone(np.arange(1), np.array([1])).all()
    ledger.close(page)
    ledger.begin()
    assert not opened(ledger, [("a", "y")]).seen.any()


def test_many_small_calls_are_known_as_one_large_one_would_be() -> None:
    rng = np.random.default_rng(0)
    edges = sorted({(f"u{u}", f"i{i}") for u, i in rng.integers(0, 30, (400, 2))})
    ledger = of_an_import(most=1000)
    for one in edges:
        written(ledger, [one])
    relation = (ledger._book or {})["LIKES"]
    assert len(relation.edges) < 12
    assert relation.size == len(edges)
    page = opened(ledger, [*edges, ("u0", "new"), ("nobody", "i0")])
    assert page.seen.tolist() == [True] * len(edges) + [False, False]
    names = list(dict.fromkeys(user for user, _ in [*edges, ("nobody", "i0")]))
    degree = np.array([sum(user == name for user, _ in edges) for name in names])
    assert page.alone(np.arange(len(names)), degree).all()


def test_a_deletion_ends_what_is_known_also_of_calls_that_go_on() -> None:
    ledger = of_an_import()
    written(ledger, [("a", "x")])
    page = opened(ledger, [("b", "x")])
    ledger.forget()
    page.note(np.array([0]))
    ledger.close(page)
    assert not opened(ledger, [("a", "x"), ("b", "x")]).seen.any()


def test_beyond_its_size_sources_are_read() -> None:
    ledger = of_an_import(most=2)
    written(ledger, [("a", "x"), ("b", "x")])
    written(ledger, [("a", "y")])
    page = opened(ledger, [("a", "y"), ("b", "z")])
    assert page.alone(np.arange(2), np.array([2, 1])).tolist() == [False, True]


def test_the_key_of_a_relation_tells_edges_apart_as_the_database_does() -> None:
    ledger = of_an_import()
    page = opened(ledger, [("a", "x")] * 4, [0.0, 1.0, None, 2.5])
    page.note(np.arange(4))
    ledger.close(page)
    asked = opened(ledger, [("a", "x")] * 5, [-0.0, 1.0, float("nan"), 2.5, 3.0])
    assert asked.seen.tolist() == [True, True, True, True, False]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2, 3, None], pa.int64()),
        pa.array([1.5, -1.5, 1e300, None]),
        pa.array(["a", "b", "", None]),
        pa.array([True, False, None]),
        pa.array([["a"], ["a", "b"], [], None]),
    ],
)
def test_distinct_values_have_distinct_hashes_and_equal_ones_the_same(values: pa.Array) -> None:
    first, again = hashed(values), hashed(pa.concat_arrays([values, values]))
    assert len(set(first.tolist())) == len(values)
    assert again.tolist() == first.tolist() * 2


def test_hashes_of_a_million_edges_do_not_meet() -> None:
    users, items = np.divmod(np.arange(1_000_000), 1000)
    names = [pa.array([f"{kind}{i}" for i in range(1000)]) for kind in "ui"]
    page = of_an_import().open("LIKES", (names[0], names[1]), (users, items), [])
    assert len(np.unique(page.edge)) == 1_000_000
