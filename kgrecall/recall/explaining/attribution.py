"""Who a score is owed to: each history item, the text, and what is left, in each channel; the parts add up to the score.

A channel's part of the fused score is divided by Shapley values of its own score (Lundberg & Lee, "A Unified Approach to
Interpreting Model Predictions", NeurIPS 2017; Shapley, 1953), found by asking the channel about parts of the question and so
for any channel. Where the parts' scores add up (item-kNN, attributes, walks), they are the Shapley values and exact; elsewhere
permutations are sampled, which keeps the sum exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrecall.recall.base import Channel, QueryBatch
from kgrecall.recall.variations import scores_of_parts
from kgrecall.types import BoolArray

_EVALUATIONS = 2048
"""Questions asked of a channel that is not additive, about; at least two permutations."""
_ADDITIVE = 1e-4
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Owed:
    """What one channel's score is owed to.

    Shapes: ``items`` float64 (n,), one per place of the history. ``text`` and ``rest`` (popularity, a trained profile, friends
    ...) complete it: ``items.sum() + text + rest`` is the score.
    """

    items: Values
    text: float
    rest: float
    exact: bool
    """Whether the channel is additive in its history, so that nothing was sampled."""

    def scaled(self, part: float) -> Owed:
        """The same shares of another sum; all of it is ``rest`` where the score is not positive."""
        score = float(self.items.sum()) + self.text + self.rest
        if score <= 0:
            return Owed(np.zeros(len(self.items)), 0.0, part, self.exact)
        by = part / score
        return Owed(self.items * by, self.text * by, self.rest * by, self.exact)


def owed_by(channel: Channel, query: QueryBatch, item_pos: int, *, seed: int = 0) -> Owed:
    """What the channel's score of one item for a batch of one is owed to."""
    n = len(query.history_pos)
    game = _Game(channel, query, item_pos)
    everything, nothing = np.ones((1, n + 1), np.bool_), np.zeros((1, n + 1), np.bool_)
    text_alone = nothing.copy()
    text_alone[0, n] = True
    score = game.as_asked()
    full, empty, by_text = (float(v) for v in game.values(np.concatenate([everything, nothing, text_alone])))
    if _equal(full, empty):
        return Owed(np.zeros(n), 0.0, score, exact=True)
    if game.has_text and _equal(full, by_text):
        return Owed(np.zeros(n), full - empty, score - (full - empty), exact=True)
    alone = game.values(np.eye(n + 1, dtype=np.bool_)) - empty
    exact = bool(_equal(float(alone.sum()), full - empty, _ADDITIVE))
    values = alone if exact else _sampled(game, n + 1, seed)
    total = float(values.sum())
    return Owed(values[:n], float(values[n]), score - total, exact)


class _Game:
    """The channel's score as a function of which players take part: the n history items, and the text as the last."""

    def __init__(self, channel: Channel, query: QueryBatch, item_pos: int) -> None:
        self._channel, self._query, self._item = channel, query, item_pos
        self.has_text = query.text is not None and bool(query.text.any())
        nobody = np.zeros((1, len(query.history_pos)), np.bool_)
        self._as_visitor = bool(query.user_pos[0] >= 0 and self._scores(nobody, np.zeros(1, np.bool_), False)[0] != 0)

    def as_asked(self) -> float:
        return float(self._scores(np.ones((1, len(self._query.history_pos)), np.bool_), np.ones(1, np.bool_), False)[0])

    def values(self, players: BoolArray) -> Values:
        """float64 (s,) for bool (s, n + 1). A channel that knows a stored user without history is asked as by a visitor: else
        no part of the history would count."""
        return self._scores(players[:, :-1], players[:, -1], self._as_visitor)

    def _scores(self, parts: BoolArray, with_text: BoolArray, as_visitor: bool) -> Values:
        scores = scores_of_parts(self._channel, self._query, self._item, parts, with_text=with_text, as_visitor=as_visitor)
        return scores.astype(np.float64)


def _sampled(game: _Game, num_players: int, seed: int) -> Values:
    """Shapley values from permutations and their reverses: the mean of what a player adds to those before it."""
    rng, values = np.random.default_rng(seed), np.zeros(num_players)
    pairs = max(1, _EVALUATIONS // (2 * num_players))
    for _ in range(pairs):
        order = rng.permutation(num_players)
        for one in (order, order[::-1]):
            reached = np.empty(num_players, np.int64)
            reached[one] = np.arange(num_players)
            before = reached[None, :] < np.arange(num_players + 1)[:, None]
            values[one] += np.diff(game.values(before))
    return values / (2 * pairs)


def _equal(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return abs(a - b) <= tolerance * max(abs(a), abs(b), 1e-12)
