"""The recall engine: every channel is asked, their hits are fused, and the list is full whenever it can be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from kgrecall.errors import ConfigError, ShapeError, Shown
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.kernels import tier
from kgrecall.recall.answers import AnswerWriter
from kgrecall.recall.base import Channel, Hits, Naming, QueryBatch, Signal
from kgrecall.recall.channels.popularity import PopularOrder
from kgrecall.recall.explaining.explain import Names, PathWriter
from kgrecall.recall.explaining.explainer import Explainer, Question
from kgrecall.recall.explaining.explanation import Attribution, Counterfactual, Explanation
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.histories import Histories
from kgrecall.recall.panel import TEXT_CHANNEL, Panel
from kgrecall.recall.planning.plan import Plan, parse_plan
from kgrecall.recall.planning.planner import Planner
from kgrecall.recall.queries.audience import Audience
from kgrecall.recall.queries.batches import batch_of
from kgrecall.recall.queries.eligible import Eligible
from kgrecall.recall.queries.requests import Request, Resolver
from kgrecall.recall.queries.user_batches import UserBatches
from kgrecall.recall.queries.words import EncodeText, Words
from kgrecall.settings import Settings
from kgrecall.types import BoolArray, Candidates, FloatArray, IntArray, Path, PosArray, Query

_BLOCK = 256


class EngineConfig(Settings):
    """The engine's own settings."""

    depth: int = Field(default=200, ge=1)
    """Hits asked of each channel; at least k."""
    max_history: int = Field(default=500, ge=1)
    """Only the newest items of a longer history are used; bounds the time of a request."""


