"""The node space, the fusion and the two roles of an item."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from kgrecall.graph.knowledge import Incidence
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.modality import ModalityFusion
from kgrecall.model.relations import relation_matrices
from kgrecall.model.tower import RecallTower, TowerConfig, centred, midway, place_users
from kgrecall.model.validation import recall_at
from kgrecall.types import Interactions

torch.set_num_threads(1)
USER, ITEM = np.array([0, 0, 1, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 0, 2, 3])
EVENTS = Interactions(USER, ITEM, np.ones(7, np.float32), None, 3, 5)  # nobody met item 4
GENRE = Incidence(
    "HAS_GENRE", "Genre", sparse.csr_array(np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 0]], np.float32)), False
)
SEQUEL = Incidence("SEQUEL_OF", "Item", sparse.csr_array(([1.0, 1.0], ([1, 2], [0, 0])), shape=(5, 5)), True)
TEXT = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def tower(*knowledge: Incidence, text: np.ndarray | None = None, **settings: float) -> RecallTower:
    return RecallTower(ModelInputs(EVENTS, knowledge, text), TowerConfig(dim=4, **settings), seed=0)  # type: ignore[arg-type]


def test_nodes_of_one_item_alone_are_left_out() -> None:
    space, matrices = relation_matrices(ModelInputs(EVENTS, [GENRE]), with_interactions=False)
    assert (space.num_items, space.num_entities, space.num_users) == (5, 2, 0)
    expected = np.zeros((7, 7))
    expected[[0, 1, 4, 2, 3], [5, 5, 5, 6, 6]] = 1
    assert np.array_equal(matrices["HAS_GENRE:Genre"].toarray(), expected + expected.T)


def test_items_stand_a_second_time_as_neighbours_and_users_last() -> None:
    space, matrices = relation_matrices(ModelInputs(EVENTS, [SEQUEL]), with_interactions=True)
    assert list(matrices) == ["^SEQUEL_OF:Item", "interaction"]
    assert (space.num_entities, space.num_users, space.num_nodes) == (1, 3, 9)
    assert np.argwhere(np.triu(matrices["^SEQUEL_OF:Item"].toarray())).tolist() == [[1, 5], [2, 5]]
    met = np.zeros((9, 9))
    met[ITEM, 6 + USER] = 1
    assert np.array_equal(matrices["interaction"].toarray(), met + met.T)


def test_gates_weigh_what_is_shown_and_not_what_is_hidden() -> None:
    fusion = ModalityFusion(torch.tensor([3.0, 3.0, 0.0]))
    with torch.no_grad():
        fusion.bias.copy_(torch.tensor([0.0, np.log(3.0), -np.log(3.0)]))
    one = torch.ones(3, 2)
    fused = fusion(one, 10 * one, 100 * one, torch.tensor([True, False, False]))
    assert fused[:, 0].tolist() == pytest.approx([0.5 + 7.5 + 25, 110, 110])
    assert fusion(one, None, None, torch.tensor([True, False, False]))[:, 0].tolist() == [0.5, 0, 0]


def test_gates_may_follow_the_degree() -> None:
    fusion = ModalityFusion(torch.tensor([1.0, 50.0]))
    with torch.no_grad():
        fusion.slope.copy_(torch.tensor([1.0, -1.0, 0.0]))
    gates = fusion.gates()
    assert gates[1, 0] > gates[0, 0]
    assert gates[1, 1] < gates[0, 1]
    assert gates[1, 2] == gates[0, 2]


@torch.no_grad()
def test_outputs_are_unit_vectors_and_unseen_items_no_longer() -> None:
    _, targets = tower(GENRE, text=TEXT)()
    length = targets.norm(dim=1)
    assert length[:4].tolist() == pytest.approx([1] * 4, abs=1e-5)
    assert 0 < length[4] <= 1


@torch.no_grad()
def test_a_hidden_item_does_not_depend_on_its_id() -> None:
    model = tower(GENRE, num_layers=1)
    kept = torch.tensor([False, True, True, True, True])
    before = model(kept)
    model.item_id[0] += 5
    after = model(kept)
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old, new)
    assert not torch.equal(model()[1][0], after[1][0])


@torch.no_grad()
def test_an_item_that_nothing_describes_keeps_its_id() -> None:
    kept = torch.zeros(5, dtype=torch.bool)
    for plain, dropped in zip(tower()(), tower()(kept), strict=True):
        assert torch.equal(plain, dropped)


@torch.no_grad()
def test_one_layer_hears_direct_neighbours_two_layers_items_that_share_them() -> None:
    for layers, heard in ((1, False), (2, True)):
        model = tower(GENRE, num_layers=layers)
        model.layer_weight.fill_(1.0)
        before = model()[1][0].clone()
        model.item_id[1] += 3.0  # shares a genre with item 0
        assert torch.equal(before, model()[1][0]) != heard


def test_popular_items_of_a_history_count_less() -> None:
    plain, scaled = tower()()[0], tower(history_power=0.5)()[0]
    degree = torch.tensor([2.0, 2.0, 2.0, 1.0])
    torch.testing.assert_close(scaled[:4], plain[:4] / degree.sqrt()[:, None])


def test_unseen_items_are_exported_with_caution() -> None:
    sources, targets, shares = tower(GENRE, text=TEXT).export()
    _, less, _ = tower(GENRE, text=TEXT, unseen_scale=0.5).export()
    assert np.isfinite(sources).all()
    assert less[4] == pytest.approx(0.5 * targets[4])
    assert less[:4] == pytest.approx(targets[:4])
    assert set(shares) == {"HAS_GENRE:Genre", "text"}
    assert sum(shares.values()) == pytest.approx(1)
    _, nowhere, none = tower().export()
    assert nowhere[4].tolist() == [0] * 4  # nothing is known of it
    assert none == {}


def test_midway_is_shorter_where_directions_differ_and_leaves_out_what_is_silent() -> None:
    first = np.array([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0], [0.0, 0.0]], np.float32)
    second = np.array([[5.0, 0.0], [1.0, 0.0], [0.0, -4.0], [0.0, 0.0]], np.float32)
    assert midway(first, second).tolist() == [[1.0, 0.0], [0.5, 0.5], [0.0, -1.0], [0.0, 0.0]]


def test_relation_weights_carry_the_names_of_relations() -> None:
    weights = tower(GENRE, SEQUEL, num_layers=2).relation_weights()
    assert list(weights) == ["HAS_GENRE:Genre", "^SEQUEL_OF:Item"]
    assert weights["HAS_GENRE:Genre"] == pytest.approx((1.0, 1.0))
    assert tower(GENRE, num_layers=0).relation_weights() == {}


def test_texts_lose_what_they_share_and_missing_ones_stay_zero() -> None:
    text = np.array([[1.0, 5.0], [0.0, 0.0], [3.0, 5.0]], np.float32)
    assert centred(text).tolist() == [[-1, 0], [0, 0], [1, 0]]
    assert not centred(np.zeros((2, 2), np.float32)).any()


def test_users_are_weighted_sums_of_their_history() -> None:
    inputs = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    placed = place_users(inputs, torch.tensor([0, 1]), torch.tensor([0, 2]), torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(placed, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_validation_recall_by_hand() -> None:
    history = sparse.csr_array(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], np.float32))
    truth = Interactions(np.array([0, 0, 1, 2]), np.array([1, 3, 0, 0]), np.ones(4, np.float32), None, 3, 4)
    items = np.eye(4, dtype=np.float32)
    users = np.array([[9, 3, 2, 1], [0, 9, 2, 1], [1, 0, 0, 0]], np.float32)  # user 2 has no history and is left out
    assert recall_at(1, users, items, history, truth) == pytest.approx((1 / 2 + 0) / 2)
    assert recall_at(3, users, items, history, truth) == pytest.approx((2 / 2 + 1) / 2)
    assert recall_at(9, users, items, history, truth) == pytest.approx(1.0)
