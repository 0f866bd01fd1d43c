"""Losses that turn scores into gradients.

Scores are inner products of unit vectors divided by a temperature, so one setting fits all catalogues. They come as a table of
users by candidates, in which an entry of -inf is no candidate for that user.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sampled_softmax(
    scores: Tensor, row: Tensor, column: Tensor, *, none_share: float = 0.0, rarity: Tensor | None = None
) -> Tensor:
    """Mean over (row, column) targets of ``log sum_j exp(s_uj + r_j) - (1 - e) s_ui``.

    The multinomial likelihood over sampled candidates (Bengio & Senécal, 2008; Liang et al., WWW 2018): one normaliser serves
    all targets of a user. ``e`` is the share of a target's mass that goes to "none of them", an option of score 0: it keeps
    the model from answering every user with what is asked for anyway, which pays when tastes drift. ``r_j``, -log of the chance
    that a candidate was drawn, makes the sum an estimate of that over the whole catalogue: without it popular items, drawn most
    often, would be pushed down as if they were chosen less than they are (Yi et al., RecSys 2019).
    Shapes: scores (q, m); row, column int64 (p,); rarity (m,) -> scalar.
    """
    normaliser = torch.logsumexp(scores if rarity is None else scores + rarity, dim=1)  # (q,)
    return (normaliser[row] - (1.0 - none_share) * scores[row, column]).mean()


def bpr(scores: Tensor, row: Tensor, column: Tensor, negative: Tensor) -> Tensor:
    """Bayesian personalised ranking (Rendle et al., UAI 2009): mean of ``-log sigmoid(s_ui - s_uj)`` over (target, negative).

    Shapes: scores (q, m); row, column, negative int64 (p,): one negative column for each target -> scalar.
    """
    return functional.softplus(scores[row, negative] - scores[row, column]).mean()


def next_items(own: Tensor, share: Tensor, negative: Tensor, rarity: Tensor) -> Tensor:
    """Mean over places of ``log(sum_t w_t exp(s_t) + sum_j exp(s_j + r_j)) - sum_t w_t s_t``.

    One normaliser serves all items that are right at a place, which count as one between them; ``r`` as in
    :func:`sampled_softmax`. Shapes: own (p, n), scores of items of the place's window; share (p, n), how much each is right,
    in no scale, with a sum above 0; negative (p, m), rarity (m,) -> scalar.
    """
    share = share / share.sum(dim=1, keepdim=True)
    right = torch.logsumexp(own + share.clamp_min(1e-30).log(), dim=1)
    normaliser = torch.logaddexp(torch.logsumexp(negative + rarity, dim=1), right)
    return (normaliser - (share * own).sum(dim=1)).mean()
