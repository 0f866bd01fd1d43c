"""The part of a build that knows behaviour alone: people alike, what followed what, matrix factors, EASE, SLIM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from kgrecall.graph.knowledge import Incidence
from kgrecall.index.faiss import FaissIndex
from kgrecall.index.faiss_config import FaissConfig
from kgrecall.jobs.artifact import Artifact, ArtifactWriter
from kgrecall.recall.base import Channel, Naming
from kgrecall.recall.channels.ease import EaseConfig, build_ease
from kgrecall.recall.channels.factors import FactorsConfig, ItemFactors, build_factors
from kgrecall.recall.channels.folded import FactorsChannel
from kgrecall.recall.channels.item_knn import ItemKnnChannel
from kgrecall.recall.channels.sequence import FOLLOWED_BY, SequenceConfig, build_sequence
from kgrecall.recall.channels.slim import GOES_WITH, SlimConfig, build_slim
from kgrecall.recall.channels.user_knn import UserKnnChannel, UserKnnConfig
from kgrecall.recall.histories import Histories
from kgrecall.types import FloatArray, Interactions


@dataclass(frozen=True, eq=False)
class BehaviourPart:
    """Shapes: ``ease``, ``slim`` and ``sequence`` csr float32 (num_items, num_items), row = history item.

    Each is None when its channel was not asked for; ``sequence`` also without times.
    """

    ease: sparse.csr_array | None = None
    ease_half_life: float | None = None
    slim: sparse.csr_array | None = None
    slim_half_life: float | None = None
    user_knn: UserKnnConfig | None = None
    sequence: sparse.csr_array | None = None
    sequence_half_life: float | None = None
    factors: ItemFactors | None = None
    factors_index: FaissIndex | None = None

    @classmethod
    def of(
        cls,
        events: Interactions,
        index: FaissConfig,
        *,
        ease: EaseConfig | None,
        slim: SlimConfig | None,
        knowledge: Sequence[Incidence],
        user_knn: UserKnnConfig | None,
        sequence: SequenceConfig | None,
        factors: FactorsConfig | None,
        seed: int,
    ) -> BehaviourPart:
        """Learn from the events that training may see; None leaves a channel out."""
        solved = build_factors(events, factors, seed=seed) if factors else None
        return cls(
            ease=build_ease(events, ease) if ease else None,
            ease_half_life=ease.half_life if ease else None,
            slim=build_slim(events, slim, knowledge) if slim else None,
            slim_half_life=slim.half_life if slim else None,
            user_knn=user_knn,
            sequence=build_sequence(events, sequence) if sequence else None,
            sequence_half_life=sequence.half_life if sequence else None,
            factors=solved,
            factors_index=FaissIndex.build(solved.items, index, seed=seed) if solved else None,
        )

    def makers(
        self, histories: Callable[[], Histories], naming: Naming, prior: FloatArray | None
    ) -> dict[str, Callable[[], Channel | None]]:
        """How to make each channel; one gives None when the part has nothing for it."""
        return {
            "ease": lambda: self._similar("ease", self.ease, naming, prior, half_life=self.ease_half_life),
            "slim": lambda: self._similar("slim", self.slim, naming, prior, half_life=self.slim_half_life, relation=GOES_WITH),
            "user_knn": lambda: self._user_knn(histories(), naming, prior),
            "sequence": lambda: self._similar(
                "sequence", self.sequence, naming, prior, half_life=self.sequence_half_life, relation=FOLLOWED_BY
            ),
            "factors": lambda: self._factors(naming),
        }

    def _similar(
        self, name: str, matrix: sparse.csr_array | None, naming: Naming, prior: FloatArray | None, **settings: Any
    ) -> Channel | None:
        return None if matrix is None else ItemKnnChannel(matrix, name=name, naming=naming, prior=prior, **settings)

    def _user_knn(self, histories: Histories, naming: Naming, prior: FloatArray | None) -> Channel | None:
        if self.user_knn is None:
            return None
        return UserKnnChannel(histories.incidence(), self.user_knn, naming=naming, prior=prior)

    def _factors(self, naming: Naming) -> Channel | None:
        if self.factors is None or self.factors_index is None:
            return None
        return FactorsChannel(self.factors_index, self.factors, naming=naming)

    def save(self, writer: ArtifactWriter) -> None:
        for name in ("ease", "slim", "sequence"):
            if (matrix := getattr(self, name)) is not None:
                writer.matrix(name, matrix)
        if self.factors is not None and self.factors_index is not None:
            writer.array("factors.items", self.factors.items)
            writer.array("factors.spectrum", self.factors.spectrum)
            self.factors_index.save(writer.path("factors.index"))
        writer.manifest["behaviour"] = {
            "user_knn": self.user_knn.model_dump() if self.user_knn else None,
            "ease_half_life": self.ease_half_life,
            "slim_half_life": self.slim_half_life,
            "sequence_half_life": self.sequence_half_life,
            "factors": [self.factors.unobserved, self.factors.regularization] if self.factors else None,
        }

    @classmethod
    def load(cls, artifact: Artifact) -> BehaviourPart:
        stored = artifact.manifest["behaviour"]
        ease, slim, sequence = (
            artifact.matrix(n) if artifact.has(f"{n}.data.npy") else None for n in ("ease", "slim", "sequence")
        )
        factors = stored["factors"]
        return cls(
            ease=ease,
            slim=slim,
            user_knn=UserKnnConfig(**stored["user_knn"]) if stored["user_knn"] else None,
            sequence=sequence,
            ease_half_life=stored["ease_half_life"],
            slim_half_life=stored["slim_half_life"],
            sequence_half_life=stored["sequence_half_life"],
            factors=ItemFactors(
                np.asarray(artifact.array("factors.items")), np.asarray(artifact.array("factors.spectrum")), *factors
            )
            if factors
            else None,
            factors_index=FaissIndex.load(artifact.path("factors.index")) if factors else None,
        )
