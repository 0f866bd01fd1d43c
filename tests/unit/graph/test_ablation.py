"""What is taken away is gone, what is shuffled keeps its degrees, and nothing else moves."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.ablation import knowledge_relations, with_shuffled_knowledge, with_shuffled_texts, without_knowledge
from kgrecall.graph.snapshot import GraphSnapshot


def names(snapshot: GraphSnapshot) -> set[str]:
    return {name[1] for name in snapshot.relations}


def test_relations_are_named_by_their_size(shop_snapshot: GraphSnapshot) -> None:
    found = knowledge_relations(shop_snapshot)
    assert set(found) == {name[1] for name in shop_snapshot.relations if shop_snapshot.role(name) != "interaction"}
    sizes = [sum(e.num_edges for n, e in shop_snapshot.relations.items() if n[1] == relation) for relation in found]
    assert sizes == sorted(sizes, reverse=True)


def test_all_or_some_knowledge_is_taken_away(shop_snapshot: GraphSnapshot) -> None:
    known = knowledge_relations(shop_snapshot)
    assert names(without_knowledge(shop_snapshot)) == names(shop_snapshot) - set(known)
    assert names(without_knowledge(shop_snapshot, [known[0]])) == names(shop_snapshot) - {known[0]}
    assert len(without_knowledge(shop_snapshot).interactions()) == len(shop_snapshot.interactions())
    with pytest.raises(ConfigError, match="Did you mean 'MADE_BY'"):
        without_knowledge(shop_snapshot, ["MADE_BUY"])


def test_shuffling_keeps_every_degree_and_moves_the_edges(shop_snapshot: GraphSnapshot) -> None:
    shuffled = with_shuffled_knowledge(shop_snapshot, 3)
    for name, edges in shop_snapshot.relations.items():
        after = shuffled.relations[name]
        assert np.array_equal(np.diff(edges.indptr), np.diff(after.indptr))
        assert np.array_equal(np.diff(edges.rev_indptr), np.diff(after.rev_indptr))
        assert (after is edges) == (shop_snapshot.role(name) == "interaction")
    assert shuffled.fingerprint != shop_snapshot.fingerprint
    assert shuffled.fingerprint == with_shuffled_knowledge(shop_snapshot, 3).fingerprint
    assert shuffled.fingerprint != with_shuffled_knowledge(shop_snapshot, 4).fingerprint


def test_shuffled_texts_are_the_same_texts_elsewhere(shop_snapshot: GraphSnapshot) -> None:
    before, after = shop_snapshot.texts("Item"), with_shuffled_texts(shop_snapshot, 1).texts("Item")
    assert Counter(before) == Counter(after)
    assert np.mean([a != b for a, b in zip(before, after, strict=True)]) > 0.8
    prices = [found.properties["Item"].column("price") for found in (shop_snapshot, with_shuffled_texts(shop_snapshot, 1))]
    assert prices[0].equals(prices[1])
