"""A history as one vector: causal self-attention over its newest events, in numpy.

    x_j    = p_j + g[gap_j]                            p: input vectors of items; g: by the time since the event before
    a_ij   = softmax over j <= i of (q_i k_j + d[i - j] + log w_j);  q, k linear in x with mean 0 and variance 1
    x_i   <- c x_i + [sum_j a_ij x_j V] O;  x_i <- x_i + relu(n_i U + u) D + e,  n_i again x_i with mean 0 and variance 1
    user   = normalise(x of the newest event)

Kang & McAuley, "Self-Attentive Sequential Recommendation" (ICDM 2018), with biases by distance in place of vectors of
positions, so that a history may begin anywhere. In the last layer the newest event asks, and it knows the moment m of the
question: ``x_i + sum_c m[c]`` over the codes of its context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kgrecall.errors import CorruptArtifact, Shown
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.gaps import gap_codes
from kgrecall.recall.base import QueryBatch
from kgrecall.recall.channels.vector import normalised
from kgrecall.types import FloatArray, IntArray

EPSILON = 1e-5
"""Added to a variance before its root."""
_NEVER = np.float32(-1e30)
_BLOCK = 128
"""Histories that are laid side by side: some 3 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class EncoderLayer:
    """Shapes, all float32: ``ask`` and ``key`` (dim, dim), ``ask_bias`` (dim,), ``value`` and ``out`` (dim, dim), ``distance``
    (heads, length), ``keep`` (1,), ``up`` (dim, inner), ``up_bias`` (inner,), ``down`` (inner, dim), ``down_bias`` (dim,).

    A bias of the keys would add the same to all events, and is left out.
    """

    ask: FloatArray
    ask_bias: FloatArray
    key: FloatArray
    value: FloatArray
    out: FloatArray
    distance: FloatArray
    keep: FloatArray
    up: FloatArray
    up_bias: FloatArray
    down: FloatArray
    down_bias: FloatArray

    @property
    def heads(self) -> int:
        return len(self.distance)

    def every(self, x: FloatArray, log_weight: FloatArray) -> FloatArray:
        """All events, each after those before it. Shapes: x (q, n, dim), log_weight (q, n) -> (q, n, dim)."""
        q, n, dim = x.shape
        level = levelled(x)
        asks, keys, values = (
            part.reshape(q, n, self.heads, -1).transpose(0, 2, 1, 3)
            for part in (level @ self.ask + self.ask_bias, level @ self.key, x @ self.value)
        )  # (q, heads, n, dim / heads)
        step = np.arange(n)[:, None] - np.arange(n)
        near = np.where(step >= 0, self.distance[:, np.maximum(step, 0)], _NEVER)  # (heads, n, n)
        logits: FloatArray = asks @ keys.transpose(0, 1, 3, 2) * _scale(dim, self.heads) + near + log_weight[:, None, None]
        heard: FloatArray = (_softmax(logits) @ values).transpose(0, 2, 1, 3).reshape(q, n, dim)
        return self._onward(self.keep * x + heard @ self.out)

    def newest(self, x: FloatArray, log_weight: FloatArray, place: IntArray, moment: FloatArray) -> FloatArray:
        """The event at ``place`` (q,) of each history alone, which knows the moment (q, dim): (q, dim).

        Its attention needs no key and no value of the others: they are taken through the question, and out of the sum.
        """
        q, n, dim = x.shape
        rows = np.arange(q)
        last = x[rows, place] + moment
        keys = self.key.reshape(dim, self.heads, -1).transpose(1, 2, 0)  # (heads, dim / heads, dim)
        own: FloatArray = (levelled(last) @ self.ask + self.ask_bias).reshape(q, self.heads, 1, -1)
        asks: FloatArray = (own @ keys)[:, :, 0]  # (q, heads, dim)
        step = place[:, None] - np.arange(n)
        near = np.where(step >= 0, self.distance[:, np.maximum(step, 0)], _NEVER).transpose(1, 0, 2)  # (q, heads, n)
        logits: FloatArray = asks @ levelled(x).transpose(0, 2, 1) * _scale(dim, self.heads) + near + log_weight[:, None]
        summed: FloatArray = (_softmax(logits) @ x)[:, :, None]
        heard: FloatArray = summed @ self.value.reshape(dim, self.heads, -1).transpose(1, 0, 2)
        return self._onward(self.keep * last + heard.reshape(q, dim) @ self.out)

    def _onward(self, x: FloatArray) -> FloatArray:
        through: FloatArray = x + np.maximum(levelled(x) @ self.up + self.up_bias, 0) @ self.down + self.down_bias
        return through


