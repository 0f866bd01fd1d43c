"""What the engine says about one candidate, as plain data: for people as sentences, for programs as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kgrecall.types import Path

TEXT, REST = "text", "rest"
"""What a score is owed to besides history items: the text of the query; and what no history item or text stands for."""


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The place of an item had the history not held some items: the same question, asked again without them.

    ``rank`` and ``score`` are those of the fused list before fill-up, rank from 1; None and 0 where no channel recalls it.
    """

    item_id: str
    without: tuple[str, ...]
    rank_before: int | None
    rank: int | None
    score_before: float
    score: float
    sentence: str

    @property
    def fell(self) -> bool:
        """Whether the item stands lower without them: in rank, or in score at a rank that holds."""
        return self.score < self.score_before or (
            self.rank is not None and self.rank_before is not None and self.rank > self.rank_before
        )

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who the fused score of an item is owed to.

    ``table`` maps a channel to what it owes each history item (by id), the :data:`TEXT` and the :data:`REST`; all values
    together are ``score``. ``exact`` names the channels that are additive in the history; for others the values are sampled
    Shapley values, with an exact sum.
    """

    item_id: str
    score: float
    table: Mapping[str, Mapping[str, float]]
    exact: tuple[str, ...]

    @property
    def channels(self) -> dict[str, float]:
        """Per channel."""
        return {name: sum(row.values()) for name, row in self.table.items()}

    @property
    def sources(self) -> dict[str, float]:
        """Per history item, text and rest, over all channels; largest first."""
        total: dict[str, float] = {}
        for row in self.table.values():
            for source, value in row.items():
                total[source] = total.get(source, 0.0) + value
        return dict(sorted(total.items(), key=lambda entry: -entry[1]))


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one candidate. ``rank`` is None, and ``contributions`` empty, where no channel recalls it."""

    item_id: str
    title: str | None
    rank: int | None
    score: float
    contributions: Mapping[str, float]
    paths: tuple[Path, ...]
    attribution: Attribution
    counterfactuals: tuple[Counterfactual, ...]

    def __str__(self) -> str:
        lines = [path.sentence for path in self.paths] + [c.sentence for c in self.counterfactuals]
        added = " + ".join(f"{value:.4f} {name}" for name, value in self.contributions.items())
        return "\n".join([*lines, f"{self.score:.4f} = {added}"] if added else lines)

    def to_dict(self) -> dict[str, Any]:
        """Only dictionaries, lists, strings, numbers and None."""
        shown = asdict(self)
        shown["attribution"] |= {"channels": self.attribution.channels, "sources": self.attribution.sources}
        return shown
