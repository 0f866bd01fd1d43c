"""The content metric on a planted world: words that people bind together, though they are nothing alike."""

from __future__ import annotations

import numpy as np
import pytest

from kgrecall.graph.knowledge import Incidence
from kgrecall.recall.channels.content import ContentConfig, build_content, content_features, met_items
from kgrecall.recall.channels.node_space import NodeSpace, build_node_space
from kgrecall.types import Embeddings, Interactions

NUM_USERS, NUM_ITEMS, KINDS, NEW = 200, 120, 8, 24
KIND = np.arange(NUM_ITEMS) % KINDS
IS_NEW = np.arange(NUM_ITEMS) >= NUM_ITEMS - NEW


@pytest.fixture(scope="module")
def events() -> Interactions:
    """Who likes kind 2 m also likes kind 2 m + 1; nobody has met the newest items."""
    rng = np.random.default_rng(0)
    liked = np.arange(NUM_USERS)[:, None] % (KINDS // 2) == KIND[None, :] // 2
    user, item = np.nonzero((rng.random(liked.shape) < np.where(liked, 0.3, 0.01)) & ~IS_NEW[None, :])
    return Interactions(user, item, np.ones(len(user), np.float32), None, NUM_USERS, NUM_ITEMS)


@pytest.fixture(scope="module")
def texts() -> np.ndarray:
    """A direction for each kind, and noise: kinds that go together are no nearer to each other than to others."""
    rng = np.random.default_rng(1)
    found = rng.standard_normal((KINDS, 32))[KIND] + 0.4 * rng.standard_normal((NUM_ITEMS, 32))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def space() -> NodeSpace:
    from scipy import sparse

    rng = np.random.default_rng(2)
    tag = np.concatenate([kind + KINDS * rng.permutation(4)[:2] for kind in KIND])
    matrix = sparse.coo_array(
        (np.ones(len(tag), np.float32), (np.repeat(np.arange(NUM_ITEMS), 2), tag)), (NUM_ITEMS, 4 * KINDS)
    )
    return build_node_space([Incidence("TAGGED", "Tag", matrix.tocsr(), reverse=False)])


def bound_together(found: Embeddings) -> float:
    """For a history of one kind: the share of the other kind of its pair among the six best new items outside of that kind."""
    shares = []
    for kind in range(KINDS):
        user = found.item_inputs[(kind == KIND) & ~IS_NEW].sum(axis=0)
        scores = np.where(IS_NEW & (kind != KIND), found.items @ user, -np.inf)
        shares.append(np.mean(KIND[np.argsort(-scores)[:3]] // 2 == kind // 2))
    return float(np.mean(shares))


@pytest.mark.parametrize("source", ["text", "graph", "both"])
def test_new_items_are_placed_by_what_goes_together(
    events: Interactions, texts: np.ndarray, space: NodeSpace, source: str
) -> None:
    features = content_features(None if source == "text" else space, [] if source == "graph" else [texts], NUM_ITEMS, dim=16)
    raw = Embeddings(features[:0], features, features)
    assert bound_together(raw) < 0.5  # what is alike is not what goes together; chance is 1/7
    assert bound_together(build_content(events, features, ContentConfig(l2=3.0))) > 0.8


def test_the_metric_is_the_ridge_regression_from_both_sides(events: Interactions, texts: np.ndarray) -> None:
    from kgrecall.recall.channels.item_knn import build_item_knn

    config = ContentConfig(l2=5.0)
    features = content_features(None, [texts], NUM_ITEMS)
    found = build_content(events, features, config)
    f, w = features[~IS_NEW].astype(float), build_item_knn(events, config.target).toarray()[~IS_NEW][:, ~IS_NEW]
    p = np.linalg.solve(f.T @ f + 5.0 * np.eye(f.shape[1]), f.T)
    expected = features @ (p @ w @ p.T)
    ratio = np.linalg.norm(found.item_inputs) / np.linalg.norm(expected)  # the unit is free
    np.testing.assert_allclose(found.item_inputs, ratio * expected, rtol=1e-3, atol=1e-5)


def test_features_are_centred_and_empty_where_nothing_is_known(texts: np.ndarray, space: NodeSpace) -> None:
    some = texts.copy()
    some[3] = 0
    features = content_features(space, [some], NUM_ITEMS, dim=16)
    assert features.shape == (NUM_ITEMS, 32 + 16)
    assert not features[3, :32].any()
    assert np.linalg.norm(features[:3, :32], axis=1) == pytest.approx(1, abs=1e-5)
    assert (features[:, 32:] ** 2).sum(axis=1).mean() == pytest.approx(1, abs=1e-4)
    assert content_features(None, [], 5).shape == (5, 0)
    assert np.array_equal(features, content_features(space, [some], NUM_ITEMS, dim=16))


def test_the_graph_directions_are_those_of_the_singular_value_decomposition(space: NodeSpace) -> None:
    dense = space.matrix.toarray()
    weighed = dense / np.linalg.norm(dense, axis=1, keepdims=True) / np.sqrt((dense > 0).sum(axis=0))
    left, values, _ = np.linalg.svd(weighed, full_matrices=False)
    expected = (left[:, :8] * values[:8]) @ (left[:, :8] * values[:8]).T
    found = content_features(space, [], NUM_ITEMS, dim=8).astype(float)
    found = found @ found.T
    np.testing.assert_allclose(found / np.trace(found), expected / np.trace(expected), atol=1e-3)


def test_who_was_met(events: Interactions) -> None:
    assert np.array_equal(met_items(events), ~IS_NEW)
