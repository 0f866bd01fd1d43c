"""A plan carried out for one query: rounds, rules, guarantees and diversification, each leaving its trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kgrecall.errors import Shown, Unsupported
from kgrecall.recall.base import QueryBatch
from kgrecall.recall.channels.popularity import PopularOrder
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.filtering.item_values import ItemValues
from kgrecall.recall.panel import Panel
from kgrecall.recall.planning.caps import CappedItems, Caps
from kgrecall.recall.planning.diversify import Kept, place_items
from kgrecall.recall.planning.guarantees import Guarantees, Promised, joined_extras, unseen_items
from kgrecall.recall.planning.plan import Plan
from kgrecall.recall.planning.rounds import Rounds
from kgrecall.recall.planning.rules import apply_rules
from kgrecall.types import FloatArray, IntArray, PosArray, Query

DIVERSITY, AT_MOST = "diversity", "at_most"
"""Effects of likeness to what stands above, and of a cap that was lifted to fill the list."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """Some items and how their scores came about: ``scores`` is the sum of ``parts`` (of channels) and ``effects`` (of stages),
    but for items that only fill the list, whose scores are below all others.

    Shapes: positions int32 (n,); scores, and per name channel_scores, parts, effects, float32 (n,).
    """

    positions: PosArray
    scores: FloatArray
    channel_scores: dict[str, FloatArray]
    parts: dict[str, FloatArray]
    effects: dict[str, FloatArray]
    personal: bool = False
    trace: tuple[str, ...] = ()
    filled: int = 0

    def take(self, places: IntArray, scores: FloatArray | None = None) -> Planned:
        def chosen(table: dict[str, FloatArray]) -> dict[str, FloatArray]:
            return {name: values[places] for name, values in table.items()}

        return replace(
            self,
            positions=self.positions[places],
            scores=self.scores[places] if scores is None else scores,
            channel_scores=chosen(self.channel_scores),
            parts=chosen(self.parts),
            effects=chosen(self.effects),
        )

    def extended(self, positions: PosArray) -> Planned:
        """With items behind that no channel recalled; they score 0."""
        return self.before(Planned(positions.astype(np.int32), np.zeros(len(positions), np.float32), {}, {}, {}))

    def before(self, other: Planned) -> Planned:
        """With the items of another list behind."""

        def both(table: dict[str, FloatArray], more: dict[str, FloatArray], value: float) -> dict[str, FloatArray]:
            ours, theirs = (np.full(len(part.positions), value, np.float32) for part in (self, other))
            return {name: np.concatenate([table.get(name, ours), more.get(name, theirs)]) for name in {**table, **more}}

        return replace(
            self,
            positions=np.concatenate([self.positions, other.positions]),
            scores=np.concatenate([self.scores, other.scores]),
            channel_scores=both(self.channel_scores, other.channel_scores, np.nan),
            parts=both(self.parts, other.parts, 0.0),
            effects=both(self.effects, other.effects, 0.0),
        )

    def added(self, item_pos: int) -> dict[str, float]:
        """What each channel and each stage added to one item's score; empty when it is not here or no channel recalled it."""
        found = np.flatnonzero(self.positions == item_pos)
        if not len(found) or not any(self.parts[name][found[0]] for name in self.parts):
            return {}
        table = {**self.parts, **self.effects}
        return {name: float(values[found[0]]) for name, values in table.items() if values[found[0]] != 0}


