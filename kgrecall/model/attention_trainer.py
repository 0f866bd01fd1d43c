"""Training of the attention encoder: few large steps in which every place of every window is a question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kgrecall.errors import ConfigError, ShapeError
from kgrecall.model.attention import AttentionConfig, AttentionEncoder
from kgrecall.model.losses import next_items
from kgrecall.model.sequences import Negatives, Sequences, Windows, WindowSampler
from kgrecall.types import FloatArray, Progress, no_progress


@dataclass(frozen=True, slots=True, eq=False)
class TrainedEncoder:
    """``arrays`` by name, see :meth:`kgrecall.model.attention.AttentionEncoder.export`; the mean loss of each epoch."""

    arrays: dict[str, FloatArray]
    losses: tuple[float, ...]


def train_attention(
    sequences: Sequences,
    inputs: FloatArray,
    outputs: FloatArray,
    config: AttentionConfig | None = None,
    *,
    num_moments: int = 0,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> TrainedEncoder:
    """Learn to place users by what they chose, so that what they choose next is near.

    Time: some 0.02 ms of one CPU core for each event and epoch at 128 dimensions.

    Args:
        inputs, outputs: float32 (num_items, dim), fused vectors of a trained tower in both roles. What is searched stays as it
            is, so that one index serves both, and new items have a place.
        num_moments: codes of contexts in ``sequences.moments``.

    Raises:
        ShapeError: vectors that do not belong together.
        ConfigError: ``heads`` do not divide the dimension.
    """
    config = config or AttentionConfig()
    _check(inputs, outputs, config)
    with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
        torch.manual_seed(seed)
        return _Run(sequences, inputs, outputs, config, num_moments, seed, device, progress).run()


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        sequences: Sequences,
        inputs: FloatArray,
        outputs: FloatArray,
        config: AttentionConfig,
        num_moments: int,
        seed: int,
        device: str,
        progress: Progress,
    ) -> None:
        self.config, self.seed, self.device, self.progress = config, seed, device, progress
        self.encoder = AttentionEncoder(inputs, config, num_moments=num_moments, seed=seed).to(device)
        self.outputs = torch.from_numpy(np.ascontiguousarray(outputs)).to(device)
        self.sampler = WindowSampler(sequences, length=config.length, batch_events=config.batch_events)
        degree = np.bincount(sequences.item_pos, minlength=len(inputs))
        self.negatives = Negatives(degree, count=config.num_negatives, power=config.negative_power)
        whole = [tensor for name, tensor in self.encoder.named_parameters() if name != "change.weight"]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(whole, lr=config.learning_rate),
            torch.optim.SparseAdam([self.encoder.change.weight], lr=config.learning_rate),  # costs what a step looks at
        ]
        step = torch.arange(config.length)[None] - torch.arange(config.length)[:, None]
        ahead = config.decay ** (step - 1).clamp_min(0).float()
        self.ahead = torch.where((step >= 1) & (step <= config.horizon), ahead, 0.0).to(device)  # (length, length)

    def run(self) -> TrainedEncoder:
        self.encoder.train()
        losses, steps = list[float](), 0
        while len(losses) < self.config.epochs or steps < self.config.min_steps:
            self.progress("attention", len(losses), self.config.epochs)
            rng = np.random.default_rng([self.seed, len(losses), 1])
            found = [self._step(windows, rng) for windows in self.sampler.epoch(self.seed, len(losses))]
            if not found:
                break
            losses.append(float(np.mean(found)))
            steps += len(found)
        return TrainedEncoder(self.encoder.export(), tuple(losses))

    def _step(self, windows: Windows, rng: np.random.Generator) -> float:
        items, rarity = self.negatives.draw(rng)
        windows = self._blurred(windows.to(self.device), rng)
        users = self.encoder(windows)  # (q, n, dim)
        own = users @ self.outputs[windows.items].transpose(1, 2)  # (q, n, n): what each place scores the items of its window
        ahead = self._right(windows) * windows.there[:, None]
        asked = ahead.sum(dim=2) > 0
        negative = users[asked] @ self.outputs[torch.from_numpy(items).to(self.device)].T
        loss = next_items(own[asked], ahead[asked], negative, torch.from_numpy(rarity).to(self.device))
        self.encoder.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()
        return float(loss.detach())

    def _right(self, windows: Windows) -> Tensor:
        """How much each item ahead is right at each place, (q or 1, n, n): where the moment is known, what was chosen
        then, and nothing later."""
        n = windows.items.shape[1]
        ahead = self.ahead[:n, :n]
        if windows.moments is None:
            return ahead[None]
        known = (windows.moments >= 0).any(dim=2)
        return torch.where(known[..., None], ahead.tril(1), ahead)

    def _blurred(self, windows: Windows, rng: np.random.Generator) -> Windows:
        """With some moments unknown."""
        if windows.moments is None:
            return windows
        known = torch.from_numpy(rng.random(windows.items.shape) >= self.config.moment_dropout).to(self.device)
        return windows.knowing(torch.where(known[..., None], windows.moments, -1))


def _check(inputs: FloatArray, outputs: FloatArray, config: AttentionConfig) -> None:
    if inputs.shape != outputs.shape:
        raise ShapeError(
            "attention",
            expected="inputs and outputs of one shape",
            got=(inputs.shape, outputs.shape),
            remedy="Take both from one model.",
        )
    if inputs.shape[1] % config.heads:
        raise ConfigError(
            "AttentionConfig.heads",
            expected=f"a divisor of the dimension {inputs.shape[1]}",
            got=config.heads,
            remedy="Choose 1, 2 or 4.",
        )
