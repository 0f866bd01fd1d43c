"""A run that was stopped and goes on equals one that was never stopped; a checkpoint of another run is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kgrecall.errors import CorruptArtifact, StaleArtifact
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.tower import TowerConfig
from kgrecall.model.trainer import ModelConfig, train
from kgrecall.types import Interactions

torch.set_num_threads(1)
CONFIG = ModelConfig(tower=TowerConfig(dim=8), epochs=5, batch_size=8)


def events(seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    user, item = np.nonzero(rng.random((24, 18)) < 0.35)
    return Interactions(user, item, np.ones(len(user), np.float32), None, 24, 18)


class Stopped(Exception):
    pass


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    def stop_at_two(stage: str, done: int, total: int | None) -> None:
        if done == 2:
            raise Stopped

    whole = train(ModelInputs(events()), CONFIG, seed=4)
    path = tmp_path / "run.safetensors"
    with pytest.raises(Stopped):
        train(ModelInputs(events()), CONFIG, seed=4, checkpoint=path, progress=stop_at_two)
    resumed = train(ModelInputs(events()), CONFIG, seed=4, checkpoint=path)
    assert resumed.curve == whole.curve
    for name in ("users", "items", "item_inputs"):
        assert np.array_equal(getattr(resumed.embeddings, name), getattr(whole.embeddings, name))
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    first = train(ModelInputs(events()), CONFIG, seed=4, checkpoint=path)
    steps: list[int] = []
    again = train(
        ModelInputs(events()), CONFIG, seed=4, checkpoint=path, progress=lambda stage, done, total: steps.append(done)
    )
    assert steps == [5]
    assert np.array_equal(first.embeddings.items, again.embeddings.items)


def test_a_checkpoint_of_other_data_settings_or_seed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    train(ModelInputs(events()), CONFIG, seed=4, checkpoint=path)
    for inputs, config, seed in (
        (ModelInputs(events(1)), CONFIG, 4),
        (ModelInputs(events()), CONFIG.model_copy(update={"learning_rate": 0.1}), 4),
        (ModelInputs(events()), CONFIG, 5),
    ):
        with pytest.raises(StaleArtifact, match="changed since"):
            train(inputs, config, seed=seed, checkpoint=path)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    train(ModelInputs(events()), CONFIG, seed=4, checkpoint=path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CorruptArtifact, match=r"run\.safetensors"):
        train(ModelInputs(events()), CONFIG, seed=4, checkpoint=path)
