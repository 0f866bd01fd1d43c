"""Records beside stored edges, without a server."""

from __future__ import annotations

from kgrecall.schema import EdgeTypeSpec
from kgrecall.store.neo4j.compare import compare

SEEN = EdgeTypeSpec(source="User", target="Item", properties={"at": "time", "n": "number"}, key=("at",))
RATED = EdgeTypeSpec(source="User", target="Item", properties={"stars": "number", "time": "time"}, time="time")
BARE = EdgeTypeSpec(source="User", target="User")


def test_the_key_tells_events_apart() -> None:
    edges = [(0, [[70, 1, 0.5], [70, 2, None], [71, 1, 3.0]])]
    ends = ([0, 0, 0, 0, 1], [70, 70, 70, 71, 70])
    columns = {"at": [1, 2, 3, 1, 1], "n": [0.5, 4.0, 0.5, 3, 0.5]}
    found, changed = compare(edges, SEEN, ends, columns)
    assert found.tolist() == [0, 1, 3]
    assert changed.tolist() == [1], "3 is 3.0, and a null is no number"


def test_an_older_record_changes_nothing() -> None:
    edges = [(0, [[70, 1.0, 5], [71, 1.0, None]]), (1, [[70, 1.0, 5]])]
    ends = ([0, 0, 1], [70, 71, 70])
    found, changed = compare(edges, RATED, ends, {"stars": [2.0, 2.0, 2.0], "time": [4, 4, 6]})
    assert (found.tolist(), changed.tolist()) == ([0, 1, 2], [1, 2])
    found, changed = compare(edges, RATED, ends, {"stars": [2.0, 2.0, 1.0], "time": [None, None, 5]})
    assert (found.tolist(), changed.tolist()) == ([0, 1, 2], [1]), "of two without a time the last wins"


def test_properties_that_are_not_given_do_not_count() -> None:
    found, changed = compare([(0, [[70, 1.0]])], RATED, ([0], [70]), {"stars": [1.0]})
    assert (found.tolist(), changed.tolist()) == ([0], [])


def test_edges_without_properties() -> None:
    found, changed = compare([(0, [[71]]), (1, [[70], [72]])], BARE, ([0, 1, 1], [71, 71, 70]), {})
    assert (found.tolist(), changed.tolist()) == ([0, 2], [])
