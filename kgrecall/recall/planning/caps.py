"""At most so many items of one value in a list: per director, per brand, per year."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from kgrecall.recall.filtering.item_values import ItemValues
from kgrecall.recall.planning.rounds import require_values
from kgrecall.types import BoolArray, PosArray


class Caps:
    """What the items of one list have used up so far.

    Args:
        at_most: per property or relation, how many items may share a value.
        values: of items.
    """

    def __init__(self, at_most: Mapping[str, int], values: ItemValues | None) -> None:
        self._at_most = {name: (limit, require_values(values, name)) for name, limit in at_most.items()}
        self._used: dict[str, Counter[int]] = {name: Counter() for name in at_most}

    def over(self, items: PosArray) -> CappedItems:
        """These items, ready to be placed."""
        return CappedItems(items, self._at_most, self._used)


class CappedItems:
    """Some items that may be placed, and which of them are over a cap. ``blocked`` bool (n,)."""

    def __init__(
        self, items: PosArray, at_most: Mapping[str, tuple[int, ItemValues]], used: Mapping[str, Counter[int]]
    ) -> None:
        self._limits = {name: limit for name, (limit, _) in at_most.items()}
        self._used = used
        self._codes = {name: values.codes(name, items) for name, (_, values) in at_most.items()}
        self.blocked: BoolArray = np.zeros(len(items), np.bool_)
        for name, (places, codes) in self._codes.items():
            full = [code for code, count in used[name].items() if count >= self._limits[name]]
            self.blocked[places[np.isin(codes, full)]] = True

    def take(self, place: int) -> None:
        """Count an item that was placed; those that share a value which is used up now are blocked."""
        for name, (places, codes) in self._codes.items():
            for code in codes[places == place].tolist():
                self._used[name][code] += 1
                if self._used[name][code] >= self._limits[name]:
                    self.blocked[places[codes == code]] = True