class Planner:
    """Carries out plans.

    Args:
        panel: the channels.
        popular: the order in which a list is filled up.
        users_per_item: float32 (num_items,).
        filters: for rules, guarantees and caps; None where the engine has no item columns.
        vectors: float32 (num_items, dim) each, such as learned vectors and texts: likeness is the mean of their cosines.
    """

    def __init__(
        self,
        panel: Panel,
        popular: PopularOrder,
        users_per_item: FloatArray,
        filters: FilterMasks | None,
        vectors: Sequence[FloatArray],
    ) -> None:
        self._popular, self._filters, self._vectors = popular, filters, tuple(vectors)
        self._values = None if filters is None else ItemValues(filters.columns)
        self._rounds = Rounds(panel, self._values)
        self._guarantees = Guarantees(users_per_item, filters)

    def run(self, plan: Plan, query: Query, batch: QueryBatch, names: tuple[str, ...]) -> tuple[Planned, Planned]:
        """The answer to a batch of one, and the scored candidates that it was made of.

        Raises:
            ConfigError: a channel, property or relation that is not there.
            Unsupported: likeness is asked for, and no items have vectors.
        """
        k = min(query.k, batch.num_items)
        pool_size = min(batch.num_items, max(plan.pool, 2 * k))
        answer, trace = self._rounds.ask(batch, plan.rounds, names, k, pool_size, whole=plan.asks_who_recalled)
        count = int((answer.fused.positions[0] >= 0).sum())
        table = zip(answer.names, answer.fused.channel_scores[:, 0, :count], answer.fused.parts[:, 0, :count], strict=True)
        raw, parts = {}, {}
        for name, scores, part in table:
            raw[name], parts[name] = scores, part
        found = answer.fused.positions[0, :count]
        scores, effects, told = apply_rules(plan.rules, self._filters, found, answer.fused.scores[0, :count])
        pool = Planned(found, scores, raw, parts, effects, bool(answer.personal[0]))
        pool = pool.take(np.lexsort((found, -scores)))
        unseen = unseen_items(self._popular.eligible(batch.mask), found, batch.excluded(0))
        promised = self._guarantees.promise(plan, query, k, answer, unseen)
        placed, more = self._place(plan, pool, promised, unseen, k)
        return replace(placed, trace=(*trace, *told, *more)), pool

    def _place(
        self, plan: Plan, pool: Planned, promised: Sequence[Promised], unseen: PosArray, k: int
    ) -> tuple[Planned, list[str]]:
        pool = pool.extended(joined_extras(promised))
        caps = Caps(plan.diversity.at_most, self._values)
        capped = caps.over(pool.positions)
        strength = plan.diversity.strength
        chosen, values = place_items(
            pool.scores,
            k,
            caps=capped,
            kept=[Kept(part.fulfilled[pool.positions], part.wanted) for part in promised],
            strength=strength,
            vectors=self._vectors_of(pool.positions) if strength > 0 and len(pool.positions) else None,
        )
        order = np.lexsort((pool.positions[chosen], -values))
        chosen, values = chosen[order], values[order]
        placed = pool.take(chosen, values)
        trace = [
            f"guarantee {part.name!r}: {int(part.fulfilled[placed.positions].sum())} of {k} places, {part.wanted} wanted"
            for part in promised
        ]
        if strength > 0:
            placed.effects[DIVERSITY] = values - pool.scores[chosen]
            plain = np.sort(pool.positions[: len(chosen)])
            changed = len(chosen) - int(np.isin(placed.positions, plain).sum())
            trace.append(f"{DIVERSITY} {strength:g}: {changed} of {len(chosen)} candidates would not be here without it")
        over: IntArray | None = None
        if plan.diversity.at_most:
            over = np.flatnonzero(capped.blocked & ~np.isin(np.arange(len(pool.positions)), chosen))
            trace.append(f"{AT_MOST} {plan.diversity.at_most}: {len(over)} candidates passed over")
        return self._filled(pool, placed, k, caps, unseen[~np.isin(unseen, pool.positions)], over, trace)

    def _filled(
        self, pool: Planned, placed: Planned, k: int, caps: Caps, rest: PosArray, over: IntArray | None, trace: list[str]
    ) -> tuple[Planned, list[str]]:
        """The list made full: by popular items within the caps, then by candidates (places ``over`` of the pool) and popular
        items over them."""
        missing = k - len(placed.positions)
        if missing <= 0:
            return placed, trace
        head, tail = np.split(rest, [missing if over is None else missing + 4 * k])
        more = _first_within(caps.over(head), head, missing)
        if len(more) < missing and over is not None:
            more = np.append(more, _first_within(caps.over(tail), tail, missing - len(more)))
        full = placed.extended(more)
        lifted, popular = pool.take(np.zeros(0, np.int64)), np.zeros(0, np.int32)
        if len(more) < missing and over is not None:
            lifted = pool.take(over[: missing - len(more)])
            popular = rest[~np.isin(rest, more)][: missing - len(more) - len(lifted.positions)]
            full = full.before(lifted).extended(popular)
            if places := len(lifted.positions) + len(popular):
                trace = [*trace, f"{AT_MOST} was lifted for the last {places} places: there is nothing else to show"]
        start, last = len(placed.positions), min(0.0, float(placed.scores.min(initial=0.0)))
        full.scores[start:] = last - np.arange(1, len(full.positions) - start + 1, dtype=np.float32)
        if len(lifted.positions):
            first = start + len(more)
            moved = slice(first, first + len(lifted.positions))
            full.effects[AT_MOST] = np.zeros(len(full.positions), np.float32)
            full.effects[AT_MOST][moved] = full.scores[moved] - lifted.scores
        return replace(full, filled=len(more) + len(popular)), trace

    def _vectors_of(self, positions: PosArray) -> FloatArray:
        """Unit rows whose products are the mean of the cosines in each space, float32 (n, dims together)."""
        if not self._vectors:
            raise Unsupported(
                "diversity.strength",
                expected="an engine with vectors of items",
                got=Shown("one without"),
                remedy="Build the channel vector or text, or use at_most.",
            )
        return np.hstack([_unit(v[positions]) for v in self._vectors]) / np.float32(np.sqrt(len(self._vectors)))


def _unit(vectors: FloatArray) -> FloatArray:
    vectors = np.nan_to_num(vectors.astype(np.float32))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _first_within(capped: CappedItems, items: PosArray, n: int) -> PosArray:
    """The first n items of an order that are within the caps."""
    taken: list[int] = []
    for place in range(len(items)):
        if len(taken) == n:
            break
        if not capped.blocked[place]:
            taken.append(place)
            capped.take(place)
    return items[taken].astype(np.int32)
