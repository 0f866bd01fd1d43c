"""Places kept for new items, for exploration, for a channel: which items fulfil a guarantee, and where more of them are."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.errors import ConfigError, nearest
from kgrecall.recall.channels.popularity import first_without
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.panel import PanelAnswer
from kgrecall.recall.planning.plan import Guarantee, Plan
from kgrecall.recall.planning.rules import fulfils
from kgrecall.types import BoolArray, FloatArray, PosArray, Query

_NOTHING = np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Promised:
    """One guarantee for one query. ``fulfilled`` bool (num_items,); ``wanted`` places; ``extra`` int32: eligible items that
    fulfil it and that no channel recalled, where the recalled ones are too few."""

    name: str
    fulfilled: BoolArray
    wanted: int
    extra: PosArray


class Guarantees:
    """Finds what guarantees ask for.

    Args:
        users_per_item: float32 (num_items,).
        filters: None where the engine has no item columns.
    """

    def __init__(self, users_per_item: FloatArray, filters: FilterMasks | None) -> None:
        self._users_per_item, self._filters = users_per_item, filters

    def promise(self, plan: Plan, query: Query, k: int, answer: PanelAnswer, unseen: PosArray) -> list[Promised]:
        """Every guarantee of a plan.

        Args:
            answer: the fused candidates of the query.
            unseen: eligible items that are no candidates, most popular first.

        Raises:
            ConfigError: a channel or property that is not there.
        """
        return [self._one(part, plan.seed, query, part.wanted(k), answer, unseen) for part in plan.guarantees]

    def _one(self, part: Guarantee, seed: int, query: Query, wanted: int, answer: PanelAnswer, unseen: PosArray) -> Promised:
        if part.explore:
            drawn = _drawn(unseen, wanted, seed, query)
            return Promised(part.name, self._only(drawn), wanted, drawn)
        fulfilled = self._fulfilled(part, answer)
        recalled = answer.fused.positions[0]
        missing = wanted - int(fulfilled[recalled[recalled >= 0]].sum())
        extra = unseen[fulfilled[unseen]][: max(missing, 0)]
        return Promised(part.name, fulfilled, wanted, extra)

    def _fulfilled(self, part: Guarantee, answer: PanelAnswer) -> BoolArray:
        if part.at_most_events is not None:
            return np.asarray(self._users_per_item <= part.at_most_events, np.bool_)
        if part.filter is not None:
            return fulfils(part.filter, self._filters, part.name)
        if part.channel not in answer.names:
            raise ConfigError(
                f"guarantee {part.name!r}",
                expected="a channel that is asked",
                got=part.channel,
                remedy=nearest(str(part.channel), answer.names),
            )
        scores = answer.fused.channel_scores[answer.names.index(str(part.channel)), 0]
        return self._only(answer.fused.positions[0][~np.isnan(scores)])

    def _only(self, items: PosArray) -> BoolArray:
        chosen = np.zeros(len(self._users_per_item), np.bool_)
        chosen[items] = True
        return chosen


def joined_extras(promised: Sequence[Promised]) -> PosArray:
    """The distinct extra items of all guarantees."""
    everything = np.concatenate([_NOTHING, *(part.extra for part in promised)])
    return everything[np.sort(np.unique(everything, return_index=True)[1])]


def unseen_items(order: PosArray, candidates: PosArray, excluded: PosArray) -> PosArray:
    """The items of an order that are neither candidates nor excluded."""
    return first_without(order, np.concatenate([candidates, excluded]), len(order))


def _drawn(unseen: PosArray, n: int, seed: int, query: Query) -> PosArray:
    """n items at random: the same ones for the same query and seed."""
    about: tuple[object, ...] = (query.user_id, query.item_id, query.text, list(query.history or ()))
    about += () if query.taste is None else (query.taste,)
    rng = np.random.default_rng([seed & 0xFFFFFFFF, zlib.crc32(repr(about).encode())])
    return rng.choice(np.sort(unseen), min(n, len(unseen)), replace=False).astype(np.int32)
