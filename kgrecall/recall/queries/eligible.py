"""Which items may be returned to a query: not hidden, allowed, and past its filter."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache

import numpy as np

from kgrecall.errors import ConfigError, Shown, Unsupported
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.filtering.filters import Filter, parse_filter
from kgrecall.types import BoolArray, PosArray, Query


class Eligible:
    """Turns allow lists and filters into masks.

    Args:
        items: the vocabulary of items.
        filters: compiles filters; None when the engine was built without item columns.
        hidden: items that are never returned to anybody; unknown ones are ignored.
    """

    def __init__(self, items: Vocabulary, filters: FilterMasks | None, hidden: Collection[str]) -> None:
        self._items, self._filters = items, filters
        self._shown: BoolArray | None = None
        if isinstance(hidden, str):
            raise ConfigError("hidden", expected="a collection of ids", got=hidden, remedy="Put the single id into a list.")
        if hidden:
            self._shown = np.ones(len(items), np.bool_)
            self._shown[item_positions(items, hidden, "hidden", [])] = False

    def shown(self, among: BoolArray | None = None) -> BoolArray | None:
        """bool (num_items,): the items that are not hidden, those of ``among`` when it is given; None for all."""
        if among is None or self._shown is None:
            return self._shown if among is None else among
        return among & self._shown

    def filter_of(self, query: Query) -> Filter | None:
        """The parsed filter of a query.

        Raises:
            ConfigError: it is no filter.
            Unsupported: the engine has no item columns.
        """
        if query.filter is None:
            return None
        if self._filters is None:
            raise Unsupported(
                "Query.filter",
                expected="an engine with item columns",
                got=Shown("one without"),
                remedy="Pass filters=FilterMasks(ItemColumns(snapshot)) to the engine.",
            )
        return _parse_text(query.filter) if isinstance(query.filter, str) else parse_filter(query.filter)

    def mask(self, allow: frozenset[str] | None, tree: Filter | None) -> tuple[BoolArray | None, tuple[str, ...]]:
        """bool (num_items,): True for the items that may be returned, None when all may; and what was odd about it.

        Raises:
            ConfigError: the filter names an unknown property, or compares it with a value of another type.
        """
        notes: list[str] = []
        masks = [] if self._shown is None else [self._shown]
        if allow is not None:
            allowed = np.zeros(len(self._items), np.bool_)
            allowed[item_positions(self._items, allow, "allowed", notes)] = True
            masks.append(allowed)
        if tree is not None and self._filters is not None:
            fulfilled, remarks = self._filters.mask(tree)
            masks.append(fulfilled)
            notes += remarks
        if not masks:
            return None, ()
        return (masks[0] if len(masks) == 1 else np.asarray(np.logical_and.reduce(masks), np.bool_)), tuple(notes)


@lru_cache(maxsize=1024)
def _parse_text(text: str) -> Filter:
    return parse_filter(text)


def item_positions(items: Vocabulary, ids: Iterable[str], what: str, notes: list[str]) -> PosArray:
    """The positions of those ids that are known, ascending; unknown ones are counted in a note."""
    wanted = list(ids)
    if not wanted:
        return np.zeros(0, np.int32)
    positions = items.positions(wanted)
    unknown = int((positions < 0).sum())
    if unknown:
        notes.append(f"{unknown} of {len(wanted)} {what} items are not in the graph.")
    return np.sort(positions[positions >= 0]).astype(np.int32)
