"""Training: a few large steps over users, each with one propagation over the whole graph."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor
from torch.nn import functional

from kgrecall.model.batches import Batch, BatchSampler
from kgrecall.model.checkpoint import Checkpoint
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.losses import bpr, sampled_softmax
from kgrecall.model.tower import RecallTower, TowerConfig, place_users
from kgrecall.model.validation import recall_at
from kgrecall.settings import Settings
from kgrecall.types import Embeddings, FloatArray, Interactions, Progress, no_progress


class ModelConfig(Settings):
    """The shape of the model and how it is trained."""

    tower: TowerConfig = TowerConfig()
    """The shape of the model."""
    loss: Literal["softmax", "bpr"] = "softmax"
    """Sampled softmax, or Bayesian personalised ranking."""
    epochs: int = Field(default=16, ge=1)
    """Most passes over the users."""
    batch_size: int = Field(default=1024, ge=1)
    """Users in one step."""
    learning_rate: float = Field(default=5e-3, gt=0.0)
    """Step size of Adam."""
    temperature: float = Field(default=0.12, gt=0.0)
    """Cosines are divided by this before the loss."""
    num_negatives: int = Field(default=2000, ge=1)
    """Negatives drawn for each step; smaller catalogues are used whole."""
    negative_power: float = Field(default=0.5, ge=0.0, le=1.0)
    """Negatives are drawn in proportion to ``degree ** negative_power``."""
    target_share: float = Field(default=0.4, gt=0.0, lt=1.0)
    """Share of a history that is hidden and to be found."""
    id_dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Chance that an item's id is hidden in a step, so that text and graph learn to stand alone."""
    patience: int = Field(default=3, ge=1)
    """Stop after this many epochs without a better validation recall."""
    valid_k: int = Field(default=20, ge=1)
    """List length of the validation recall."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One point of the training curve; ``valid_recall`` is None without validation data."""

    epoch: int
    loss: float
    valid_recall: float | None


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What training leaves behind: arrays of the best epoch, the curve, the weight of each relation in each layer."""

    embeddings: Embeddings
    curve: tuple[EpochRecord, ...]
    best_epoch: int
    relation_weights: Mapping[str, tuple[float, ...]]
    config: ModelConfig


def train(
    inputs: ModelInputs,
    config: ModelConfig | None = None,
    *,
    valid: Interactions | None = None,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress = no_progress,
) -> TrainedModel:
    """Learn vectors for users and items.

    With ``valid``, the epoch with the best recall is kept and training stops when it no longer improves. With ``checkpoint``,
    the run is written there after each epoch and continues from it when the file exists; the result equals that of an
    uninterrupted run.

    Raises:
        StaleArtifact: ``checkpoint`` belongs to other data, another configuration or another seed.
        CorruptArtifact: ``checkpoint`` is damaged.
    """
    config = config or ModelConfig()
    run = _Run(inputs, config, valid=valid, seed=seed, device=device)
    if checkpoint is not None and checkpoint.exists():
        run.restore(Checkpoint.load(checkpoint, run.fingerprint))
    progress("train", len(run.curve), config.epochs)
    while not run.finished:
        run.epoch()
        if checkpoint is not None:
            run.checkpoint().save(checkpoint)
        progress("train", len(run.curve), config.epochs)
    return run.result()


class _Run:
    """The state of one training run between two epochs."""

    def __init__(self, inputs: ModelInputs, config: ModelConfig, *, valid: Interactions | None, seed: int, device: str) -> None:
        self.config, self.valid, self.seed, self.device = config, valid, seed, device
        self.history = inputs.history()
        self.tower = RecallTower(inputs, config.tower, seed=seed).to(device)
        self.optimizer = torch.optim.Adam(self.tower.parameters(), lr=config.learning_rate)
        self.sampler = BatchSampler(
            self.history,
            batch_size=config.batch_size,
            target_share=config.target_share,
            num_negatives=config.num_negatives,
            negative_power=config.negative_power,
        )
        self.curve: list[EpochRecord] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        self.fingerprint = _fingerprint(inputs, config, valid, seed)

    @property
    def finished(self) -> bool:
        stale = self.valid is not None and len(self.curve) - self.best_epoch >= self.config.patience
        return bool(self.curve) and (len(self.curve) >= self.config.epochs or stale)

    def epoch(self) -> None:
        number = len(self.curve) + 1
        self.tower.train()
        generator = torch.Generator().manual_seed(int(np.random.default_rng([self.seed, number, 1]).integers(2**62)))
        losses = [self._step(batch, generator) for batch in self.sampler.epoch(self.seed, number)]
        items, sources = self._vectors()
        recall = None
        if self.valid is not None:
            users = history_users(self.history, sources)
            recall = recall_at(self.config.valid_k, users, items, self.history, self.valid)
        best = max((r.valid_recall or 0.0 for r in self.curve), default=-1.0)
        self.curve.append(EpochRecord(number, float(np.mean(losses)) if losses else 0.0, recall))
        if recall is None or recall > best:
            self.best_epoch = number
            self.best = {name: tensor.detach().clone() for name, tensor in self.tower.state_dict().items()}

    def _step(self, batch: Batch, generator: torch.Generator) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch, generator)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach())

    def _loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        config, device = self.config, self.device
        kept = torch.rand(self.history.shape[1], generator=generator) >= config.id_dropout
        sources, targets = self.tower(kept.to(device))
        users = place_users(sources, batch.items.to(device), batch.offsets.to(device), batch.weight.to(device))
        paired = users[batch.target_user.to(device)]
        target_item, negatives = batch.target_item.to(device), batch.negatives.to(device)
        if config.loss == "bpr":
            one = torch.randint(len(negatives), (len(target_item),), generator=generator).to(device)
            return bpr(paired, targets[target_item], targets[negatives[one]], config.temperature)
        return sampled_softmax(paired, targets[target_item], targets[negatives], negatives, target_item, config.temperature)

    @torch.no_grad()
    def _vectors(self) -> tuple[FloatArray, FloatArray]:
        self.tower.eval()
        sources, targets = self.tower()
        return targets.cpu().numpy(), sources.cpu().numpy()

    def checkpoint(self) -> Checkpoint:
        tensors = {f"model.{name}": t for name, t in self.tower.state_dict().items()}
        tensors |= {f"best.{name}": t for name, t in self.best.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": t for name, t in moments.items()}
        curve = [[r.epoch, r.loss, r.valid_recall] for r in self.curve]
        return Checkpoint(self.fingerprint, {"curve": curve, "best_epoch": self.best_epoch}, tensors)

    def restore(self, saved: Checkpoint) -> None:
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
        for name, tensor in saved.tensors.items():
            group, rest = name.split(".", 1)
            groups[group][rest] = tensor.to(self.device)
        moments: dict[int, dict[str, Any]] = {}
        for name, tensor in groups["optimizer"].items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = tensor.cpu() if key == "step" else tensor
        self.tower.load_state_dict(groups["model"])
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        self.best, self.best_epoch = groups["best"], int(saved.state["best_epoch"])
        self.curve = [EpochRecord(*point) for point in saved.state["curve"]]

    def result(self) -> TrainedModel:
        self.tower.load_state_dict(self.best)
        items, sources = self._vectors()
        embeddings = Embeddings(history_users(self.history, sources), items, sources)
        return TrainedModel(embeddings, tuple(self.curve), self.best_epoch, self.tower.relation_weights(), self.config)


def history_users(history: sparse.csr_array, item_inputs: FloatArray) -> FloatArray:
    """Place users by their histories: csr (q, num_items), float32 (num_items, d) -> float32 (q, d) of unit length or zero."""
    sums = torch.from_numpy(np.asarray(history @ item_inputs, dtype=np.float32))
    out: FloatArray = functional.normalize(sums, dim=1).numpy()
    return out


def _fingerprint(inputs: ModelInputs, config: ModelConfig, valid: Interactions | None, seed: int) -> str:
    digest = hashlib.sha256(config.model_dump_json().encode() + seed.to_bytes(8, "little", signed=True))
    events = (inputs.interactions,) if valid is None else (inputs.interactions, valid)
    for part in events:
        digest.update(np.array([part.num_users, part.num_items, len(part)]).tobytes())
        digest.update(part.user_pos.tobytes() + part.item_pos.tobytes() + part.weight.tobytes())
    for incidence in inputs.knowledge:
        digest.update(f"{incidence.relation}|{incidence.label}|{incidence.reverse}".encode())
        for array in (incidence.matrix.indptr, incidence.matrix.indices, incidence.matrix.data):
            digest.update(np.ascontiguousarray(array).tobytes())
    if inputs.text is not None:
        digest.update(np.ascontiguousarray(inputs.text).tobytes())
    return digest.hexdigest()
