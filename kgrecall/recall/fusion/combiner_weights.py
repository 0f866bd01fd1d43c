"""The numbers of a learned combiner."""

from __future__ import annotations

from pydantic import Field

from kgrecall.settings import Settings

Row = tuple[float, ...]


class NetworkWeights(Settings):
    """One network.

    Features of an item, in this order: per channel its score, ``log(1 + score)`` and 1 where the channel found the item (three
    blocks of all channels), the number of channels that found it, the weighted sum of scores, the item's popularity and the
    length of the history, both as logarithms.
    """

    first: Row
    """Weight of each channel in the sum that the network starts from; > 0."""
    hidden: tuple[Row, ...]
    """(features, units)."""
    bias: Row
    out: Row
    """(units,)."""
    direct: Row
    """(features,): the part of the score that is linear in the features."""


class NewItemWeights(Settings):
    """How an item that nobody has chosen is judged: its log odds against all known candidates of the query together are those
    of ``network`` plus ``offset`` plus ``history`` times the length of the history, as a logarithm."""

    network: NetworkWeights
    offset: float
    history: float
    level: float
    """What known candidates come to together, as a logarithm, where a query has none."""


class CombinerWeights(Settings):
    """What :func:`kgrecall.recall.fusion.combiner_fit.fit_combiner` learned: plain numbers, saved with the other fusion
    settings."""

    channels: tuple[str, ...] = Field(min_length=1)
    known: NetworkWeights
    """For items that somebody has chosen."""
    new: NewItemWeights | None = None
    """For items that nobody has chosen yet; None: ``known`` speaks of them, too."""
    floor: float
    """The least log odds of a validation candidate: scores are counted from here."""
