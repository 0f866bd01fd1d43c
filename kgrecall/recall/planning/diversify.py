"""Places given one after the other: to the best score less its likeness to what was placed, within caps and guarantees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.recall.planning.caps import CappedItems
from kgrecall.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """``wanted`` places for the items where ``fulfilled`` (bool (n,)) holds."""

    fulfilled: BoolArray
    wanted: int


def place_items(
    scores: FloatArray,
    k: int,
    *,
    caps: CappedItems,
    kept: Sequence[Kept] = (),
    strength: float = 0.0,
    vectors: FloatArray | None = None,
) -> tuple[IntArray, FloatArray]:
    """At most k of n items in the order in which they were placed, and their values.

    The value of an item is ``score - strength * best score * max(0, largest cosine to an item placed before)``: maximal
    marginal relevance, Carbonell & Goldstein, "The Use of MMR, Diversity-Based Reranking" (SIGIR 1998). Values never rise from
    one place to the next, but where a guarantee let a lesser item go first.

    Shapes: scores float32 (n,), best first; vectors float32 (n, d), unit rows or zero -> int64 (m,), float32 (m,), m <= k.
    """
    penalty = np.zeros(len(scores), np.float32)
    top = np.float32(strength * max(float(scores[0]), 0.0)) if len(scores) else np.float32(0)
    free = np.ones(len(scores), np.bool_)
    missing = [part.wanted for part in kept]
    chosen: list[int] = []
    values: list[float] = []
    while len(chosen) < k:
        allowed = _kept_for(kept, missing, k - len(chosen), free & ~caps.blocked)
        if not allowed.any():
            break
        value = np.where(allowed, scores - penalty, -np.inf)
        best = int(value.argmax())
        chosen.append(best)
        values.append(float(value[best]))
        free[best] = False
        caps.take(best)
        missing = [left - int(part.fulfilled[best]) for left, part in zip(missing, kept, strict=True)]
        if vectors is not None and top > 0:
            penalty = np.maximum(penalty, top * (vectors @ vectors[best]))
    return np.array(chosen, np.int64), np.array(values, np.float32)


def _kept_for(kept: Sequence[Kept], missing: Sequence[int], left: int, allowed: BoolArray) -> BoolArray:
    """Which of the allowed items may have the next place, so that those that are still missing find one of the ``left``."""
    waiting = [(part.fulfilled & allowed, count) for part, count in zip(kept, missing, strict=True) if count > 0]
    open_parts = [(where, min(count, int(where.sum()))) for where, count in waiting if where.any()]
    if sum(count for _, count in open_parts) < left or not open_parts:
        return allowed
    return np.asarray(np.logical_or.reduce([where for where, _ in open_parts]), np.bool_)
