"""The recall engine: every channel is asked, their hits are fused, and the list is full whenever it can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from kgrecall.errors import ConfigError, ShapeError, Shown, Unsupported, nearest
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.base import Channel, Hits, Naming, QueryBatch
from kgrecall.recall.explain import Names, PathWriter
from kgrecall.recall.histories import Histories
from kgrecall.recall.popularity import PopularityChannel
from kgrecall.recall.rank_fusion import Fused, FusionConfig, fuse
from kgrecall.recall.requests import Request, Resolver, batch_of, batch_of_users, check_channels
from kgrecall.types import BoolArray, Candidates, FloatArray, IntArray, Path, PosArray, Query

EncodeText = Callable[[Sequence[str]], FloatArray]
_BLOCK = 256


class EngineConfig(BaseModel):
    """The engine's own settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(default=200, ge=1)
    """Hits asked of each channel; at least k."""
    max_history: int = Field(default=500, ge=1)
    """Only the newest items of a longer history are used; bounds the time of a request."""
    text_weight: float = Field(default=1.0, gt=0)
    """Weight of the text channel where a query has a text, as a multiple of all other channels' weights together."""


class RecallEngine:
    """Answers queries from arrays. Immutable after construction; any number of threads may ask at once.

    Args:
        users, items: vocabularies of the graph.
        channels: with distinct names; see :class:`kgrecall.recall.base.Channel`.
        fusion: how their hits are weighed.
        histories: what each user chose.
        popularity: float32 (num_items,): the order in which a list is filled up that the channels leave short; users per item
            when not given.
        encode_text: for queries with a text, float32 (n, dim) of n texts, in the space of the channel ``text``.
        names: titles of nodes for answers and explanations.
        naming: the labels of users and items, and the relation between them.

    Raises:
        ConfigError: channels without names of their own, or weights for a channel that is not there.
        ShapeError: histories of other users or items than the vocabularies'.
    """

    def __init__(
        self,
        users: Vocabulary,
        items: Vocabulary,
        channels: Sequence[Channel],
        fusion: FusionConfig,
        histories: Histories,
        *,
        popularity: FloatArray | None = None,
        encode_text: EncodeText | None = None,
        names: Names | None = None,
        naming: Naming | None = None,
        config: EngineConfig | None = None,
    ) -> None:
        _check_parts(users, items, channels, fusion, histories)
        self.config, self.fusion = config or EngineConfig(), fusion
        self._naming = naming or Naming()
        self._users, self._items, self._histories = users, items, histories
        self._channels = {channel.name: channel for channel in channels}
        self._encode_text = encode_text
        self._names = names or Names({self._naming.user: users, self._naming.item: items})
        self._titles = self._names.titles.get(self._naming.item)
        self._writer = PathWriter(self._names, self._naming)
        self._resolver = Resolver(users, items, histories, self.config.max_history)
        counts = histories.popularity() if popularity is None else popularity
        self._by_popularity = np.argsort(-counts, kind="stable").astype(np.int32)

    @property
    def channel_names(self) -> tuple[str, ...]:
        return tuple(self._channels)

    def recall(self, query: Query) -> Candidates:
        """The answer to one query: exactly ``query.k`` distinct items whenever so many are eligible.

        Raises:
            UnknownId: a user without history in the call, or an ``item_id``, that the graph does not hold.
            ConfigError: a channel that the engine does not have.
            Unsupported: a text, but no text encoder.
        """
        return self.recall_many([query])[0]

    def recall_many(self, queries: Sequence[Query]) -> list[Candidates]:
        """The answers to many queries, in their order; faster than one by one. Raises as :meth:`recall`."""
        requests = [self._resolver.resolve(query) for query in queries]
        texts = self._encoded(queries)
        groups: dict[tuple[frozenset[str] | None, tuple[str, ...]], list[int]] = {}
        for i, query in enumerate(queries):
            names = check_channels(query.channels, self.channel_names)
            groups.setdefault((query.allow, names), []).append(i)
        answers: dict[int, Candidates] = {}
        for (allow, names), members in groups.items():
            notes: list[str] = []
            mask = self._resolver.mask(allow, notes)
            for start in range(0, len(members), _BLOCK):
                block = members[start : start + _BLOCK]
                text = None if texts is None else texts[block]
                batch = batch_of([requests[i] for i in block], len(self._items), mask, text)
                found = self._answer([requests[i] for i in block], batch, names, tuple(notes))
                answers.update(zip(block, found, strict=True))
        return [answers[i] for i in range(len(queries))]

    def rank(self, user_pos: IntArray, k: int, *, channel: str | None = None) -> PosArray:
        """Ranked item positions for known users, their history left out: what evaluation asks.

        Args:
            channel: ask this channel alone, without filling up; None for the fused answer.

        Shapes: user_pos int64 (q,) -> int32 (q, k), padded with -1.
        """
        k_served = min(k, len(self._items))
        ranked = np.full((len(user_pos), k), -1, np.int32)
        names = check_channels(None if channel is None else (channel,), self.channel_names)
        for start in range(0, len(user_pos), _BLOCK):
            batch = batch_of_users(user_pos[start : start + _BLOCK], self._histories, self.config.max_history)
            block = ranked[start : start + _BLOCK, :k_served]
            if channel is not None:
                block[:] = self._channels[channel].recall(batch, k_served).positions
            else:
                block[:] = self._fill(self._fused(batch, names, k_served)[0].positions, batch)
        return ranked

    def channel_hits(self, user_pos: IntArray, k: int) -> dict[str, Hits]:
        """The hits of every channel for known users, their history left out: what :func:`fit_weights` takes."""
        found: dict[str, list[Hits]] = {name: [] for name in self._channels}
        for start in range(0, len(user_pos), _BLOCK):
            batch = batch_of_users(user_pos[start : start + _BLOCK], self._histories, self.config.max_history)
            for name, channel in self._channels.items():
                found[name].append(channel.recall(batch, k))
        return {
            name: Hits(np.concatenate([h.positions for h in hits]), np.concatenate([h.scores for h in hits]))
            for name, hits in found.items()
            if hits
        }

    def contributions(self, query: Query, item_id: str) -> dict[str, float]:
        """What each channel adds to the fused score of one item; the values add up to it. Empty when no channel recalled it."""
        batch, names, item = self._single(query, item_id)
        fused, _ = self._fused(batch, names, len(self._items))
        at = np.flatnonzero(fused.positions[0] == item)
        return {
            name: float(fused.parts[c, 0, at[0]]) for c, name in enumerate(names) if len(at) and fused.parts[c, 0, at[0]] > 0
        }

    def explain(self, query: Query, item_id: str, limit: int = 3) -> list[Path]:
        """Why this item: the strongest path of each channel first, in the order of what the channels add to its score.

        Empty when no channel has a reason, as for an item that only filled the list up.

        Raises:
            UnknownId: the item, or the user, is not in the graph.
            ConfigError: limit below 1.
        """
        if limit < 1:
            raise ConfigError("limit", expected="an integer >= 1", got=limit, remedy="Say how many paths you want.")
        batch, names, item = self._single(query, item_id)
        added = self.contributions(query, item_id)
        ordered = sorted(names, key=lambda name: -added.get(name, 0.0))
        paths: list[tuple[int, float, Path]] = []
        for name in ordered:
            for place, evidence in enumerate(self._channels[name].evidence(batch, item, limit)):
                path = self._writer.path(name, evidence, from_item=query.item_id is not None)
                paths.append((place, -added.get(name, 0.0) * evidence.share, path))
        paths.sort(key=lambda entry: entry[:2])
        return [path for _, _, path in paths[:limit]]

    def _single(self, query: Query, item_id: str) -> tuple[QueryBatch, tuple[str, ...], int]:
        """A batch of one that may return the item asked about, even a seen one."""
        item = self._items.position(item_id)
        request = self._resolver.resolve(query)
        names = check_channels(query.channels, self.channel_names)
        batch = batch_of([request], len(self._items), None, self._encoded([query]))
        allowed = batch.exclude_pos[batch.exclude_pos != item]
        indptr = np.array([0, len(allowed)], np.int64)
        return _replace_exclude(batch, allowed, indptr), names, item

    def _encoded(self, queries: Sequence[Query]) -> FloatArray | None:
        """float32 (q, dim) with zero rows where a query has no text; None when none has."""
        asking = [i for i, query in enumerate(queries) if query.text]
        if not asking:
            return None
        if self._encode_text is None or "text" not in self._channels:
            raise Unsupported(
                "Query.text",
                expected="an engine with a text encoder and the channel 'text'",
                got=queries[asking[0]].text,
                remedy="Build with a text encoder, or ask without text.",
            )
        encoded = self._encode_text([queries[i].text or "" for i in asking])
        texts = np.zeros((len(queries), encoded.shape[1]), np.float32)
        texts[asking] = encoded
        return texts

    def _fused(self, batch: QueryBatch, names: tuple[str, ...], k: int) -> tuple[Fused, BoolArray]:
        """The fused lists, and which channels answered: bool (channels, q)."""
        depth = min(max(k, self.config.depth), len(self._items))
        hits = [self._channels[name].recall(batch, depth) for name in names]
        weights = self._weights(batch, names)
        parts = [self.fusion.calibrate(n, h) * w[:, None] for n, h, w in zip(names, hits, weights, strict=True)]
        answered = np.stack([h.positions[:, 0] >= 0 for h in hits])
        return fuse(hits, parts, k), answered

    def _weights(self, batch: QueryBatch, names: tuple[str, ...]) -> FloatArray:
        """The weight of each channel for each query: float32 (channels, q)."""
        weights = np.array([self.fusion.weight(name) for name in names], np.float32)
        table = np.repeat(weights[:, None], len(batch), axis=1)
        if batch.text is not None and "text" in names:
            text = names.index("text")
            others = float(weights.sum() - weights[text]) or 1.0
            table[text, batch.text.any(axis=1)] = self.config.text_weight * others
        return table

    def _fill(self, positions: PosArray, batch: QueryBatch) -> PosArray:
        """Rows that end early go on with the most popular eligible items that they do not hold yet."""
        short = np.flatnonzero(positions[:, -1] < 0)
        if not len(short):
            return positions
        order = self._by_popularity if batch.mask is None else self._by_popularity[batch.mask[self._by_popularity]]
        positions = positions.copy()
        for i in short:
            n = int((positions[i] >= 0).sum())
            taken = np.concatenate([positions[i, :n], batch.excluded(int(i))])
            more = order[: positions.shape[1] + len(taken)]
            more = more[~np.isin(more, taken)][: positions.shape[1] - n]
            positions[i, n : n + len(more)] = more
        return positions

    def _answer(
        self, requests: Sequence[Request], batch: QueryBatch, names: tuple[str, ...], notes: tuple[str, ...]
    ) -> list[Candidates]:
        k = min(max(request.query.k for request in requests), len(self._items))
        fused, answered = self._fused(batch, names, k)
        positions = self._fill(fused.positions, batch)
        own = np.array([not isinstance(self._channels[name], PopularityChannel) for name in names])
        personal = np.logical_or.reduce(answered[own], axis=0)
        return [
            self._candidates(request, fused, positions[i], i, names, bool(personal[i]), notes)
            for i, request in enumerate(requests)
        ]

    def _candidates(
        self,
        request: Request,
        fused: Fused,
        positions: PosArray,
        i: int,
        names: tuple[str, ...],
        personal: bool,
        notes: tuple[str, ...],
    ) -> Candidates:
        positions = positions[: request.query.k]
        positions = positions[positions >= 0]
        n = len(positions)
        scores = fused.scores[i, :n].copy()
        recalled = int(np.isfinite(scores).sum())
        scores[recalled:] = -np.arange(1, n - recalled + 1)
        notes = request.notes + notes
        if recalled < n:
            notes += (f"{n - recalled} of {n} places were filled up by popularity (scores below 0).",)
        return Candidates(
            item_ids=tuple(self._items.ids_at(positions)),
            scores=scores,
            channel_scores={name: fused.channel_scores[c, i, :n] for c, name in enumerate(names)},
            titles=() if self._titles is None else tuple(self._titles[p] for p in positions.tolist()),
            served="cold" if not personal else ("hot" if request.known else "warm"),
            notes=notes,
        )


def _replace_exclude(batch: QueryBatch, exclude: PosArray, indptr: IntArray) -> QueryBatch:
    return replace(batch, exclude_pos=exclude, exclude_indptr=indptr)


def _check_parts(
    users: Vocabulary, items: Vocabulary, channels: Sequence[Channel], fusion: FusionConfig, histories: Histories
) -> None:
    names = [channel.name for channel in channels]
    if not names or len(set(names)) != len(names):
        raise ConfigError(
            "channels", expected="at least one channel, with distinct names", got=names, remedy="Give each channel a name."
        )
    for name in (*fusion.weights, *fusion.temperatures):
        if name not in names:
            raise ConfigError("fusion", expected="names of channels", got=name, remedy=nearest(name, names))
    if (histories.num_users, histories.num_items) != (len(users), len(items)):
        raise ShapeError(
            "histories",
            expected=f"{len(users)} users and {len(items)} items",
            got=Shown(f"{histories.num_users} and {histories.num_items}"),
            remedy="Take vocabularies and interactions from one snapshot.",
        )
