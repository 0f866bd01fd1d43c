"""Collective least squares against dense normal equations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from kgrecall.graph import alternating
from kgrecall.graph.alternating import alternating_factors, in_own_basis
from kgrecall.kernels import tier
from kgrecall.threads import SWITCH

U, L = 0.3, 0.02


def rows(seed: int, num_rows: int = 40, num_items: int = 21) -> np.ndarray:
    """Two crowds with ten items each; the last item is nobody's."""
    same = np.arange(num_rows)[:, None] % 2 == np.arange(num_items)[None, :] % 2
    drawn = np.random.default_rng(seed).random((num_rows, num_items)) < np.where(same, 0.5, 0.03)
    return (drawn & (np.arange(num_items) < 20)).astype(np.float32)


def factors(chosen: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return alternating_factors(
        sparse.csr_array(chosen), dim=4, unobserved=U, regularization=L, rounds=200, seed=0, weight=weight
    )


def least(others: np.ndarray, met: np.ndarray, weight: np.ndarray, total: float) -> np.ndarray:
    shrink = L * ((weight * met).sum() + U * total)
    normal = others.T @ np.diag(weight * (met + U)) @ others + shrink * np.eye(4)
    return np.linalg.solve(normal, others.T @ (weight * met))


def test_each_item_solves_its_weighted_normal_equations() -> None:
    chosen = rows(0).astype(np.float64)
    weight = np.where(np.arange(40) < 25, 1.0, 0.3)
    q = factors(chosen.astype(np.float32), weight.astype(np.float32)).astype(np.float64)
    p = np.stack([least(q, row, np.ones(21), 21) for row in chosen])
    expected = np.stack([least(p, column, weight, weight.sum()) for column in chosen.T])
    np.testing.assert_allclose(q[:20], expected[:20], atol=2e-3)
    assert np.abs(q[:20]).max() > 0.1
    assert not q[20].any()


def test_compiled_loops_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="the extra 'fast' is not installed")
    monkeypatch.setattr(alternating, "_ROWS", 16)  # several blocks of rows
    chosen, weight = rows(1), np.linspace(0.2, 1, 40, dtype=np.float32)
    tier.use(False)
    by_numpy = factors(chosen, weight)
    assert tier.use(True)
    np.testing.assert_allclose(factors(chosen, weight), by_numpy, atol=2e-5)
    assert np.abs(by_numpy).max() > 0.1


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_bits_do_not_depend_on_threads(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternating, "_ROWS", 8)
    monkeypatch.setenv(SWITCH, "2")
    expected = factors(rows(2), np.ones(40, np.float32))
    monkeypatch.setenv(SWITCH, threads)
    np.testing.assert_array_equal(factors(rows(2), np.ones(40, np.float32)), expected)


def test_the_own_basis_is_diagonal() -> None:
    items = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    turned, spectrum = in_own_basis(items)
    assert turned.T @ turned == pytest.approx(np.diag(spectrum), abs=1e-4)
    assert turned @ turned.T == pytest.approx(items @ items.T, abs=1e-4)