@dataclass(frozen=True, slots=True, eq=False)
class HistoryEncoder:
    """What training leaves behind.

    Shapes: ``inputs`` float32 (num_items, dim); ``gaps`` float32 (NUM_GAPS, dim) and ``moments`` float32 (num_codes, dim), no
    rows where these were not learned.
    """

    layers: tuple[EncoderLayer, ...]
    inputs: FloatArray
    gaps: FloatArray
    moments: FloatArray

    @property
    def length(self) -> int:
        """The newest events of a history that count."""
        return int(self.layers[0].distance.shape[1])

    def users(self, queries: QueryBatch) -> FloatArray:
        """Vectors of length 1, a zero row where nothing in the history counts.

        An event's weight multiplies the attention that it gets; what weighs 0 keeps its place, so that the others are as old as
        before. Shapes: float32 (q, dim).
        """
        found = np.zeros((len(queries), self.inputs.shape[1]), np.float32)
        for start in range(0, len(queries), _BLOCK):
            part = queries.rows(start, min(start + _BLOCK, len(queries)))
            rows = self._answered(part)
            if len(rows):
                found[start + rows] = self._users(part, rows)
        return found

    def _answered(self, queries: QueryBatch) -> IntArray:
        """The histories of which one of the newest events counts."""
        stops = queries.history_indptr[1:]
        before = np.concatenate([[0], np.cumsum(queries.history_weight > 0)])
        starts = np.maximum(queries.history_indptr[:-1], stops - self.length)
        return np.flatnonzero(before[stops] > before[starts])

    def _users(self, queries: QueryBatch, rows: IntArray) -> FloatArray:
        stops = queries.history_indptr[rows + 1]
        starts = np.maximum(queries.history_indptr[rows], stops - self.length)
        place = starts[:, None] + np.arange(int((stops - starts).max()))  # (q, n)
        there = place < stops[:, None]
        event = np.where(there, place, starts[:, None])
        weight = np.where(there, queries.history_weight[event], 0)
        x = self.inputs[queries.history_pos[event]]
        if len(self.gaps):
            x = x + self.gaps[_gaps(queries, event, queries.history_indptr[rows])]
        with np.errstate(divide="ignore"):
            log_weight = np.maximum(np.log(weight), _NEVER).astype(np.float32)
        for layer in self.layers[:-1]:
            x = layer.every(x, log_weight)
        newest = place.shape[1] - 1 - np.argmax(weight[:, ::-1] > 0, axis=1)
        return normalised(self.layers[-1].newest(x, log_weight, newest, self._moments(queries, rows)))

    def _moments(self, queries: QueryBatch, rows: IntArray) -> FloatArray:
        """What is known of the moments of the questions, (q, dim)."""
        known = np.zeros((len(rows), self.inputs.shape[1]), np.float32)
        if queries.moment is not None and len(self.moments):
            for i, row in enumerate(rows.tolist()):
                known[i] = self.moments[queries.moment.row(row)].sum(axis=0)
        return known

    def arrays(self) -> dict[str, FloatArray]:
        """Everything by name, for :meth:`of`."""
        named = {"inputs": self.inputs, "gaps": self.gaps, "moments": self.moments}
        for number, layer in enumerate(self.layers):
            named |= {f"{number}.{name}": getattr(layer, name) for name in EncoderLayer.__slots__}
        return named

    @classmethod
    def of(cls, arrays: Mapping[str, FloatArray]) -> HistoryEncoder:
        """From arrays by name, as :mod:`kgrecall.model.attention` exports them.

        Raises:
            CorruptArtifact: one is missing.
        """
        numbers = sorted({int(name.split(".")[0]) for name in arrays if "." in name})
        try:
            layers = tuple(EncoderLayer(**{n: arrays[f"{i}.{n}"] for n in EncoderLayer.__slots__}) for i in numbers)
            return cls(layers, arrays["inputs"], arrays["gaps"], arrays["moments"])
        except KeyError as error:
            raise CorruptArtifact(
                "history encoder", expected=f"the array {error}", got=Shown(f"{sorted(arrays)}"), remedy="Build again."
            ) from error


def levelled(x: FloatArray) -> FloatArray:
    """With mean 0 and variance 1 over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("...d,...d->...", centred, centred)[..., None] / np.float32(x.shape[-1])
    level: FloatArray = centred / np.sqrt(variance + np.float32(EPSILON))
    return level


def _scale(dim: int, heads: int) -> np.float32:
    return np.float32((dim / heads) ** -0.5)


def _softmax(logits: FloatArray) -> FloatArray:
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: FloatArray = odds / odds.sum(axis=-1, keepdims=True)
    return shares


def _gaps(queries: QueryBatch, event: IntArray, first: IntArray) -> IntArray:
    """Codes of the times between events (q, n) and those before them in their histories, which begin at ``first`` (q,)."""
    time = queries.history_time
    if time is None:
        return np.zeros_like(event)
    before = np.where(event > first[:, None], time[np.maximum(event - 1, 0)], MISSING_TIME)
    return gap_codes(time[event], before)
