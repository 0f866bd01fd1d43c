"""A training run that was stopped, in one safetensors file: tensors, and JSON in its header. No pickle.

The file is written beside and renamed into place, so a kill leaves the old checkpoint or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kgrecall.errors import CorruptArtifact, StaleArtifact


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``fingerprint`` names the run it belongs to; ``state`` is JSON-able; ``tensors`` are flat by name."""

    fingerprint: str
    state: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}.part")
        tensors = {name: t.detach().cpu().contiguous().clone() for name, t in self.tensors.items()}
        save_file(tensors, beside, metadata={"fingerprint": self.fingerprint, "state": json.dumps(self.state)})
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)

    @classmethod
    def load(cls, path: Path, fingerprint: str) -> Checkpoint:
        """Read a checkpoint of exactly this run.

        Raises:
            CorruptArtifact: the file is damaged.
            StaleArtifact: it belongs to other data, another configuration or another seed.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            found, state = metadata["fingerprint"], json.loads(metadata["state"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise CorruptArtifact(
                str(path), expected="a training checkpoint", got=str(error), remedy="Delete the file to train from the start."
            ) from error
        if found != fingerprint:
            raise StaleArtifact(
                str(path),
                expected=f"a checkpoint of run {fingerprint[:12]}",
                got=f"one of run {found[:12]}",
                remedy="Data, configuration or seed changed since it was written; delete it to train from the start.",
            )
        return cls(found, state, tensors)
