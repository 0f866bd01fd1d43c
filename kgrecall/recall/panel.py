"""All channels of an engine asked together, and their hits fused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.errors import ConfigError, Shown, nearest
from kgrecall.recall.base import Channel, Hits, QueryBatch, Signal
from kgrecall.recall.channels.leanings import LeaningChannel
from kgrecall.recall.channels.popularity import PopularityChannel
from kgrecall.recall.fusion.combiner import Combiner
from kgrecall.recall.fusion.rank_fusion import Fused, FusionConfig, fuse, stacked, text_led
from kgrecall.recall.fusion.surroundings import Surroundings, log_popularity
from kgrecall.threads import in_order
from kgrecall.types import BoolArray, FloatArray, IntArray

TEXT_CHANNEL = "text"
"""The channel that answers query texts."""

_LEAST_WEIGHT = 0.05
_A_HISTORY = 5


@dataclass(frozen=True, slots=True, eq=False)
class PanelAnswer:
    """The fused lists of q queries from the channels ``names``; ``personal`` bool (q,): more than popularity answered."""

    names: tuple[str, ...]
    fused: Fused
    personal: BoolArray


class Panel:
    """Channels with distinct names, and how their hits are weighed.

    Args:
        depth: hits asked of each channel, or k when that is more.
        on_signal: channels that are asked only where a query holds their signal.
        popularity: float32 (num_items,): what the learned fusion knows of items; not needed by the other methods.

    Raises:
        ConfigError: no channel, two of one name, or fusion settings for a channel that is not there.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        fusion: FusionConfig,
        *,
        depth: int,
        on_signal: Mapping[Signal, Sequence[Channel]] | None = None,
        popularity: FloatArray | None = None,
    ) -> None:
        self._on_signal = dict(on_signal or {})
        on_call = [channel for answering in self._on_signal.values() for channel in answering]
        self._all = {channel.name: channel for channel in (*channels, *on_call)}
        names = tuple(channel.name for channel in channels)
        if not names or len(self._all) != len(names) + len(on_call):
            raise ConfigError(
                "channels",
                expected="at least one channel, with distinct names",
                got=names,
                remedy="Give each a name of its own.",
            )
        for name in (*fusion.weights, *fusion.new_weights, *fusion.temperatures):
            if name not in self._all:
                raise ConfigError("fusion", expected="names of channels", got=name, remedy=nearest(name, self._all))
        self.names = names
        self._of_everybody = {name for name, channel in self._all.items() if _is_of_everybody(channel)}
        self._fusion, self._depth = self._with_leanings(fusion), depth
        self._combiner = None if fusion.combiner is None or popularity is None else Combiner(fusion.combiner)
        self._popularity = log_popularity(np.zeros(1, np.float32) if popularity is None else popularity)
        self._unmet = None if popularity is None else _any_of(np.isnan(self._popularity))
        self._worth = None if popularity is None else np.nan_to_num(self._popularity)

    def __getitem__(self, name: str) -> Channel:
        return self._all[name]

    def choose(self, wanted: tuple[str, ...] | None, signals: Sequence[Signal] = ()) -> tuple[str, ...]:
        """The wanted names in the panel's order; for None all of them, and those of the signals that a query holds.

        What people like a visitor choose, and what is chosen at such a moment, take the place of what everybody chooses.

        Raises:
            ConfigError: an empty list, or a name that is not a channel.
        """
        if wanted is None:
            asked = [channel for signal in signals for channel in self._on_signal.get(signal, ())]
            refined = any(isinstance(channel, LeaningChannel) for channel in asked)
            names = [name for name in self.names if not (refined and isinstance(self._all[name], PopularityChannel))]
            return (*names, *(channel.name for channel in asked))
        if not wanted:
            raise ConfigError("channels", expected="at least one name", got=Shown("none"), remedy="Leave it out to ask all.")
        for name in wanted:
            if name not in self._all:
                raise ConfigError("channels", expected="names of channels", got=name, remedy=nearest(name, self._all))
        return tuple(name for name in self._all if name in wanted)

    def ask(self, batch: QueryBatch, names: tuple[str, ...], k: int) -> PanelAnswer:
        """The k best items of each query by fused score; fewer where the channels have no more."""
        return self.combine(batch, names, self.collect(batch, names, k), k)

    def collect(self, batch: QueryBatch, names: tuple[str, ...], k: int) -> list[Hits]:
        """The hits of each channel, at least k deep."""
        depth = min(max(k, self._depth), batch.num_items)
        return [self._all[name].recall(batch, depth) for name in names]

    def combine(
        self, batch: QueryBatch, names: tuple[str, ...], hits: Sequence[Hits], k: int, *, weights: Sequence[float] | None = None
    ) -> PanelAnswer:
        """Hits of some channels fused, the k best items of each query.

        Args:
            weights: one per channel, multiplies the one of the fusion settings; 1 when not given.
        """
        given = weights or [1.0] * len(names)
        led: BoolArray = np.zeros(len(batch), np.bool_)
        if batch.text is not None and TEXT_CHANNEL in names:
            led |= batch.text.any(axis=1)
        next_choice = self._next_choice(batch, led)
        rescored = weights is None and self._combiner is not None and self._combiner.channels == names
        apart = next_choice & self._scaled(batch, names, rescored)
        lists = stacked(hits)
        parts = self._weighed(names, lists, given, apart)
        if led.any():
            text = names.index(TEXT_CHANNEL)
            own = Hits(lists.positions[text], lists.scores[text])
            parts[text][led] = np.float32(given[text]) * self._text_parts(names, own)[led]
        if rescored and self._combiner is not None:
            around = Surroundings.now(self._popularity, batch.history_indptr, batch.user_pos < 0)
            fused = self._combiner.rescore(fuse(lists, parts, max(k, self._cut(batch, hits))), around, next_choice, k)
        else:
            fused = fuse(lists, parts, k)
        return PanelAnswer(names, fused, self._personal(names, lists))

    @staticmethod
    def _next_choice(batch: QueryBatch, led: BoolArray) -> BoolArray:
        """Queries that ask what somebody with a history will choose next, which is what was learned from: bool (q,)."""
        rows: BoolArray = ~led & (batch.lengths > 0)
        return rows if batch.alike is None else rows & ~batch.alike

    def _scaled(self, batch: QueryBatch, names: tuple[str, ...], rescored: bool) -> BoolArray:
        """Where the weights of new items hold, bool (q,): beside all channels; for the networks, if there are any, and else for
        whoever has some history."""
        return (batch.lengths >= (1 if rescored else _A_HISTORY)) & (names == self.names) & (rescored or self._combiner is None)

    def _weighed(self, names: tuple[str, ...], lists: Hits, scale: Sequence[float], apart: BoolArray) -> FloatArray:
        """Contributions, float32 (channels, q, k); in the rows ``apart`` those of items that nobody has chosen by weights of
        their own."""
        contributions = self._fusion.calibrate(names, lists)
        known = _by_channel(self._fusion.weight(name) * by for name, by in zip(names, scale, strict=True))
        if self._unmet is None or not apart.any():
            return contributions * known
        new = _by_channel(self._fusion.new_weight(name) * by for name, by in zip(names, scale, strict=True))
        if (known == new).all():
            return contributions * known
        return contributions * np.where(self._unmet[lists.positions] & apart[:, None], new, known)

    def ask_all(self, batch: QueryBatch, names: tuple[str, ...], k: int) -> PanelAnswer:
        """As :meth:`ask`, with every item that a channel found for an answer of k."""
        hits = self.collect(batch, names, k)
        widths = [hit.positions.shape[1] for hit in hits]
        rescored = self._combiner is not None and self._combiner.channels == names
        return self.combine(batch, names, hits, self._cut(batch, hits) if rescored else min(sum(widths), batch.num_items))

    def ask_apart(self, batches: Iterable[tuple[IntArray, QueryBatch]], size: int, k: int) -> dict[str, Hits]:
        """What each channel answers to ``size`` queries, unfused: (size, k). Batches come with the places of their queries."""
        found = {name: Hits.empty(size, k) for name in self.names}

        def ask(block: tuple[IntArray, QueryBatch]) -> None:
            places, batch = block
            for name, hits in found.items():
                answer = self._all[name].recall(batch, k)
                hits.positions[places], hits.scores[places] = answer.positions, answer.scores

        for _ in in_order(ask, batches):
            continue
        return found

    @staticmethod
    def _cut(batch: QueryBatch, hits: Sequence[Hits]) -> int:
        """How many items the learned combiner is shown."""
        return min(2 * len(hits[0].positions[0]), batch.num_items)

    def contributions(self, batch: QueryBatch, names: tuple[str, ...], item_pos: int, k: int) -> dict[str, float]:
        """What each channel adds to one item's fused score in an answer of k, for a batch of one; empty when none recalled
        it."""
        fused = self.ask_all(batch, names, k).fused
        at = fused.positions[0] == item_pos
        parts = fused.parts[:, 0, at].sum(axis=1).tolist()
        return {name: part for name, part in zip(names, parts, strict=True) if part != 0}

    def _with_leanings(self, fusion: FusionConfig) -> FusionConfig:
        """Channels that refine popularity weigh what it weighs, but something."""
        popular = [fusion.weight(name) for name, channel in self._all.items() if isinstance(channel, PopularityChannel)]
        leaning = [name for name, channel in self._all.items() if isinstance(channel, LeaningChannel)]
        return fusion.model_copy(
            update={"weights": {**dict.fromkeys(leaning, max([_LEAST_WEIGHT, *popular])), **fusion.weights}}
        )

    def _personal(self, names: tuple[str, ...], lists: Hits) -> BoolArray:
        own = [i for i, name in enumerate(names) if name not in self._of_everybody]
        return np.asarray((lists.positions[own, :, 0] >= 0).any(axis=0), np.bool_)

    def _text_parts(self, names: tuple[str, ...], text: Hits) -> FloatArray:
        """What the text channel contributes to a query with a text: more than all others together."""
        others = sum(self._fusion.weight(name) for name in names if name != TEXT_CHANNEL) or 1.0
        fusion = self._fusion
        prior = None if self._worth is None else self._worth[text.positions] * np.float32(fusion.text_popularity)
        (worth,) = fusion.calibrate((TEXT_CHANNEL,), stacked([text]))
        parts = text_led(text, worth, fusion.text_temperature, prior)
        return parts * np.float32(fusion.text_weight * others)


def _by_channel(weights: Iterable[float]) -> FloatArray:
    """float32 (channels, 1, 1)."""
    return np.array([*weights], np.float32)[:, None, None]


def _is_of_everybody(channel: Channel) -> bool:
    """An answer by this channel alone is not personal."""
    return isinstance(channel, PopularityChannel) or (isinstance(channel, LeaningChannel) and channel.of_everybody)


def _any_of(mask: BoolArray) -> BoolArray | None:
    return mask if mask.any() else None
