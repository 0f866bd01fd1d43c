"""What a build learns by gradients: fused vectors of items, and on top of them an encoder of histories."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from kgrecall.graph.knowledge import item_knowledge
from kgrecall.graph.orders import order_by
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.attention_part import AttentionPart
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.folds import timed
from kgrecall.model.alike import AlikeItems
from kgrecall.model.attention_trainer import train_attention
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.sequences import Sequences
from kgrecall.model.trainer import TrainedModel, train
from kgrecall.recall.channels.attention import ATTENTION
from kgrecall.recall.channels.history_encoder import HistoryEncoder
from kgrecall.recall.channels.moments import MomentTable
from kgrecall.recall.histories import Histories
from kgrecall.types import Embeddings, FloatArray, Interactions, PosArray, Progress


@dataclass(frozen=True, eq=False)
class Learned:
    """None where no channel asks for it; ``attention`` also where events have no order."""

    model: TrainedModel | None = None
    attention: AttentionPart | None = None

    @property
    def embeddings(self) -> Embeddings | None:
        return self.model.embeddings if self.model else None


@dataclass(frozen=True)
class Learner:
    """The settings of every training run of a build."""

    config: BuildConfig
    vectors: Mapping[str, FloatArray]
    """That items bring along."""
    channels: Collection[str]
    seed: int
    device: str
    progress: Progress
    alike: AlikeItems
    """Of the catalogue."""

    def learn(
        self,
        snapshot: GraphSnapshot,
        events: Interactions,
        texts: FloatArray | None,
        *,
        epochs: int | None,
        valid: Interactions | None,
    ) -> Learned:
        """Learn from the events that training may see.

        Args:
            epochs: of the vectors; None: as many as ``valid`` is told better by.
        """
        in_order = ATTENTION in self.channels and timed(events)
        if "vector" not in self.channels and not in_order:
            return Learned()
        inputs = ModelInputs(events, item_knowledge(snapshot), texts, snapshot.schema.item_label, self.vectors, self.alike)
        settings = self.config.model if epochs is None else self.config.model.model_copy(update={"epochs": epochs})
        model = train(inputs, settings, valid=valid, seed=self.seed, device=self.device, progress=self.progress)
        return Learned(model, self._attention(snapshot, events, model.embeddings) if in_order else None)

    def _attention(self, snapshot: GraphSnapshot, events: Interactions, embeddings: Embeddings) -> AttentionPart:
        sequences, num_moments = _sequences(snapshot, events)
        trained = train_attention(
            sequences,
            embeddings.item_inputs,
            embeddings.items,
            self.config.attention,
            num_moments=num_moments,
            seed=self.seed,
            device=self.device,
            progress=self.progress,
        )
        return AttentionPart(HistoryEncoder.of(trained.arrays))


def _sequences(snapshot: GraphSnapshot, events: Interactions) -> tuple[Sequences, int]:
    """The histories, and how many codes of contexts they have: none unless the schema names a context."""
    rows = Histories.of(events)
    assert rows.time is not None
    edges = snapshot.with_role("interaction")
    named = any(snapshot.schema.edge(snapshot.origins[edge_type]).context for edge_type in edges)
    table = MomentTable.of(snapshot) if named else None
    if table is None:
        return Sequences(rows.indptr, rows.item_pos, rows.time), 0
    return Sequences(rows.indptr, rows.item_pos, rows.time, _moments(rows, table)), table.moments.codes.num_values


def _moments(rows: Histories, table: MomentTable) -> PosArray:
    """The codes of each event of the histories, int32 (n, num_fields): those of the latest event of its pair."""
    users = np.repeat(np.arange(rows.num_users), np.diff(rows.indptr))
    pair = table.user_pos.astype(np.int64) * rows.num_items + table.item_pos
    order = order_by(pair, table.time)
    last = np.searchsorted(pair[order], users * rows.num_items + rows.item_pos, side="right") - 1
    return np.asarray(table.codes[order[last]], np.int32)
