"""From a channel's evidence to something that people read: titles instead of positions, sentences instead of relations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from kgrecall.graph.knowledge import Incidence
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.base import Evidence, Naming
from kgrecall.recall.friends import FRIEND
from kgrecall.recall.item_knn import CO_CHOSEN
from kgrecall.recall.leanings import MOMENT, PEERS
from kgrecall.recall.phrases import past_tense, sharing, words_of
from kgrecall.recall.text import ASKED_FOR, SIMILAR_TEXT
from kgrecall.recall.vector import NEAR
from kgrecall.types import Node, Path, PosArray

VISITOR = "you"
"""The id of the user node when the question came without a known user."""
_LIKENESS = {NEAR: "close to the same taste", SIMILAR_TEXT: "similar description"}


@dataclass(frozen=True, slots=True)
class Names:
    """What the nodes of the graph are called.

    Args:
        vocabularies: per label, the ids of its positions; a label that is absent is shown by position.
        titles: per label, a title per position, None where there is none.
        items_of: ``items_of(label, pos)`` gives the items beside a node: they describe a node that has no title.
    """

    vocabularies: Mapping[str, Vocabulary]
    titles: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    items_of: Callable[[str, int], PosArray] | None = None

    def node(self, label: str, pos: int) -> Node:
        if pos < 0:
            return Node(label, VISITOR)
        vocabulary = self.vocabularies.get(label)
        titles = self.titles.get(label)
        node_id = vocabulary.ids_at([pos])[0] if vocabulary is not None else str(pos)
        return Node(label, node_id, titles[pos] if titles is not None else None)


class PathWriter:
    """Writes evidence as :class:`~kgrecall.types.Path`, with a sentence.

    Args:
        names: of all nodes.
        naming: the labels of users and items, and the relation between them.
    """

    def __init__(self, names: Names, naming: Naming) -> None:
        self._names, self._naming = names, naming
        self._verb = past_tense(naming.interaction)

    def path(self, channel: str, evidence: Evidence, *, from_item: bool = False) -> Path:
        """The path of one piece of evidence.

        Args:
            from_item: the question was "more like this item": the path starts at that item, not at a user.
        """
        start = 1 if from_item and len(evidence.nodes) > 2 else 0
        nodes = tuple(self._names.node(label, pos) for label, pos in evidence.nodes[start:])
        return Path(channel, nodes, evidence.relations[start:], evidence.share, self._sentence(evidence, from_item))

    def _sentence(self, evidence: Evidence, from_item: bool) -> str:
        target = self._quoted(evidence.nodes[-1])
        if len(evidence.nodes) == 2:
            return _of_everybody(target, evidence.relations[0])
        if evidence.relations[0] == FRIEND:
            return f"Your friend {self._names.node(*evidence.nodes[1])} {self._verb} {target}"
        first = self._quoted(evidence.nodes[1])
        opening = first if from_item else f"You {self._verb} {first}"
        return f"{opening} — {self._link(evidence)} — {target}"

    def _link(self, evidence: Evidence) -> str:
        step = evidence.relations[1]
        if len(evidence.nodes) == 4:
            label, pos = evidence.nodes[2]
            if label == self._naming.user:
                return f"so did user {self._names.node(label, pos)}, who also {self._verb}"
            return sharing(step, self._described(label, pos, evidence))
        if step == CO_CHOSEN:
            return f"people who {self._verb} it also {self._verb}"
        return _LIKENESS.get(step) or words_of(step)

    def _quoted(self, node: tuple[str, int]) -> str:
        return f"'{self._names.node(*node)}'"

    def _described(self, label: str, pos: int, evidence: Evidence) -> str:
        """A node's title, or its id with up to two other items that it belongs to."""
        node = self._names.node(label, pos)
        if node.name or self._names.items_of is None:
            return str(node)
        told = [p for node_label, p in evidence.nodes if node_label == self._naming.item]
        others = self._names.items_of(label, pos)
        others = others[~np.isin(others, told)][:2]
        known = ", ".join(self._quoted((self._naming.item, int(item))) for item in others)
        return f"{node.id}, also in {known}" if known else node.id


def _of_everybody(target: str, relation: str) -> str:
    """A sentence about an item that no other node leads to."""
    kind, _, words = relation.partition(" ")
    if kind == ASKED_FOR:
        return f"{target} is described much like what you asked for."
    if kind == PEERS:
        return f"{target} is chosen more by people like you ({words})."
    return f"{target} is chosen more at such a time ({words})." if kind == MOMENT else f"{target} is popular with everybody."


def items_beside(incidences: Sequence[Incidence]) -> Callable[[str, int], PosArray]:
    """``items_of`` for :class:`Names`: the items that any relation links with a node, ascending."""
    by_label: dict[str, list[sp.csr_array]] = {}
    for incidence in incidences:
        by_label.setdefault(incidence.label, []).append(incidence.matrix.T.tocsr())

    def items_of(label: str, pos: int) -> PosArray:
        rows = [m.indices[m.indptr[pos] : m.indptr[pos + 1]] for m in by_label.get(label, [])]
        return np.unique(np.concatenate(rows)).astype(np.int32) if rows else np.zeros(0, np.int32)

    return items_of
