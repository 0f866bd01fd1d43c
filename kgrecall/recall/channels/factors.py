"""Matrix factors from implicit feedback: every pair counts, those that happened count more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from kgrecall.graph.alternating import alternating_factors, in_own_basis
from kgrecall.recall.channels.item_knn import interaction_matrix
from kgrecall.settings import Settings
from kgrecall.types import FloatArray, Interactions


class FactorsConfig(Settings):
    """``min sum_ui x_ui (1 - p_u q_i)^2 + u sum_ui (p_u q_i)^2 + sum_u l_u |p_u|^2 + sum_i l_i |q_i|^2``.

    ``l_u = l (n_u + u num_items)`` and ``l_i = l (n_i + u num_users)``, n being degrees. Hu, Koren & Volinsky, "Collaborative
    Filtering for Implicit Feedback Datasets" (ICDM 2008), with the scaling of Rendle et al., "Revisiting the Performance of
    iALS on Item Recommendation Benchmarks" (RecSys 2022).
    """

    dim: int = Field(default=128, ge=1)
    """Length of the vectors."""
    unobserved: float = Field(default=0.05, gt=0)
    """u: what a pair without an event counts against one with an event. Choose on validation data."""
    regularization: float = Field(default=0.01, gt=0)
    """l: how strongly vectors are pulled to zero. Choose on validation data, together with ``unobserved``."""
    rounds: int = Field(default=5, ge=1)
    """Times that users and items are solved for in turn; few suffice, for the start is the singular vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemFactors:
    """What serving needs: users are solved for from their histories.

    Shapes: ``items`` float32 (num_items, dim), a zero row where an item has no event, in a basis in which ``items^T items`` is
    diagonal; ``spectrum`` float32 (dim,) is that diagonal.
    """

    items: FloatArray
    spectrum: FloatArray
    unobserved: float
    regularization: float

    def penalty(self, num_events: float) -> FloatArray:
        """The diagonal that a user's normal equations add to those of the history, float32 (dim,)."""
        shrink = self.regularization * (num_events + self.unobserved * len(self.items))
        diagonal: FloatArray = (self.unobserved * self.spectrum + shrink).astype(np.float32)
        return diagonal


def build_factors(interactions: Interactions, config: FactorsConfig | None = None, *, seed: int = 0) -> ItemFactors:
    """Solve for users and items in turn, each by conjugate gradients from where they were before.

    Time: some 2 x rounds x 4 passes over the events with dim multiplications each.
    """
    config = config or FactorsConfig()
    items = alternating_factors(
        interaction_matrix(interactions),
        dim=config.dim,
        unobserved=config.unobserved,
        regularization=config.regularization,
        rounds=config.rounds,
        seed=seed,
    )
    return ItemFactors(*in_own_basis(items), config.unobserved, config.regularization)
