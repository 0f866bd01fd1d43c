"""The questions of a cold start: items that nobody has met, users who bring three events, attributes, friends or a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from kgrecall.evaluate import Rank
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.split import joined, new_pairs
from kgrecall.jobs.folds import timed
from kgrecall.recall.engine import RecallEngine
from kgrecall.types import BoolArray, IntArray, Interactions, PosArray, Query

ALONE = {
    "text alone": "text",
    "graph alone": "attributes",
    "vector alone": "vector",
    "content alone": "content",
    "popularity": "popularity",
}
"""What the engine is compared with, and the channel of it that is asked."""
HISTORY, WORDS = 3, 40


@dataclass(frozen=True)
class Hidden:
    """What training sees, and what is asked: ``items`` bool (num_items,), ``users`` int64 (m,), ``lives``: all of their events,
    also with hidden items; ``next``: of what is asked, the events that were held out and not hidden."""

    train: Interactions
    truth: Interactions
    items: BoolArray
    users: IntArray
    lives: Interactions
    next: Interactions

    @classmethod
    def of(cls, train: Interactions, test: Interactions, *, items: float, users: int, seed: int) -> Hidden:
        """Hide a share of the items, and so many users among those with enough events to keep three and ask for others."""
        rng = np.random.default_rng(seed)
        met = np.unique(train.item_pos)
        hidden = np.zeros(train.num_items, np.bool_)
        hidden[rng.choice(met, round(items * len(met)), replace=False)] = True
        warm = train.take(~hidden[train.item_pos])
        able = np.flatnonzero(np.bincount(warm.user_pos, minlength=train.num_users) > HISTORY + 1)
        new = np.sort(rng.choice(able, min(users, len(able) // 5), replace=False))
        is_new = np.isin(warm.user_pos, new)
        learned = warm.take(~is_new)
        asked = joined(train.take(hidden[train.item_pos]), test)
        truth, later = (new_pairs(part.take(~np.isin(part.user_pos, new)), learned) for part in (asked, test))
        return cls(learned, truth, hidden, new, train.take(np.isin(train.user_pos, new)), later)


@dataclass(frozen=True)
class Case:
    """One kind of question: how each system ranks for it, and what is right."""

    name: str
    truth: Interactions
    users: IntArray
    ranks: Mapping[str, Rank]


class Cases:
    """All questions that a set allows."""

    def __init__(self, snapshot: GraphSnapshot, engine: RecallEngine, hidden: Hidden, max_users: int, seed: int) -> None:
        self._snapshot, self._engine, self._hidden, self._most, self._seed = snapshot, engine, hidden, max_users, seed
        self._items = snapshot.items

    def all(self) -> Iterator[Case]:
        yield from self._new_items()
        firsts = {int(user): self._known_life(int(user)) for user in self._hidden.users}
        start = {user: life[:HISTORY] for user, life in firsts.items()}
        yield self._new_users(
            "new user, three events", {user: {"history": self._ids(items)} for user, items in start.items()}, start
        )
        yield from self._attributes()
        yield from self._friends()
        texts = self._snapshot.texts(self._snapshot.schema.item_label)
        said = {user: " ".join(texts[life[0]].split()[:WORDS]) for user, life in firsts.items()}
        if any(said.values()):
            asked = {user: {"taste": text, "exclude": self._ids(firsts[user][:1])} for user, text in said.items() if text}
            yield self._new_users("new user, one sentence", asked, {user: life[:1] for user, life in firsts.items()})

    def _new_items(self) -> Iterator[Case]:
        hidden, truth, every = self._hidden, self._hidden.truth, np.ones_like(self._hidden.items)
        known = np.unique(hidden.train.user_pos)
        asked = [
            ("new items among themselves", hidden.items, hidden.items, truth),
            ("known items among themselves", ~hidden.items, ~hidden.items, truth),
            ("all items in one list", every, None, truth),
            ("new items in the list of all", hidden.items, None, truth),
        ]
        if timed(hidden.train):
            asked.append(("what came next, all items in one list", every, None, hidden.next))
        for name, wanted, among, right in asked:
            part = right.take(wanted[right.item_pos])
            users = self._drawn(np.intersect1d(known, part.user_pos))
            ranks = {"kgrecall": partial(self._engine.rank, among=among)}
            ranks |= {system: partial(self._engine.rank, channel=c, among=among) for system, c in self._alone().items()}
            yield Case(name, part, users, ranks)

    def _attributes(self) -> Iterator[Case]:
        label = self._snapshot.schema.user_label
        columns = self._snapshot.properties[label].to_pydict()
        known = {
            int(user): {name: values[user] for name, values in columns.items() if values[user] is not None}
            for user in self._hidden.users
        }
        asked = {user: {"attributes": values} for user, values in known.items() if values}
        if asked:
            yield self._new_users("new user, attributes", asked, {})

    def _friends(self) -> Iterator[Case]:
        social = list(self._snapshot.with_role("social").values())
        if not social:
            return
        new, ids = set(self._hidden.users.tolist()), self._snapshot.users
        friends: dict[int, set[int]] = {user: set() for user in new}
        for edges in social:
            for a, b in zip(edges.sources().tolist(), edges.indices.tolist(), strict=True):
                for one, other in ((a, b), (b, a)):
                    if one in new and other not in new:
                        friends[one].add(other)
        asked = {u: {"friends": list(ids.ids_at(np.array(sorted(found))))} for u, found in friends.items() if found}
        if asked:
            yield self._new_users("new user, friends", asked, {})

    def _new_users(self, name: str, asked: Mapping[int, dict[str, object]], start: Mapping[int, PosArray]) -> Case:
        """Questions without a user id; right is everything in the user's life but what the question tells."""
        users = np.array(sorted(asked))
        lives = self._hidden.lives
        told = np.array([item in start.get(user, ()) for user, item in zip(lives.user_pos, lives.item_pos, strict=True)])
        truth = lives.take(~told & np.isin(lives.user_pos, users))
        ranks: dict[str, Rank] = {"kgrecall": partial(self._ask, asked, None)}
        for system, channel in self._alone().items():
            ranks[system] = partial(self._ask, asked, (channel,))
        return Case(name, truth, users, ranks)

    def _ask(
        self, asked: Mapping[int, dict[str, object]], channels: tuple[str, ...] | None, users: IntArray, k: int
    ) -> PosArray:
        extra = {} if channels != ("popularity",) else {"taste": None}
        queries = [self._query({**asked[int(user)], **extra}, channels, k) for user in users]
        found = np.full((len(users), k), -1, np.int32)
        for i, answer in enumerate(self._engine.recall_many(queries)):
            positions = self._items.positions(list(answer.item_ids))
            found[i, : len(positions)] = positions
        return found

    def _query(self, values: dict[str, object], channels: tuple[str, ...] | None, k: int) -> Query:
        given = {name: value for name, value in values.items() if value is not None}
        if not any(name in given for name in ("history", "taste", "attributes", "friends")):
            given["history"] = []
        return Query(k=k, channels=channels, **given)  # type: ignore[arg-type]

    def _alone(self) -> dict[str, str]:
        return {system: channel for system, channel in ALONE.items() if channel in self._engine.channel_names}

    def _known_life(self, user: int) -> PosArray:
        """The items of a hidden user that training knows, the first first."""
        lives = self._hidden.lives
        mine = lives.take((lives.user_pos == user) & ~self._hidden.items[lives.item_pos])
        if mine.time is None:
            order = np.random.default_rng(self._seed + user).permutation(len(mine))
        else:
            order = np.argsort(mine.time, kind="stable")
        return _distinct(mine.item_pos[order])

    def _ids(self, positions: Sequence[int] | PosArray) -> list[str]:
        return list(self._items.ids_at(np.asarray(positions, np.int64)))

    def _drawn(self, users: IntArray) -> IntArray:
        if len(users) <= self._most:
            return users
        return np.sort(np.random.default_rng(self._seed).choice(users, self._most, replace=False))


def _distinct(items: IntArray) -> PosArray:
    """Each item once, in the order of first occurrence."""
    _, first = np.unique(items, return_index=True)
    return items[np.sort(first)].astype(np.int32)
