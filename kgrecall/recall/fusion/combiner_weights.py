"""The numbers of a learned combiner."""

from __future__ import annotations

from pydantic import Field

from kgrecall.settings import Settings

Row = tuple[float, ...]


class NetworkWeights(Settings):
    """One network.

    Features of an item, in this order: per channel its score, ``log(1 + score)`` and 1 where the channel found the item (three
    blocks of all channels), the number of channels that found it, ``log(1 + 1000 sum)`` of the weighted sum of scores, the
    item's popularity and the length of the history, both as logarithms.
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


class VisitorWeights(Settings):
    """How an item that somebody has chosen is judged for a visitor: who brings few events in the call, because the build knew
    nothing of them or in place of what it knew.

    What visitors choose next is most of what they will ever choose. NDCG@20 of unseen ones by a network of their own, and by
    one that was taught by known users beside: ml1m-kg .345 and .292, movielens-100k .436 and .367.
    """

    network: NetworkWeights
    most: int = Field(ge=1)
    """Events of a visitor with the longest history; who brings more is judged as a known user."""


class CombinerWeights(Settings):
    """What :func:`kgrecall.recall.fusion.combiner_fit.fit_combiner` learned: plain numbers, saved with the other fusion
    settings."""

    channels: tuple[str, ...] = Field(min_length=1)
    known: NetworkWeights
    """For items that somebody has chosen."""
    visitor: VisitorWeights | None = None
    """For the same items when a visitor asks; None: ``known`` serves visitors, too."""
    new: NewItemWeights | None = None
    """For items that nobody has chosen yet; None: ``known`` speaks of them, too."""
    floor: float
    """The least log odds of a validation candidate: scores are counted from here."""
