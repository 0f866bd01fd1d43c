"""Losses that turn scores into gradients.

Scores are inner products of unit vectors divided by a temperature, so one setting fits all catalogues.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sampled_softmax(
    users: Tensor, positives: Tensor, negatives: Tensor, negative_ids: Tensor, positive_ids: Tensor, temperature: float
) -> Tensor:
    """Cross entropy of each positive against itself and shared negatives (Bengio & Senécal, 2008; Yi et al., RecSys 2019).

    A negative that is the pair's own positive is masked. Shapes: users (p, d), positives (p, d), negatives (n, d), all of unit
    length; negative_ids (n,), positive_ids (p,) -> scalar.
    """
    positive = (users * positives).sum(1, keepdim=True) / temperature  # (p, 1)
    others = users @ negatives.T / temperature  # (p, n)
    others = others.masked_fill(positive_ids[:, None] == negative_ids[None, :], float("-inf"))
    return (torch.logsumexp(torch.cat([positive, others], dim=1), dim=1) - positive.squeeze(1)).mean()


def bpr(users: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Bayesian personalised ranking (Rendle et al., UAI 2009): ``-log sigmoid(s_ui - s_uj)``, one negative for each positive.

    Shapes: users, positives, negatives (p, d), all of unit length -> scalar.
    """
    margin = (users * (positives - negatives)).sum(1) / temperature  # (p,)
    return functional.softplus(-margin).mean()
