"""The same question several times over, with everything that belongs to it."""

from __future__ import annotations

import numpy as np

from kgrecall.recall.base import Hits, QueryBatch
from kgrecall.recall.variations import repeated, scores_of_parts

BATCH = QueryBatch(
    num_items=4,
    user_pos=np.array([-1]),
    history_indptr=np.array([0, 2]),
    history_pos=np.array([0, 1], np.int32),
    history_weight=np.ones(2, np.float32),
    exclude_indptr=np.array([0, 0]),
    exclude_pos=np.empty(0, np.int32),
    text=np.ones((1, 3), np.float32),
    words=("tent",),
    alike=np.array([True]),
)


def test_words_and_likeness_are_repeated_too() -> None:
    thrice = repeated(BATCH, 3)
    assert thrice.words == ("tent",) * 3
    assert thrice.alike is not None
    assert thrice.alike.tolist() == [True] * 3


def test_where_the_text_does_not_count_its_words_are_not_searched_for() -> None:
    class ByWords:
        name = "words"

        def recall(self, queries: QueryBatch, k: int) -> Hits:
            hits = Hits.empty(len(queries), k)
            assert queries.words is not None
            for i, words in enumerate(queries.words):
                if words:
                    hits.positions[i, 0], hits.scores[i, 0] = 3, len(words)
            return hits

        def evidence(self, query: QueryBatch, item_pos: int, limit: int) -> list[object]:
            return []

    parts = np.ones((2, 2), np.bool_)
    scores = scores_of_parts(ByWords(), BATCH, 3, parts, with_text=np.array([True, False]), as_visitor=False)  # type: ignore[arg-type]
    assert scores.tolist() == [4, 0]
