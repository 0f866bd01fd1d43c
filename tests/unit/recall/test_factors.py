from __future__ import annotations

import numpy as np

from kgrecall.recall.channels.factors import FactorsConfig, build_factors
from kgrecall.types import Interactions


def block_events() -> Interactions:
    """Two crowds with ten items each; the last item is nobody's."""
    rng = np.random.default_rng(0)
    same = np.arange(40)[:, None] % 2 == np.arange(21)[None, :] % 2
    users, items = np.nonzero((rng.random((40, 21)) < np.where(same, 0.5, 0.03)) & (np.arange(21) < 20))
    return Interactions(users, items, np.ones(len(users), np.float32), None, 40, 21)


def test_the_loss_is_at_its_least() -> None:
    """After many rounds, each item's vector solves its own normal equations, given the users that the history implies."""
    events, config = block_events(), FactorsConfig(dim=4, unobserved=0.3, regularization=0.02, rounds=200)
    factors = build_factors(events, config)
    q = factors.items.astype(np.float64)
    x = np.zeros((40, 21))
    x[events.user_pos, events.item_pos] = 1
    users = np.stack([_least(q, row, 0.02 * (row.sum() + 0.3 * 21)) for row in x])
    items = np.stack([_least(users, column, 0.02 * (column.sum() + 0.3 * 40)) for column in x.T])
    np.testing.assert_allclose(q[:20], items[:20], atol=2e-3)
    assert np.abs(q[:20]).max() > 0.1


def _least(others: np.ndarray, met: np.ndarray, shrink: float) -> np.ndarray:
    normal = others.T @ np.diag(met) @ others + 0.3 * others.T @ others + shrink * np.eye(4)
    return np.linalg.solve(normal, others.T @ met)


def test_the_basis_is_diagonal_and_cold_items_have_no_vector() -> None:
    factors = build_factors(block_events(), FactorsConfig(dim=4))
    np.testing.assert_allclose(factors.items.T @ factors.items, np.diag(factors.spectrum), atol=1e-4)
    assert not factors.items[20].any()


def test_crowds_are_told_apart() -> None:
    q = build_factors(block_events(), FactorsConfig(dim=4, unobserved=0.2)).items
    likeness = q @ q.T
    assert likeness[0, 2:20:2].mean() > 5 * abs(likeness[0, 1:20:2].mean())


def test_more_dimensions_than_items_are_no_trouble() -> None:
    factors = build_factors(block_events(), FactorsConfig(dim=64))
    assert factors.items.shape == (21, 64)
    assert np.isfinite(factors.items).all()
