"""From a channel's evidence to something that people read: titles instead of positions, sentences instead of relations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy.sparse as sp

from kgrecall.graph.knowledge import Incidence
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.base import Evidence, Naming
from kgrecall.recall.channels.friends import FRIEND
from kgrecall.recall.channels.item_knn import CO_CHOSEN
from kgrecall.recall.channels.leanings import MOMENT, PEERS
from kgrecall.recall.channels.text import ASKED_FOR, SIMILAR_TEXT
from kgrecall.recall.channels.vector import NEAR
from kgrecall.recall.explaining.common_phrases import common_phrases
from kgrecall.recall.explaining.wording import ENGLISH, Wording
from kgrecall.types import Node, Path, PosArray

Start = Literal["choice", "item", "taste"]
"""What a path begins with: something the user chose, the item of "more like this", or one that stands for a taste."""
VISITOR = "you"
"""The id of the user node when the question came without a known user."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the nodes of the graph are called.

    Args:
        vocabularies: per label, the ids of its positions; a label that is absent is shown by position.
        titles: per label, a title per position, None where there is none.
        items_of: ``items_of(label, pos)`` gives the items beside a node: they describe a node that has no title.
        text_of: ``text_of(item_pos)`` gives what a text channel compares: it tells which phrases two items share.
    """

    vocabularies: Mapping[str, Vocabulary]
    titles: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    items_of: Callable[[str, int], PosArray] | None = None
    text_of: Callable[[int], str] | None = None

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
        self.naming = naming
        self._names = names

    def path(self, channel: str, evidence: Evidence, *, start: Start = "choice", wording: Wording = ENGLISH) -> Path:
        """The path of one piece of evidence.

        Args:
            start: a path that begins with no choice starts at an item, not at a user.
            wording: the language of the sentence.
        """
        first = 1 if start != "choice" and len(evidence.nodes) > 2 else 0
        nodes = tuple(self._names.node(label, pos) for label, pos in evidence.nodes[first:])
        sentence = _Sentence(self._names, self.naming, wording, evidence, start).written()
        return Path(channel, nodes, evidence.relations[first:], evidence.share, sentence)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """One piece of evidence in one language."""

    names: Names
    naming: Naming
    wording: Wording
    evidence: Evidence
    start: Start

    def written(self) -> str:
        wording, nodes = self.wording, self.evidence.nodes
        target, verb = self._quoted(nodes[-1]), wording.verb(self.naming.interaction)
        if len(nodes) == 2:
            return self._of_everybody(target)
        if self.evidence.relations[0] == FRIEND:
            return wording.friend.format(user=self.names.node(*nodes[1]), verb=verb, target=target)
        templates = {"choice": wording.chose, "item": wording.joined, "taste": wording.near_taste}
        return templates[self.start].format(verb=verb, first=self._quoted(nodes[1]), link=self._link(verb), target=target)

    def _link(self, verb: str) -> str:
        step, nodes = self.evidence.relations[1], self.evidence.nodes
        if len(nodes) == 4:
            label, pos = nodes[2]
            if label == self.naming.user:
                template = self.wording.like_user if self.start == "choice" else self.wording.by_user
                return template.format(user=self.names.node(label, pos), verb=verb)
            return self.wording.sharing(step, self._described(label, pos))
        if step == SIMILAR_TEXT:
            return self._similar()
        simple = {CO_CHOSEN: self.wording.also_chose.format(verb=verb), NEAR: self.wording.near}
        return simple.get(step) or self.wording.words(step)

    def _similar(self) -> str:
        """With the phrases that both texts hold, where texts are at hand."""
        if self.names.text_of is None:
            return self.wording.similar
        first, second = (self.names.text_of(pos) for _, pos in self.evidence.nodes[1:])
        phrases = common_phrases(first, second)
        shown = self.wording.listed.join(phrases)
        return self.wording.similar_phrases.format(phrases=shown) if phrases else self.wording.similar

    def _of_everybody(self, target: str) -> str:
        """About an item that no other node leads to."""
        kind, _, words = self.evidence.relations[0].partition(" ")
        templates = {ASKED_FOR: self.wording.asked, PEERS: self.wording.peers, MOMENT: self.wording.moment}
        return templates.get(kind, self.wording.popular).format(target=target, words=words)

    def _quoted(self, node: tuple[str, int]) -> str:
        return self.wording.quoted(self.names.node(*node))

    def _described(self, label: str, pos: int) -> str:
        """A node's title, or its id with up to two other items that it belongs to."""
        node = self.names.node(label, pos)
        if node.name or self.names.items_of is None:
            return str(node)
        told = [p for node_label, p in self.evidence.nodes if node_label == self.naming.item]
        others = self.names.items_of(label, pos)
        others = others[~np.isin(others, told)][:2]
        known = self.wording.listed.join(self._quoted((self.naming.item, int(item))) for item in others)
        return self.wording.also_in.format(node=node.id, others=known) if known else node.id


def items_beside(incidences: Sequence[Incidence]) -> Callable[[str, int], PosArray]:
    """``items_of`` for :class:`Names`: the items that any relation links with a node, ascending."""
    by_label: dict[str, list[sp.csr_array]] = {}
    for incidence in incidences:
        by_label.setdefault(incidence.label, []).append(incidence.matrix.T.tocsr())

    def items_of(label: str, pos: int) -> PosArray:
        rows = [m.indices[m.indptr[pos] : m.indptr[pos + 1]] for m in by_label.get(label, [])]
        return np.unique(np.concatenate(rows)).astype(np.int32) if rows else np.zeros(0, np.int32)

    return items_of
