"""The part of a build that reads histories in their order: the channel ``attention``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgrecall.index.base import VectorIndex
from kgrecall.jobs.artifact import Artifact, ArtifactWriter
from kgrecall.recall.base import Naming
from kgrecall.recall.channels.attention import ATTENTION, AttentionChannel
from kgrecall.recall.channels.history_encoder import HistoryEncoder
from kgrecall.types import Embeddings


@dataclass(frozen=True, eq=False)
class AttentionPart:
    """The encoder of histories; the fused vectors that it searches belong to the channel ``vector``."""

    encoder: HistoryEncoder

    def channel(self, index: VectorIndex, embeddings: Embeddings, naming: Naming) -> AttentionChannel:
        return AttentionChannel(index, embeddings.items, self.encoder, naming=naming)

    def save(self, writer: ArtifactWriter) -> None:
        arrays = self.encoder.arrays()
        writer.manifest[ATTENTION] = sorted(arrays)
        for name, array in arrays.items():
            writer.array(f"{ATTENTION}.{name}", array)

    @classmethod
    def load(cls, artifact: Artifact) -> AttentionPart | None:
        """None when the build has no such part."""
        if ATTENTION not in artifact.manifest:
            return None
        names: list[str] = artifact.manifest[ATTENTION]
        return cls(HistoryEncoder.of({name: np.asarray(artifact.array(f"{ATTENTION}.{name}")) for name in names}))
