"""Boosts and buries: declared rules that multiply fused scores, each with its effect told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kgrecall.errors import ConfigError
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.filtering.filters import Filter
from kgrecall.recall.planning.plan import Rule
from kgrecall.types import BoolArray, FloatArray, PosArray


def apply_rules(
    rules: Sequence[Rule], filters: FilterMasks | None, positions: PosArray, scores: FloatArray
) -> tuple[FloatArray, dict[str, FloatArray], list[str]]:
    """Scores after all rules in their order, what each added to each score (negative for a bury), and a sentence for each.

    Shapes: positions int32 (n,), scores float32 (n,) -> float32 (n,), per rule float32 (n,).

    Raises:
        ConfigError: a rule's filter cannot be tested.
    """
    effects: dict[str, FloatArray] = {}
    trace = []
    for rule in rules:
        fulfilled = fulfils(rule.filter, filters, rule.name)[positions]
        changed = np.where(fulfilled, scores * np.float32(rule.factor), scores).astype(np.float32)
        effects[rule.name] = changed - scores
        scores = changed
        trace.append(f"rule {rule.name!r} (x {rule.factor:g}): {int(fulfilled.sum())} of {len(positions)} candidates")
    return scores, effects, trace


def fulfils(tree: Filter, filters: FilterMasks | None, name: str) -> BoolArray:
    """bool (num_items,): where a filter of a plan holds. Raises ConfigError where an engine has no item columns."""
    if filters is None:
        raise ConfigError(
            f"plan {name!r}", expected="an engine with item columns", got=tree, remedy="Build the engine from an artifact."
        )
    return filters.mask(tree)[0]
