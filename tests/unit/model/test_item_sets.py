"""What belongs together by the graph and by the texts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from kgrecall.graph.knowledge import Incidence
from kgrecall.model.alike import AlikeItems, most_alike
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.item_sets import HUB_FLOOR, item_sets
from kgrecall.types import Interactions

ONE_EVENT = (np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, np.float32), None, 1)
GENRES = np.array([[1, 0, 0], [1, 0, 0], [0, 3, 0], [0, 2, 1], [1, 0, 0]], np.float32)
GENRE = Incidence("HAS_GENRE", "Genre", sparse.csr_array(GENRES), reverse=False)
SEQUEL = Incidence("SEQUEL_OF", "Item", sparse.csr_array(([1.0, 1.0], ([1, 1], [0, 3])), shape=(5, 5)), reverse=False)
TEXT = np.array([[1, 0], [2, 0.1], [0, 0], [-1, 0], [-1, 0.1]], np.float32)


def inputs(*knowledge: Incidence, text: np.ndarray | None = None, num_items: int = 5) -> ModelInputs:
    return ModelInputs(Interactions(*ONE_EVENT, num_items), knowledge, text)


def test_an_entity_is_the_set_of_its_items_and_an_item_that_of_those_it_points_to() -> None:
    sets = item_sets(inputs(GENRE, SEQUEL), knowledge=0.5, text=0.3, neighbours=1)
    assert sets.matrix.toarray().tolist() == [[1, 1, 0, 0, 1], [0, 0, 1, 1, 0], [1, 1, 0, 1, 0]]
    assert sets.weight.tolist() == [0.5] * 3


def test_an_item_is_in_a_set_with_the_closest_texts() -> None:
    sets = item_sets(inputs(GENRE, text=TEXT), knowledge=0.0, text=0.3, neighbours=1)
    assert sets.matrix.toarray().tolist() == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]]
    assert sets.weight.tolist() == pytest.approx([0.3] * 4)


def test_texts_that_say_the_opposite_and_missing_ones_are_not_alike() -> None:
    assert most_alike(TEXT, 4).toarray().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 1, 1],
    ]


def test_of_a_large_catalogue_only_some_items_have_a_set_of_texts() -> None:
    assert most_alike(TEXT, 4, pairs=10).toarray().tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 1, 1]]
    assert most_alike(np.zeros((3, 2), np.float32), 4).shape == (0, 3)


def test_what_is_alike_is_found_once_for_the_same_texts() -> None:
    alike = AlikeItems()
    first = alike.sets("text", TEXT, 2)
    assert alike.sets("text", TEXT, 2) is first
    assert alike.sets("text", TEXT, 1) is not first
    assert alike.sets("text", TEXT.copy(), 2) is not first


def test_hubs_say_nothing() -> None:
    num_items = HUB_FLOOR + 10
    both = np.zeros((num_items, 2), np.float32)
    both[:, 0] = 1
    both[:HUB_FLOOR, 1] = 1
    hub = Incidence("IN", "Shelf", sparse.csr_array(both), reverse=False)
    sets = item_sets(inputs(hub, num_items=num_items), knowledge=1.0, text=0.0, neighbours=1)
    assert np.diff(sets.matrix.indptr).tolist() == [HUB_FLOOR]


def test_without_knowledge_and_texts_there_are_no_sets() -> None:
    sets = item_sets(inputs(), knowledge=1.0, text=1.0, neighbours=3)
    assert (len(sets), sets.matrix.shape) == (0, (0, 5))
