"""What the graph knows about items and users, as one sparse matrix per relation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scipy.sparse import csr_array

from kgrecall.graph.events import last_time
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.types import Interactions


@dataclass(frozen=True, slots=True, eq=False)
class Incidence:
    """One relation between items and the nodes of one label.

    ``matrix`` float32 (num_items, num_nodes(label)): the weight of the edge between item and node, parallel edges added up.
    ``reverse`` is True when the stored edge points from the node to the item. ``label`` is the item label for relations
    between items (sequel, also bought): then row and column are the source and the target of the stored edge.
    """

    relation: str
    label: str
    matrix: csr_array[Any]
    reverse: bool

    @property
    def name(self) -> str:
        """The relation as read from the item: ``^`` in front when the stored edge points at the item."""
        return f"^{self.relation}" if self.reverse else self.relation


def item_knowledge(snapshot: GraphSnapshot) -> tuple[Incidence, ...]:
    """Every non-empty knowledge relation with an item at one end, in the order of ``snapshot.relations``.

    Edges between items and users are not knowledge about items, whatever their role, and are left out.
    """
    return _incidences(snapshot, snapshot.schema.item_label, snapshot.schema.user_label)


Knowledge = Callable[[Interactions], tuple[Incidence, ...]]
"""What was known of the items at the time of the last of some events."""


def nothing_known(_: Interactions) -> tuple[Incidence, ...]:
    """Of any item at any time."""
    return ()


def knowledge_then(snapshot: GraphSnapshot) -> Knowledge:
    """:func:`item_knowledge` of a snapshot as it may be seen in training: edges that carry a time after that of the last event
    are left out, so that no setting is chosen by what was told only later."""
    whole = item_knowledge(snapshot)
    if all(edges.time is None for edges in snapshot.with_role("knowledge").values()):
        return lambda _: whole
    known: dict[int, tuple[Incidence, ...]] = {}

    def then(events: Interactions) -> tuple[Incidence, ...]:
        last = last_time(events)
        if last is None:
            return whole
        if last not in known:
            known[last] = item_knowledge(snapshot.cut_at(last + 1))
        return known[last]

    return then


def user_knowledge(snapshot: GraphSnapshot) -> tuple[Incidence, ...]:
    """Every non-empty knowledge relation between users and other nodes than items and users; rows are users."""
    user = snapshot.schema.user_label
    return tuple(part for part in _incidences(snapshot, user, snapshot.schema.item_label) if part.label != user)


def _incidences(snapshot: GraphSnapshot, label: str, stranger: str) -> tuple[Incidence, ...]:
    """Relations with ``label`` at one end and ``stranger`` at none."""
    found = []
    for (source, relation, target), edges in snapshot.with_role("knowledge").items():
        if edges.num_edges == 0 or stranger in (source, target):
            continue
        if source == label:
            found.append(Incidence(relation, target, edges.forward(), reverse=False))
        elif target == label:
            found.append(Incidence(relation, source, edges.backward(), reverse=True))
    return tuple(found)
