"""What was tried on the model beside its defaults: one change each, so that RESULTS.md tells what pays and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kgrecall.model.tower import TowerConfig
from kgrecall.model.trainer import ModelConfig
from kgrecall.types import FloatArray, IntArray

_ROUNDS = 5


def _model(**changes: Any) -> ModelConfig:
    return ModelConfig(**changes)


def _tower(**changes: Any) -> ModelConfig:
    return ModelConfig(tower=TowerConfig(**changes))


TRIED: Mapping[str, ModelConfig] = {
    "start: singular vectors": _tower(start="singular"),
    "1 layer in training": _tower(num_layers=1),
    "2 layers in training": _tower(num_layers=2),
    "2 layers, user-item edges too": _tower(num_layers=2, interactions_in_graph=True),
    "no sets in the loss": _model(sets_share=0.0),
    "no text sets": _tower(text=0.0),
    "text sets 0.3": _tower(text=0.3),
    "text sets 0.1": _tower(text=0.1),
    "all relations alike for new items": _tower(learn_worth=False),
    "BPR": _model(loss="bpr"),
    "negatives not corrected": _model(rarity_power=0.0),
    "negatives uniform": _model(negative_power=0.0),
    "negatives by degree": _model(negative_power=1.0),
    "200 negatives": _model(num_negatives=200),
    "all items as negatives": _model(num_negatives=1_000_000),
    "temperature 0.08": _model(temperature=0.08),
    "temperature 0.25": _model(temperature=0.25),
    "no mass for none": _model(none_share=0.0),
    "ids never hidden": _model(id_dropout=0.0),
    "popular items count less in a history": _tower(history_power=0.25),
    "64 dimensions": _tower(dim=64),
    "256 dimensions": _tower(dim=256),
}
"""name -> the whole settings."""


def score_by_interests(histories: list[IntArray], inputs: FloatArray, items: FloatArray, interests: int) -> FloatArray:
    """Several vectors of each user, of which the best one scores an item: float32 (len(histories), num_items).

    A history is parted by spherical k-means, starting from its two or more most distant items (Li et al., "Multi-Interest
    Network with Dynamic Routing", CIKM 2019, without learned routing). An empty history scores 0.
    """
    scores = np.zeros((len(histories), len(items)), np.float32)
    for row, history in enumerate(histories):
        if len(history):
            scores[row] = (_interests(inputs[history], interests) @ items.T).max(axis=0)
    return scores


def _interests(chosen: FloatArray, most: int) -> FloatArray:
    """float32 (n, d) -> unit vectors (min(n, most), d)."""
    directions = _unit(chosen)
    centres = [_unit(directions.sum(axis=0)[None])[0]]
    while len(centres) < min(most, len(chosen)):
        nearest = (directions @ np.array(centres).T).max(axis=1)
        centres.append(directions[int(nearest.argmin())])
    found = np.array(centres)
    for _ in range(_ROUNDS):
        member = (directions @ found.T).argmax(axis=1)
        sums = np.stack([chosen[member == part].sum(axis=0) for part in range(len(found))])
        found = np.where(np.any(sums, axis=1)[:, None], _unit(sums), found)
    return found.astype(np.float32)


def _unit(vectors: FloatArray) -> FloatArray:
    unit: FloatArray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