class RecallEngine:
    """Answers queries from arrays. Immutable after construction; any number of threads may ask at once.

    Args:
        users, items: vocabularies of the graph.
        channels: with distinct names; see :class:`kgrecall.recall.base.Channel`.
        fusion: how their hits are weighed.
        histories: what each user chose.
        popularity: float32 (num_items,): the order in which a list is filled up that the channels leave short; users per item
            when not given.
        filters: compiles ``Query.filter``; without it such queries are refused.
        hidden: ids of items that nobody is ever shown.
        audience: looks up attributes, contexts and kinds of events; without it queries with them are refused.
        on_signal: channels that are asked only where a query has friends, attributes (``traits``) or a context (``moment``).
        encode_text: for queries with a text, float32 (n, dim) of n texts, in the space of the channel ``text``.
        vectors: float32 (num_items, dim) each: spaces in which plans tell how alike items are.
        names: titles of nodes for answers and explanations.
        naming: the labels of users and items, and the relation between them.

    Raises:
        ConfigError: channels without names of their own, or fusion settings for a channel that is not there.
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
        filters: FilterMasks | None = None,
        hidden: Collection[str] = (),
        audience: Audience | None = None,
        on_signal: Mapping[Signal, Sequence[Channel]] | None = None,
        encode_text: EncodeText | None = None,
        vectors: Sequence[FloatArray] = (),
        names: Names | None = None,
        naming: Naming | None = None,
        config: EngineConfig | None = None,
    ) -> None:
        if (histories.num_users, histories.num_items) != (len(users), len(items)):
            raise ShapeError(
                "histories",
                expected=f"{len(users)} users and {len(items)} items",
                got=Shown(f"{histories.num_users} and {histories.num_items}"),
                remedy="Take vocabularies and interactions from one snapshot.",
            )
        self.config, self.fusion = config or EngineConfig(), fusion
        naming = naming or Naming()
        names = names or Names({naming.user: users, naming.item: items})
        self.popularity = histories.popularity() if popularity is None else popularity
        self._panel = Panel(channels, fusion, depth=self.config.depth, on_signal=on_signal, popularity=self.popularity)
        self.users, self.items = users, items
        self._histories = histories
        self._answers = AnswerWriter(items, names.titles.get(naming.item))
        self._explainer = Explainer(self._panel, items, names, PathWriter(names, naming))
        self._eligible = Eligible(items, filters, hidden)
        nearest = self._panel[TEXT_CHANNEL] if TEXT_CHANNEL in self.channel_names else None
        self._words = Words(encode_text, nearest, len(items), self._eligible.shown(None))
        audience = audience or Audience()
        self._resolver = Resolver(users, items, histories, self.config.max_history, self._words, audience)
        self._user_batches = UserBatches(histories, audience, self.config.max_history)
        users_per_item = histories.popularity()
        self._popular = PopularOrder(self.popularity)
        self._planner = Planner(self._panel, self._popular, users_per_item, filters, vectors)

    @property
    def channel_names(self) -> tuple[str, ...]:
        return self._panel.names

    @property
    def histories(self) -> Histories:
        """What each user chose, as this engine knows it."""
        return self._histories

    def recall(self, query: Query) -> Candidates:
        """The answer to one query: exactly ``query.k`` distinct items whenever so many are eligible.

        Places that the channels leave empty are filled by popularity; such items score below 0 and are counted in ``notes``.

        Raises:
            UnknownId: a user without history in the call, or an ``item_id``, that the graph does not hold.
            ConfigError: a channel that the engine does not have, or a filter that cannot be understood.
            Unsupported: a text, but no text encoder; a filter, but no item columns; an attribute or a context, but no audience.
        """
        return self.recall_many([query])[0]

    @staticmethod
    def warm_up() -> bool:
        """Load the compiled loops (extra ``fast``) now, before the first request; whether there are any.

        Else a process loads them by itself after :data:`kgrecall.kernels.tier.AFTER` queries: half a second, and on a machine
        that never had them some seconds of compilation. Answers are the same with and without.
        """
        return tier.load()

    def recall_many(self, queries: Sequence[Query]) -> list[Candidates]:
        """The answers to many queries, in their order; faster than one by one. Raises as :meth:`recall`."""
        tier.answering(len(queries))
        requests = self._resolver.resolve(queries)
        texts = self._words.texts(queries)
        groups: dict[tuple[Any, ...], list[int]] = {}
        for i, query in enumerate(queries):
            names = self._panel.choose(query.channels, requests[i].signals)
            depth = max(query.k, self.config.depth)  # a larger k beside it must not change an answer
            key = query.allow, self._eligible.filter_of(query), names, depth, query.plan is None
            groups.setdefault(key, []).append(i)
        answers: dict[int, Candidates] = {}
        for (allow, tree, names, _, plain), members in groups.items():
            mask, notes = self._eligible.mask(allow, tree)
            size = _BLOCK if plain else 1
            for start in range(0, len(members), size):
                block = members[start : start + size]
                asked = [requests[i] for i in block]
                batch = batch_of(asked, len(self.items), mask, None if texts is None else texts[block])
                answer = self._plain if plain else self._planned
                answers.update(zip(block, answer(asked, batch, names, notes), strict=True))
        return [answers[i] for i in range(len(queries))]

    def rank(self, user_pos: IntArray, k: int, *, channel: str | None = None, among: BoolArray | None = None) -> PosArray:
        """Ranked item positions for known users, their history left out: what evaluation asks.

        Args:
            channel: ask this channel alone, without filling up; None for the fused answer.
            among: bool (num_items,): only these items; None: all.

        Shapes: user_pos int64 (q,) -> int32 (q, k), padded with -1.
        """
        tier.answering(len(user_pos))
        served = min(k, len(self.items))
        ranked = np.full((len(user_pos), k), -1, np.int32)
        mask = self._eligible.shown(among)
        for rows, batch, signals in self._user_batches.of(user_pos, mask):
            if channel is None:
                names = self._panel.choose(None, signals)
                found = self._popular.fill(self._panel.ask(batch, names, served).fused.positions, batch)
            else:
                found = self._panel[self._panel.choose((channel,))[0]].recall(batch, served).positions
            ranked[rows, :served] = found
        return ranked

    def channel_hits(
        self, user_pos: IntArray, k: int, *, told: Histories | None = None, among: BoolArray | None = None
    ) -> dict[str, Hits]:
        """The hits of every channel for known users, or visitors of whom only ``told`` is known, their history left out.

        Shapes: user_pos int64 (q,) -> per channel, Hits of (q, k).
        """
        tier.answering(len(user_pos))
        batches = self._user_batches.of(user_pos, self._eligible.shown(among), told=told)
        return self._panel.ask_apart(((rows, batch) for rows, batch, _ in batches), len(user_pos), k)

    def contributions(self, query: Query, item_id: str) -> dict[str, float]:
        """What each channel adds to the score of one item; the values add up to it. Empty when no channel recalled it.

        Where the query has a plan, what its rules and diversification added stands beside the channels; for an item that the
        plan left out, what it had before places were given.

        Raises:
            UnknownId: the item, or the user, is not in the graph.
        """
        question = self._about(query, item_id)
        plan = parse_plan(query.plan)
        if plan is None:
            return self._explainer.contributions(question)
        placed, pool = self._planner.run(plan, query, question.batch, question.channels)
        return placed.added(question.item_pos) or pool.added(question.item_pos)

    def explain(self, query: Query, item_id: str, limit: int = 3, *, language: str = "en") -> list[Path]:
        """Why this item: the best path of each channel, in the order of what they add to its score, then second bests.

        That an item is popular is said last. Empty when no channel has a reason.

        Args:
            language: of the sentences, ``en`` or ``zh``.

        Raises:
            UnknownId: the item, or the user, is not in the graph.
            ConfigError: limit below 1, or another language.
        """
        return self._explainer.paths(self._about(query, item_id), limit, language)

    def explanation(
        self, query: Query, item_id: str, *, limit: int = 3, counterfactuals: int = 1, language: str = "en"
    ) -> Explanation:
        """Everything about one candidate: its paths, what each channel adds, what each history item and the text are owed, and
        the history items without which it would fall farthest. Plans are not looked at. Arguments and errors as
        :meth:`explain`."""
        question = self._about(query, item_id)
        return self._explainer.explanation(question, limit=limit, language=language, counterfactuals=counterfactuals)

    def attribution(self, query: Query, item_id: str, *, seed: int = 0) -> Attribution:
        """What the fused score of an item is owed to, by channel and by history item or text; the values add up to it.

        Raises:
            UnknownId: the item, or the user, is not in the graph.
        """
        return self._explainer.attribution(self._about(query, item_id), seed=seed)

    def without(self, query: Query, left_out: str | Sequence[str], item_id: str, *, language: str = "en") -> Counterfactual:
        """Where an item would stand had the history not held ``left_out``: the question is asked again without it.

        A stored user is then asked about as a visitor with the history that is left.

        Raises:
            UnknownId: an item, or the user, is not in the graph.
            ConfigError: an item that is not in the history, or another language.
        """
        ids = [left_out] if isinstance(left_out, str) else list(left_out)
        question = self._about(query, item_id)
        positions = np.array([self.items.position(one) for one in ids], np.int32)
        for one, position in zip(ids, positions, strict=True):
            if position not in question.batch.history_pos:
                raise ConfigError("left_out", expected="items of the history", got=one, remedy="Leave out what was chosen.")
        return self._explainer.without(question, [positions], language)[0]

    def _about(self, query: Query, item_id: str) -> Question:
        """A batch of one that may return the item asked about, even a seen one."""
        item = self.items.position(item_id)
        (request,) = self._resolver.resolve([query])
        mask, _ = self._eligible.mask(query.allow, self._eligible.filter_of(query))
        if mask is not None and not mask[item]:
            mask = mask.copy()
            mask[item] = True
        batch = batch_of([request], len(self.items), mask, self._words.texts([query]))
        exclude = batch.exclude_pos[batch.exclude_pos != item]
        batch = replace(batch, exclude_pos=exclude, exclude_indptr=np.array([0, len(exclude)]))
        names = self._panel.choose(query.channels, request.signals)
        return Question(batch, names, item, min(query.k, len(self.items)), query.item_id is not None, request.taste)

    def _plain(
        self, requests: Sequence[Request], batch: QueryBatch, names: tuple[str, ...], notes: tuple[str, ...]
    ) -> Iterator[Candidates]:
        k = min(max(request.query.k for request in requests), len(self.items))
        answer = self._panel.ask(batch, names, k)
        positions = self._popular.fill(answer.fused.positions, batch)
        return self._answers.fused(requests, answer, positions, notes)

    def _planned(
        self, requests: Sequence[Request], batch: QueryBatch, names: tuple[str, ...], notes: tuple[str, ...]
    ) -> Iterator[Candidates]:
        for request in requests:
            plan = parse_plan(request.query.plan) or Plan()
            yield self._answers.planned(request, self._planner.run(plan, request.query, batch, names)[0], notes)
