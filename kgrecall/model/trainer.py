"""Training: a few large steps over users, each with one propagation over the whole graph."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
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
from kgrecall.model.inputs import ModelInputs, events_digest
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
    """Most passes over the users, or over as many of them as ``max_steps`` allows."""
    batch_size: int = Field(default=1024, ge=1)
    """Most users in one step; few users are cut into ``min_steps`` batches."""
    min_steps: int = Field(default=8, ge=1)
    """Least steps of an epoch."""
    max_steps: int = Field(default=100, ge=1)
    """Most steps of an epoch: of more than 102,400 users others are drawn for each, so that how long a model trains depends on
    how much there is to learn about items, not on how many people there are."""
    learning_rate: float = Field(default=5e-3, gt=0.0)
    """Step size of Adam for the item vectors; all else is scaled to it."""
    content_rate: float = Field(default=1.0, ge=0.0)
    """How fast entities and text map learn compared with the item vectors; 0 keeps their closed-form start."""
    temperature: float = Field(default=0.15, gt=0.0)
    """Cosines are divided by this before the loss."""
    num_negatives: int = Field(default=2000, ge=1)
    """Negatives drawn for each step; smaller catalogues are used whole."""
    negative_power: float = Field(default=0.5, ge=0.0, le=1.0)
    """Negatives are drawn in proportion to ``degree ** negative_power``."""
    rarity_power: float = Field(default=1.0, ge=0.0)
    """How far the loss makes up for popular items being drawn more often as negatives; 0 not at all."""
    target_share: float = Field(default=0.4, gt=0.0, lt=1.0)
    """Share of a history that is hidden and to be found."""
    none_share: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of a target's mass that goes to "none of the candidates"; more helps when tastes drift, none when they do not."""
    sets_share: float = Field(default=0.3, ge=0.0)
    """What finding the rest of an entity's items, or of alike texts, counts against finding the rest of a history."""
    sets_batch: int = Field(default=512, ge=1)
    """Most such sets in one step."""
    id_dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
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
class TrainingRun:
    """How a model was trained, without its arrays."""

    curve: tuple[EpochRecord, ...]
    best_epoch: int


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What training leaves behind: arrays of the best epoch, the curve, the weight of each relation in each layer, and the
    share of each relation, and of texts, in where items without interactions lie."""

    embeddings: Embeddings
    curve: tuple[EpochRecord, ...]
    best_epoch: int
    relation_weights: Mapping[str, tuple[float, ...]]
    worth: Mapping[str, float]
    config: ModelConfig

    @property
    def run(self) -> TrainingRun:
        return TrainingRun(self.curve, self.best_epoch)


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
        self.tower = RecallTower(inputs, config.tower, seed=seed, device=device).to(device)
        self.optimizer = torch.optim.Adam(_groups(self.tower, config), lr=config.learning_rate)
        batch_size = min(config.batch_size, -(-inputs.num_users // config.min_steps))
        self.sampler = self._sampler(self.history, batch_size, config.max_steps)
        self.set_sampler = self._sampler(self.tower.sets.matrix, config.sets_batch) if self._learns_sets() else None
        self.curve: list[EpochRecord] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        parts = (config.model_dump_json(), str(seed), inputs.fingerprint, events_digest(valid).hex() if valid else "")
        self.fingerprint = hashlib.sha256("|".join(parts).encode()).hexdigest()

    def _learns_sets(self) -> bool:
        return self.config.sets_share > 0 and len(self.tower.sets) > 0

    def _sampler(self, history: sparse.csr_array, batch_size: int, max_steps: int | None = None) -> BatchSampler:
        return BatchSampler(
            history,
            batch_size=batch_size,
            max_batches=max_steps,
            target_share=self.config.target_share,
            num_negatives=self.config.num_negatives,
            negative_power=self.config.negative_power,
        )

    @property
    def finished(self) -> bool:
        stale = self.valid is not None and len(self.curve) - self.best_epoch >= self.config.patience
        return bool(self.curve) and (len(self.curve) >= self.config.epochs or stale)

    def epoch(self) -> None:
        number = len(self.curve) + 1
        self.tower.train()
        generator = torch.Generator().manual_seed(int(np.random.default_rng([self.seed, number, 1]).integers(2**62)))
        sets = self.set_sampler.endless(self.seed, number) if self.set_sampler else repeat(None)
        batches = zip(self.sampler.epoch(self.seed, number), sets, strict=False)
        losses = [self._step(users, some, generator) for users, some in batches]
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

    def _step(self, batch: Batch, sets: Batch | None, generator: torch.Generator) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        kept = torch.rand(self.history.shape[1], generator=generator) >= self.config.id_dropout
        sources, targets = self.tower(kept.to(self.device))
        loss = self._loss(sources, targets, batch, generator)
        total = loss if sets is None else loss + self.config.sets_share * self._loss(sources, targets, sets, generator)
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach())

    def _loss(self, sources: Tensor, targets: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        config, device = self.config, self.device
        users = place_users(sources, batch.items.to(device), batch.offsets.to(device), batch.weight.to(device))
        users, found = users / config.temperature, targets[batch.candidates.to(device)]
        right = batch.target_row.to(device), batch.target_column.to(device)
        seen = batch.seen_row.to(device), batch.seen_column.to(device)
        if config.loss == "bpr":
            scores = users @ found.T
            scores = scores.index_put(seen, scores.new_tensor(-torch.inf))
            return bpr(scores, *right, torch.randint(len(found), (len(right[0]),), generator=generator).to(device))
        rarity = config.rarity_power * batch.rarity.to(device)
        return sampled_softmax(users, found, right, seen=seen, none_share=config.none_share, rarity=rarity)

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
        sources, items, shares = self.tower.export(self.tower.worth(self.history, seed=self.seed))
        embeddings = Embeddings(history_users(self.history, sources), items, sources)
        return TrainedModel(embeddings, tuple(self.curve), self.best_epoch, self.tower.relation_weights(), shares, self.config)


def _groups(tower: RecallTower, config: ModelConfig) -> list[dict[str, Any]]:
    """Parameters with their step sizes.

    Adam moves every number about equally far, and an item sums over many entities and dimensions of texts: their steps are
    divided by the root of how many, so that no part of an item's vector runs ahead of the others.
    """
    graph = tower.features().graph
    edges = 1.0 if graph is None else float(graph.nnz) / max(1, int(np.count_nonzero(np.diff(graph.indptr))))
    addends = {"entity": edges, "dense_map": max(1.0, len(tower.dense_map))}
    rate = config.learning_rate
    slow: list[dict[str, Any]] = [
        {"params": [tower.get_parameter(name)], "lr": rate * config.content_rate / count**0.5}
        for name, count in addends.items()
    ]
    return [*slow, {"params": [p for name, p in tower.named_parameters() if name not in addends]}]


def history_users(history: sparse.csr_array, item_inputs: FloatArray) -> FloatArray:
    """Place users by their histories: csr (q, num_items), float32 (num_items, d) -> float32 (q, d) of unit length or zero."""
    sums = torch.from_numpy(np.asarray(history @ item_inputs, dtype=np.float32))
    out: FloatArray = functional.normalize(sums, dim=1).numpy()
    return out
