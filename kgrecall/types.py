"""The nouns that travel between the stages: frozen, array-backed, numpy only.

Identity has two names. ``user_id``, ``item_id`` and ``node_id`` are the user's own strings; ``user_pos`` and ``item_pos``
are contiguous int positions inside one snapshot. Only :class:`kgrecall.graph.vocabulary.Vocabulary` converts.
Times are int64 milliseconds since 1970-01-01 UTC everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ShapeError
from kgrecall.query import Query as Query
from kgrecall.query import Seen as Seen

IntArray = NDArray[np.int64]
PosArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
EdgeType = tuple[str, str, str]
"""(source label, relation, target label), as in PyTorch Geometric."""
Context = tuple[str, ...]
"""The values of an interaction's context properties, in their order, "" where one is not known."""
Progress = Callable[[str, int, int | None], None]
"""``progress(stage, done, total)``: long work reports through a plain function; ``total`` is None when unknown."""


def no_progress(stage: str, done: int, total: int | None) -> None:
    """The silent default."""


@dataclass(frozen=True, slots=True)
class Interactions:
    """User-item events as parallel arrays, one entry an event.

    Shapes: ``user_pos`` int64 (n,), ``item_pos`` int64 (n,), ``weight`` float32 (n,) > 0, ``time`` int64 ms (n,) or None.
    """

    user_pos: IntArray
    item_pos: IntArray
    weight: FloatArray
    time: IntArray | None
    num_users: int
    num_items: int

    def __post_init__(self) -> None:
        lengths = {"user_pos": len(self.user_pos), "item_pos": len(self.item_pos), "weight": len(self.weight)}
        if self.time is not None:
            lengths["time"] = len(self.time)
        if len(set(lengths.values())) > 1:
            raise ShapeError(
                "Interactions", expected="arrays of one length", got=lengths, remedy="Pass one entry per event in each."
            )

    def __len__(self) -> int:
        return len(self.user_pos)

    def take(self, rows: NDArray[Any]) -> Interactions:
        """The events selected by a boolean or integer index, in that order."""
        time = None if self.time is None else self.time[rows]
        return Interactions(self.user_pos[rows], self.item_pos[rows], self.weight[rows], time, self.num_users, self.num_items)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What a trained model leaves behind: plain arrays, so that recall needs no torch.

    Shapes: ``users`` float32 (num_users, dim); ``items`` float32 (num_items, dim), the side that is searched;
    ``item_inputs`` float32 (num_items, dim), the side that is summed over a history to place a user that was never
    seen in training: ``user = normalise(sum_j w_j * item_inputs[j])``.
    """

    users: FloatArray
    items: FloatArray
    item_inputs: FloatArray

    def __post_init__(self) -> None:
        shapes = (self.users.shape, self.items.shape, self.item_inputs.shape)
        if any(len(s) != 2 for s in shapes) or len({s[1] for s in shapes}) > 1 or shapes[1] != shapes[2]:
            raise ShapeError(
                "Embeddings",
                expected="users (num_users, dim), items and item_inputs (num_items, dim)",
                got=shapes,
                remedy="Export all three from the same model.",
            )

    @property
    def dim(self) -> int:
        return int(self.items.shape[1])


@dataclass(frozen=True, slots=True)
class Candidate:
    """One recalled item: ``score`` higher is better, ``rank`` from 1, ``channels`` the raw score of each channel."""

    item_id: str
    rank: int
    score: float
    channels: Mapping[str, float]
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Candidates(Sequence[Candidate]):
    """The answer to one query: an immutable, ranked sequence of distinct items.

    Shapes: ``item_pos`` int32 (n,): where the items stand in ``catalogue``, a sequence of ids; ``scores`` float32 (n,),
    descending, ties by item id; ``channel_scores`` maps a channel's name to float32 (n,), NaN where the channel did not recall
    the item.
    """

    item_pos: PosArray
    catalogue: Sequence[str] = field(repr=False)
    scores: FloatArray
    channel_scores: Mapping[str, FloatArray]
    names: Sequence[str | None] | None = field(default=None, repr=False)
    """The titles of the catalogue, None where items have none."""
    served: str = "warm"
    """``hot`` a known user with history, ``warm`` a history or text in the call, ``cold`` nothing but popularity."""
    notes: tuple[str, ...] = field(default=())
    """What degraded this answer, in sentences; empty when nothing did."""
    effects: Mapping[str, FloatArray] = field(default_factory=dict)
    """What each rule, and diversification, added to the scores: float32 (n,), 0 where it did nothing."""
    trace: tuple[str, ...] = ()
    """What each round, rule and guarantee of the query's plan did, in sentences; empty without a plan."""

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The n ids, best first."""
        return tuple([self.catalogue[p] for p in self.item_pos.tolist()])

    @property
    def titles(self) -> tuple[str | None, ...]:
        """A title per item, None where there is none; empty where items have no titles."""
        return () if self.names is None else tuple([self.names[p] for p in self.item_pos.tolist()])

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that served this answer: those that recalled at least one of its items."""
        return tuple(name for name, scores in self.channel_scores.items() if not np.isnan(scores).all())

    def __len__(self) -> int:
        return len(self.item_pos)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Candidate]: ...
    def __getitem__(self, index: int | slice) -> Candidate | Sequence[Candidate]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        channels = {name: float(s[i]) for name, s in self.channel_scores.items() if not np.isnan(s[i])}
        place = int(self.item_pos[i])
        title = self.names[place] if self.names is not None else None
        return Candidate(self.catalogue[place], i + 1, float(self.scores[i]), channels, title)

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds these items, not the catalogue."""
        own, titles = np.arange(len(self), dtype=np.int32), None if self.names is None else self.titles
        rest = (self.served, self.notes, self.effects, self.trace)
        return Candidates, (own, self.item_ids, self.scores, self.channel_scores, titles, *rest)

    def __iter__(self) -> Iterator[Candidate]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True, slots=True)
class Node:
    """A node as people read it: ``name`` is its title when it has one, else None."""

    label: str
    id: str
    name: str | None = None

    def __str__(self) -> str:
        return self.name or self.id


@dataclass(frozen=True, slots=True)
class Path:
    """A reason for one candidate: a walk ``nodes[0] -relations[0]- nodes[1] ...`` that ends in the candidate.

    ``weight`` is the share of this path in its channel's score for the candidate (0 to 1); ``channel`` names the channel.
    A relation that is walked against its direction is written with a leading ``^``.
    """

    channel: str
    nodes: tuple[Node, ...]
    relations: tuple[str, ...]
    weight: float
    sentence: str

    def __post_init__(self) -> None:
        if len(self.nodes) != len(self.relations) + 1:
            raise ShapeError(
                "Path",
                expected="one relation between every two nodes",
                got=(len(self.nodes), len(self.relations)),
                remedy="Pass n nodes and n - 1 relations.",
            )

    def __str__(self) -> str:
        return self.sentence
