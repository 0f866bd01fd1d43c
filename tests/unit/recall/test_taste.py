"""What a visitor says of a taste stands for a history: of the items whose texts come nearest."""

from __future__ import annotations

import numpy as np
import pytest

from kgrecall.errors import Unsupported
from kgrecall.recall.base import Hits, QueryBatch
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.queries.words import TEMPERATURE, Words
from kgrecall.types import Candidates, Query


class Found:
    """A text channel that finds the same items for everybody."""

    name = "text"

    def __init__(self, positions: list[int], scores: list[float]) -> None:
        self._hits = positions, scores

    def recall(self, queries: QueryBatch, k: int) -> Hits:
        positions, scores = self._hits
        rows = len(queries)
        return Hits(np.tile(np.array(positions[:k], np.int32), (rows, 1)), np.tile(np.array(scores[:k], np.float32), (rows, 1)))

    evidence = None


def scored(found: Candidates) -> dict[str, float]:
    return dict(zip(found.item_ids, found.scores.tolist(), strict=True))


def test_a_taste_is_a_history_that_nobody_has_seen(engine: RecallEngine) -> None:
    said = engine.recall(Query(taste="robot", k=6))
    chosen = engine.recall(Query(history=["blade_runner"], exclude_seen=False, k=6))
    assert scored(said) == scored(chosen)
    assert said.served == chosen.served
    assert "blade_runner" in said.item_ids
    assert said.notes[0].startswith("The taste was read as a liking for 'blade_runner'")


def test_a_taste_stands_before_a_history(engine: RecallEngine) -> None:
    said = engine.recall(Query(taste="robot", history=["jaws"], k=6))
    chosen = engine.recall(Query(history=["blade_runner", "jaws"], exclude_seen=False, exclude=frozenset({"jaws"}), k=6))
    assert scored(said) == scored(chosen)
    stored = engine.recall(Query(taste="robot", user_id="ann", k=6))
    given = Query(history=["blade_runner", "alien", "aliens"], exclude_seen=False, exclude=frozenset({"alien", "aliens"}), k=6)
    assert scored(stored) == scored(engine.recall(given))
    twice = engine.recall(Query(taste="robot", history=["blade_runner"], k=6))
    assert scored(twice) == scored(engine.recall(Query(history=["blade_runner"], history_weights=[2], k=6)))


def test_a_batch_answers_as_each_alone(engine: RecallEngine) -> None:
    queries = [Query(taste="robot"), Query(user_id="ann"), Query(text="shark", taste="child"), Query(taste="space monster")]
    together = engine.recall_many(queries)
    assert [scored(found) for found in together] == [scored(engine.recall(query)) for query in queries]


def test_items_weigh_by_how_near_they_come() -> None:
    words = Words(lambda texts: np.ones((len(texts), 2), np.float32), Found([4, 1, 2], [0.9, 0.9 - TEMPERATURE, 0.1]), 5)
    blank, taste = words.tastes([Query(taste=" ", history=[]), Query(taste="dark")])
    assert blank is None
    assert taste is not None
    (unlike,) = Words(lambda texts: np.ones((len(texts), 2), np.float32), Found([3], [0.0]), 5).tastes([Query(taste="dark")])
    assert unlike is not None
    assert not len(unlike.items), "an item that has nothing to do with it is no taste"
    assert taste.items.tolist() == [1, 4], "the nearest last; what weighs next to nothing is left out"
    np.testing.assert_allclose(taste.weights, [np.exp(-1), 1], rtol=1e-5)


def test_hidden_items_stand_for_no_taste() -> None:
    asked: list[QueryBatch] = []

    class Watched(Found):
        def recall(self, queries: QueryBatch, k: int) -> Hits:
            asked.append(queries)
            return super().recall(queries, k)

    shown = np.array([True, False, True, True, True])
    Words(lambda texts: np.ones((len(texts), 2), np.float32), Watched([4], [1.0]), 5, shown).tastes([Query(taste="dark")])
    assert asked[0].mask is shown


def test_words_that_no_item_knows_are_no_taste(engine: RecallEngine) -> None:
    found = engine.recall(Query(taste="romance", k=2))
    assert found.served == "cold"
    assert found.notes[0].startswith("No item has a text near the taste")
    assert engine.recall(Query(taste=" \n")).notes == engine.recall(Query(history=[])).notes


def test_a_user_of_another_graph_may_say_something(engine: RecallEngine) -> None:
    found = engine.recall(Query(user_id="zoe", taste="robot"))
    assert found.notes[0] == "User 'zoe' is not in the graph: the answer rests on what else the call says."


def test_a_taste_needs_an_encoder() -> None:
    with pytest.raises(Unsupported, match=r"Query\.taste.*text encoder"):
        Words(None, None, 5).tastes([Query(taste="robot")])


def test_paths_do_not_say_that_the_visitor_chose_what_stands_for_a_taste(engine: RecallEngine) -> None:
    *paths, popular = engine.explain(Query(taste="robot"), "alien", limit=9)
    assert popular.sentence == "'Alien' is popular with everybody."
    assert {path.sentence.partition(" — ")[0] for path in paths} == {"Your taste is near 'Blade Runner'"}
    assert all(path.nodes[0].id == "blade_runner" for path in paths), "no step from the visitor, who chose nothing"
    shared = [path.sentence for path in paths if path.channel == "item_knn"]
    assert "people who watched it also watched" in shared[0]
    own = engine.explain(Query(taste="robot", history=["blade_runner"]), "alien", limit=9)[:-1]
    assert own
    assert all(path.sentence.startswith("You watched 'Blade Runner'") for path in own)
    zh = engine.explain(Query(taste="robot"), "alien", language="zh")
    assert zh[0].sentence.startswith("您的口味接近《Blade Runner》")
