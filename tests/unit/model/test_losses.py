"""Losses by hand."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from kgrecall.model.losses import bpr, sampled_softmax

EACH = torch.eye(3, dtype=torch.float64)
"""With these for candidates a user's vector is the row of scores."""
SCORES = torch.tensor([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]], dtype=torch.float64)


def cells(row: int, column: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([row]), torch.tensor([column])


def test_softmax_of_two_targets_of_one_user_and_one_of_another() -> None:
    row, column = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2])
    first, second = log(exp(1) + exp(2) + exp(0)), log(exp(0.5) + exp(-1) + exp(3))
    expected = (first - 1 + first - 2 + second - 3) / 3
    assert sampled_softmax(SCORES, EACH, (row, column)).item() == pytest.approx(expected)


def test_an_excluded_candidate_takes_no_part() -> None:
    scores = SCORES.clone().requires_grad_()
    loss = sampled_softmax(scores, EACH, cells(0, 0), seen=cells(0, 1))
    assert loss.item() == pytest.approx(log(exp(1) + exp(0)) - 1)
    loss.backward()
    assert scores.grad is not None
    assert scores.grad[0, 1] == 0
    assert torch.isfinite(scores.grad).all()


def test_a_user_without_a_target_may_have_seen_everything() -> None:
    scores = SCORES.clone().requires_grad_()
    loss = sampled_softmax(scores, EACH, cells(0, 0), seen=(torch.tensor([1, 1, 1]), torch.arange(3)))
    loss.backward()
    assert loss.item() == pytest.approx(log(exp(1) + exp(2) + 1) - 1)
    assert scores.grad is not None
    assert not scores.grad[1].any()


def test_the_share_of_none_pushes_every_score_down() -> None:
    scores = SCORES.clone().requires_grad_()
    sampled_softmax(scores, EACH, cells(0, 1), none_share=0.25).backward()
    assert scores.grad is not None
    assert scores.grad[0].sum().item() == pytest.approx(0.25)
    assert scores.grad[0, 1].item() == pytest.approx(exp(2) / (exp(1) + exp(2) + 1) - 0.75)


def test_a_candidate_that_is_drawn_rarely_stands_for_many() -> None:
    rarity = torch.tensor([0.0, 0.0, log(3)], dtype=torch.float64)
    loss = sampled_softmax(SCORES, EACH, cells(0, 2), rarity=rarity)
    assert loss.item() == pytest.approx(log(exp(1) + exp(2) + 3 * exp(0)) - 0)


def test_gradients_are_those_of_finite_differences() -> None:
    rng = torch.Generator().manual_seed(0)
    users, candidates = (torch.randn(n, 4, generator=rng, dtype=torch.float64).requires_grad_() for n in (3, 5))
    right, seen = (torch.tensor([0, 0, 2]), torch.tensor([1, 4, 3])), (torch.tensor([0, 1, 2]), torch.tensor([0, 2, 1]))
    rarity = torch.rand(5, generator=rng, dtype=torch.float64)

    def loss(users: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return 3 * sampled_softmax(users, candidates, right, seen=seen, none_share=0.1, rarity=rarity)

    assert torch.autograd.gradcheck(loss, (users, candidates))


def test_bpr_of_two_pairs() -> None:
    loss = bpr(SCORES, torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([0, 0]))
    assert loss.item() == pytest.approx((log(1 + exp(1 - 2)) + log(1 + exp(0.5 - 3))) / 2)
