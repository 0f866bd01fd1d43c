"""The model taught besides that a text and the choices of people tell of one item, by contrast: tried, not kept."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kgrecall.model.batches import Batch
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.trainer import ModelConfig, TrainedModel, _Run
from kgrecall.types import Interactions

MOST = 1024
"""Items that are told apart in one step."""
TEMPERATURE = 0.2


def train_contrasted(
    inputs: ModelInputs, config: ModelConfig, weight: float, *, valid: Interactions | None = None, seed: int = 0
) -> TrainedModel:
    """As :func:`kgrecall.model.trainer.train`, with ``weight`` times :func:`info_nce` in the loss of each batch of users."""
    run = _Contrasted(inputs, config, valid=valid, seed=seed, device="cpu")
    run.weight = weight
    while not run.finished:
        run.epoch()
    return run.result()


class _Contrasted(_Run):
    """One view of an item is its text, through the text map; the other its own vector, taught by histories and sets."""

    weight = 0.0

    def _loss(self, sources: Tensor, targets: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        loss, text = super()._loss(sources, targets, batch, generator), self.tower.dense
        if text is None:
            return loss
        both = torch.nonzero(self.tower.met & text.any(dim=1)).ravel()
        some = both[torch.randperm(len(both), generator=generator)[:MOST]]
        return loss + self.weight * info_nce(text[some] @ self.tower.dense_map, self.tower.item_id[some], TEMPERATURE)


def info_nce(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """How badly each row of one view finds its own row among those of the other, both ways (van den Oord, Li & Vinyals, 2018;
    between views of a recommender's items: Wu et al., SIGIR 2021).

    Shapes: (n, d) twice -> scalar.
    """
    likeness = functional.normalize(one, dim=1) @ functional.normalize(other, dim=1).T / temperature
    own = torch.arange(len(likeness))
    return (functional.cross_entropy(likeness, own) + functional.cross_entropy(likeness.T, own)) / 2
