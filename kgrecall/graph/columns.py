"""Properties and relations of items or users as numpy columns that conditions can be tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kgrecall.errors import ConfigError, nearest
from kgrecall.graph.knowledge import Incidence, item_knowledge, user_knowledge
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.schema import PropertyType
from kgrecall.types import IntArray, PosArray


@dataclass(frozen=True, slots=True, eq=False)
class NumberColumn:
    """``values`` float64 (num_items,), NaN where nothing is known; booleans are 0 and 1, times milliseconds.

    Integers beyond 2^53 are the nearest number: what must be told apart to the last digit belongs into a string.

    ``kind`` says how a literal is read: ``number``, ``boolean`` or ``time``.
    """

    kind: str
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ValueColumn:
    """What each item has of a finite set of values: CSR rows by value.

    ``codes`` finds a value's row: a string property's value, or a node's id or title; ``namesakes`` the rows beside it of a
    title that several nodes have, or of an id that nodes of several labels have. An id hides equal titles of other nodes.
    Shapes: ``indptr`` int64 (num_values + 1,), ``items`` int32 (n,), the items that have the value, each once.
    """

    codes: dict[str, int]
    indptr: IntArray
    items: PosArray
    num_items: int
    namesakes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def rows(self, value: str) -> tuple[int, ...]:
        """All rows of a value, none where no item has it."""
        return (self.codes[value], *self.namesakes.get(value, ())) if value in self.codes else ()

    def having(self, code: int) -> PosArray:
        return self.items[self.indptr[code] : self.indptr[code + 1]]


Column = NumberColumn | ValueColumn
_NUMBERS: dict[PropertyType, str] = {"integer": "number", "number": "number", "boolean": "boolean", "time": "time"}
_VALUES: tuple[PropertyType, ...] = ("string", "text", "strings")


class NodeColumns:
    """The columns of one label by name, made when they are first asked for.

    Names are the label's properties and its relations of ``knowledge``, as read from the node (``^`` in front when the stored
    edge points at it); a property hides a relation of the same name.
    """

    def __init__(
        self, snapshot: GraphSnapshot, label: str, knowledge: Callable[[GraphSnapshot], tuple[Incidence, ...]]
    ) -> None:
        self._snapshot, self._label, self._knowledge = snapshot, label, knowledge
        kinds = snapshot.schema.node(label).properties
        self._kinds = {name: kind for name, kind in kinds.items() if kind in _NUMBERS or kind in _VALUES}
        self._made: dict[str, Column] = {}

    @property
    def num_nodes(self) -> int:
        return self._snapshot.num_nodes(self._label)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (*self._kinds, *(name for name in self._relations if name not in self._kinds))

    def __getitem__(self, name: str) -> Column:
        """The column of a property or relation.

        Raises:
            ConfigError: no such name; names the nearest.
        """
        if name not in self.names:
            expected = f"a property or relation of {self._label}"
            raise ConfigError("filter", expected=expected, got=name, remedy=nearest(name, self.names))
        if name not in self._made:
            self._made[name] = self._property(name) if name in self._kinds else self._relation(name)
        return self._made[name]

    @cached_property
    def _relations(self) -> dict[str, list[Incidence]]:
        by_name: dict[str, list[Incidence]] = {}
        for part in self._knowledge(self._snapshot):
            by_name.setdefault(part.name, []).append(part)
        return by_name

    def _property(self, name: str) -> Column:
        kind = self._kinds[name]
        column = self._snapshot.properties[self._label].column(name).combine_chunks()
        if kind in _NUMBERS:
            return NumberColumn(_NUMBERS[kind], pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False))
        return _by_value(column)

    def _relation(self, name: str) -> ValueColumn:
        ids, titles = _Names(), _Names()
        lengths, items, first = [], [], 0
        for part in self._relations[name]:
            by_node = part.matrix.T.tocsr()
            lengths.append(np.diff(by_node.indptr))
            items.append(by_node.indices)
            nodes = range(first, first + by_node.shape[0])
            first += by_node.shape[0]
            titles.add(self._snapshot.titles(part.label), nodes)
            ids.add(self._snapshot.vocabularies[part.label].ids.to_pylist(), nodes)
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        members = np.concatenate(items).astype(np.int32)
        others = {title: rows for title, rows in titles.others.items() if title not in ids.first}
        return ValueColumn(titles.first | ids.first, indptr, members, self.num_nodes, others | ids.others)


class _Names:
    """The first row of each name, and the others of those that have several."""

    def __init__(self) -> None:
        self.first: dict[str, int] = {}
        self.others: dict[str, tuple[int, ...]] = {}

    def add(self, names: Iterable[str | None], rows: Iterable[int]) -> None:
        for name, row in zip(names, rows, strict=True):
            if name is not None and self.first.setdefault(name, row) != row:
                self.others[name] = (*self.others.get(name, ()), row)


class ItemColumns(NodeColumns):
    """What filters are tested on: the columns of a snapshot's items."""

    def __init__(self, snapshot: GraphSnapshot) -> None:
        super().__init__(snapshot, snapshot.schema.item_label, item_knowledge)

    @property
    def num_items(self) -> int:
        return self.num_nodes


class UserColumns(NodeColumns):
    """What users can share: the columns of a snapshot's users."""

    def __init__(self, snapshot: GraphSnapshot) -> None:
        super().__init__(snapshot, snapshot.schema.user_label, user_knowledge)


def _by_value(column: pa.Array) -> ValueColumn:
    num_items = len(column)
    if pa.types.is_list(column.type):
        item, values = pc.list_parent_indices(column).to_numpy(), pc.list_flatten(column)
    else:
        item, values = np.arange(num_items), column
    known = values.is_valid().to_numpy(zero_copy_only=False)
    encoded = values.filter(pa.array(known)).dictionary_encode()
    return _value_column(encoded.dictionary.to_pylist(), encoded.indices.to_numpy(), item[known], num_items)


def _value_column(values: Sequence[str], codes: NDArray[Any], items: NDArray[Any], num_items: int) -> ValueColumn:
    """Of pairs of a value and an item, which may be there twice."""
    codes, items = np.divmod(np.unique(codes.astype(np.int64) * num_items + items), max(1, num_items))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(values)))]).astype(np.int64)
    return ValueColumn({value: i for i, value in enumerate(values)}, indptr, items.astype(np.int32), num_items)
