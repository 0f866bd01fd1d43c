"""What a build did and chose."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kgrecall.model.trainer import EpochRecord

_TOLD = 0.01
"""Smaller shares are not told in words."""


@dataclass(frozen=True)
class BuildReport:
    """What a build did and chose; the same facts stand in the manifest of the artifact."""

    out: Path
    build: str
    seconds: dict[str, float]
    texts_encoded: int
    texts_cached: int
    curve: tuple[EpochRecord, ...]
    epochs: int
    relation_weights: dict[str, tuple[float, ...]]
    """Of each relation in each layer of training."""
    worth: dict[str, float]
    """The share of each relation, and of texts, in where items lie that nobody has chosen; they add up to 1. Empty where every
    item was chosen, or nothing is known of one."""
    chosen: dict[str, Any]
    fusion: str
    weights: dict[str, float]
    validation_ndcg: float | None
    validation_ndcg_equal_weights: float | None
    validation_users: int
    notes: tuple[str, ...] = ()
    """What was left out, in sentences."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "out": str(self.out)}

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        weights = ", ".join(f"{name} {weight:.2g}" for name, weight in self.weights.items() if weight > 0)
        lines = [
            f"{self.out}/{self.build}: {stages}",
            f"texts: {self.texts_encoded:,} encoded, {self.texts_cached:,} from the cache",
        ]
        if self.curve:
            reached = max((record.valid_recall or 0.0 for record in self.curve), default=0.0)
            lines.append(f"model: {self.epochs} epochs, best validation recall of the newest fold {reached:.4f}")
        if self.worth:
            told = ", ".join(f"{name} {share:.0%}" for name, share in self.worth.items() if share >= _TOLD)
            lines.append(f"new items are placed by {told}")
        lines.append(f"fusion by {self.fusion}: {weights}")
        if self.validation_ndcg is not None:
            lines.append(
                f"validation NDCG@20 over {self.validation_users:,} users: {self.validation_ndcg:.4f} "
                f"(equal weights: {self.validation_ndcg_equal_weights:.4f})"
            )
        return "\n".join([*lines, *self.notes])
