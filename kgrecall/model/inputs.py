"""What a model is trained on: plain arrays, already cut to what training may see."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from kgrecall.errors import ConfigError, ShapeError, Shown
from kgrecall.graph.knowledge import Incidence
from kgrecall.model.alike import AlikeItems
from kgrecall.types import FloatArray, Interactions

TEXT = "text"
"""What the texts are called among the parts that items are described by."""


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """Training events, knowledge, text and own vectors of one catalogue.

    Shapes: ``text`` float32 (num_items, text_dim) or None, a zero row where an item has no text; ``vectors`` name -> float32
    (num_items, dim), such as those of pictures, zero rows where there is none; every incidence has num_items rows; an incidence
    whose ``label`` equals ``item_label`` links items to items and is square.

    Raises:
        ShapeError: when the parts do not describe the same catalogue.
        ConfigError: when there is nothing to learn from.
    """

    interactions: Interactions
    knowledge: Sequence[Incidence] = ()
    text: FloatArray | None = None
    item_label: str = "Item"
    vectors: Mapping[str, FloatArray] = field(default_factory=dict)
    alike: AlikeItems = field(default_factory=AlikeItems)
    """May be shared by all inputs of one catalogue."""

    def __post_init__(self) -> None:
        if not len(self.interactions):
            raise ConfigError(
                "ModelInputs.interactions",
                expected="at least one event",
                got=Shown("none"),
                remedy="Import interactions first, or cut the training period less tightly.",
            )
        for name, part in self.dense.items():
            self._check_dense(name, part)
        self._check_knowledge()

    def _check_dense(self, name: str, part: FloatArray) -> None:
        if part.ndim != 2 or len(part) != self.num_items:
            raise ShapeError(
                f"ModelInputs: {name}",
                expected=f"float32 ({self.num_items}, dim)",
                got=part.shape,
                remedy="Give one row per item, in the order of the item vocabulary.",
            )
        if not np.isfinite(part).all():
            raise ShapeError(
                f"ModelInputs: {name}",
                expected="finite numbers",
                got=Shown("NaN or infinity"),
                remedy="Encode again; a zero row stands for an item of which nothing is known.",
            )

    def _check_knowledge(self) -> None:
        widths: dict[str, int] = {self.item_label: self.num_items}
        for part in self.knowledge:
            rows, columns = part.matrix.shape
            width = widths.setdefault(part.label, columns)
            if (rows, columns) != (self.num_items, width):
                raise ShapeError(
                    f"ModelInputs.knowledge: {part.relation}",
                    expected=f"({self.num_items}, {width}) for label {part.label}",
                    got=part.matrix.shape,
                    remedy="Take all incidences from one snapshot.",
                )

    @property
    def num_users(self) -> int:
        return self.interactions.num_users

    @property
    def num_items(self) -> int:
        return self.interactions.num_items

    @property
    def dense(self) -> dict[str, FloatArray]:
        """The texts, if there are any, as ``text``, and the vectors as ``NAME vectors``."""
        texts = {} if self.text is None else {TEXT: self.text}
        return texts | {f"{name} vectors": part for name, part in self.vectors.items()}

    @property
    def node_sizes(self) -> dict[str, int]:
        """Number of nodes of each knowledge label apart from the items, in order of first appearance."""
        return {part.label: part.matrix.shape[1] for part in self.knowledge if part.label != self.item_label}

    @property
    def fingerprint(self) -> str:
        """sha256 over all that is learned from."""
        digest = hashlib.sha256(events_digest(self.interactions))
        for part in self.knowledge:
            digest.update(f"{part.relation}|{part.label}|{part.reverse}|{part.matrix.shape}".encode())
            for array in (part.matrix.indptr, part.matrix.indices, part.matrix.data):
                digest.update(np.ascontiguousarray(array).tobytes())
        for name, dense in self.dense.items():
            digest.update(f"{name}|{dense.shape}".encode() + np.ascontiguousarray(dense).tobytes())
        return digest.hexdigest()

    def history(self) -> sparse.csr_array:
        """Who met what: csr float32 (num_users, num_items), events of one pair summed, columns sorted."""
        events = self.interactions
        matrix = sparse.coo_array((events.weight, (events.user_pos, events.item_pos)), (self.num_users, self.num_items)).tocsr()
        matrix.sum_duplicates()
        return matrix.astype(np.float32)


def events_digest(events: Interactions) -> bytes:
    """sha256 of who met what, and how strongly; times do not matter to the model."""
    digest = hashlib.sha256(f"{events.num_users}|{events.num_items}|{len(events)}".encode())
    for array in (events.user_pos, events.item_pos, events.weight):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
