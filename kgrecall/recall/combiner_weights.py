"""The numbers of a learned combiner."""

from __future__ import annotations

from pydantic import Field

from kgrecall.settings import Settings

Row = tuple[float, ...]


class CombinerWeights(Settings):
    """What :func:`kgrecall.recall.combiner_fit.fit_combiner` learned: plain numbers, saved with the other fusion settings.

    Features of an item, in this order: per channel its score, ``log(1 + score)`` and 1 where the channel found the item (three
    blocks of all channels), the number of channels that found it, the weighted sum of scores, the item's popularity and the
    length of the history, both as logarithms, and 1 where nobody has chosen the item yet.
    """

    channels: tuple[str, ...] = Field(min_length=1)
    first: Row
    """Weight of each channel in the sum that the network starts from; > 0."""
    hidden: tuple[Row, ...]
    """(features, units)."""
    bias: Row
    out: Row
    """(units,)."""
    direct: Row
    """(features,): the part of the score that is linear in the features."""
    floor: float
    """The least log odds of a validation candidate: scores are counted from here."""
