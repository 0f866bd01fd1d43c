"""Three users, four films and a director, small enough to walk by hand: ann A B, bob B C, cat D; B and D share a director."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.knowledge import Incidence, item_knowledge
from kgrecall.graph.pagerank import JointGraph
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.base import Naming, QueryBatch
from kgrecall.recall.channels.node_space import NodeSpace, NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.pagerank import PageRankChannel, PageRankConfig
from kgrecall.schema import GraphSchema

A, B, C, D = range(4)
ANN, BOB, CAT = range(3)
SIZE = {"User": 3, "Film": 4, "Person": 1}
EDGES = {
    ("User", "WATCHED", "Film"): [(ANN, A), (ANN, B), (BOB, B), (BOB, C), (CAT, D)],
    ("Film", "DIRECTED_BY", "Person"): [(B, 0), (D, 0)],
    ("Film", "SEQUEL", "Film"): [(C, D)],
}
SCHEMA = {
    "nodes": {"User": {"role": "user"}, "Film": {"role": "item"}, "Person": {}},
    "edges": {
        "WATCHED": {"role": "interaction", "source": "User", "target": "Film"},
        "DIRECTED_BY": {"source": "Film", "target": "Person"},
        "SEQUEL": {"source": "Film", "target": "Film"},
    },
}
PLAIN = PageRankConfig(restart=0.5, item_norm=0)
TWO_STEPS, FOUR_STEPS = 0.5 * 0.5**2, 0.5 * 0.5**4
PEOPLE_ONLY = {"DIRECTED_BY": 0.0, "SEQUEL": 0.0}


@pytest.fixture
def snapshot() -> GraphSnapshot:
    relations = {}
    for key, pairs in EDGES.items():
        source, target = np.array(pairs).T
        sizes = {"num_sources": SIZE[key[0]], "num_targets": SIZE[key[2]]}
        relations[key] = Adjacency.from_edges(key, source, target, np.ones(len(pairs), np.float32), None, **sizes)
    vocabularies = {label: Vocabulary.of(f"{label}{i}" for i in range(n)) for label, n in SIZE.items()}
    return GraphSnapshot(GraphSchema.parse(SCHEMA), "1", vocabularies, relations, {key: key[1] for key in EDGES}, {})


@pytest.fixture
def space(snapshot: GraphSnapshot) -> NodeSpace:
    watched = snapshot.relations["User", "WATCHED", "Film"].backward()
    people = Incidence("WATCHED", "User", watched, reverse=True)
    return build_node_space([*item_knowledge(snapshot), people], NodeSpaceConfig(), Naming("User", "Film", "WATCHED"))


def channel_of(
    snapshot: GraphSnapshot, space: NodeSpace, config: PageRankConfig = PLAIN, prior: np.ndarray | None = None
) -> PageRankChannel:
    graph = JointGraph.of(snapshot, relation_weights=config.relation_weights)
    return PageRankChannel(graph, space, config, prior=prior)


def ask(history: list[int], user: int = -1, weights: list[float] | None = None) -> QueryBatch:
    nothing = np.zeros(0, np.int32)
    return QueryBatch(
        num_items=4,
        user_pos=np.array([user]),
        history_indptr=np.array([0, len(history)]),
        history_pos=np.array(history, np.int32),
        history_weight=np.array(weights or [1.0] * len(history), np.float32),
        exclude_indptr=np.array([0, 0]),
        exclude_pos=nothing,
    )


def scores(channel: PageRankChannel, query: QueryBatch) -> dict[int, float]:
    hits = channel.recall(query, 4)
    return {p: s for p, s in zip(hits.positions[0].tolist(), hits.scores[0].tolist(), strict=True) if p >= 0}


def test_two_steps_through_people(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    config = PLAIN.model_copy(update={"relation_weights": PEOPLE_ONLY})
    # ann is the only way from A, and goes back to A as often as on to B
    assert scores(channel_of(snapshot, space, config), ask([A])) == {A: TWO_STEPS / 2, B: TWO_STEPS / 2}


def test_a_longer_walk_reaches_further(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    config = PageRankConfig(restart=0.5, item_norm=0, max_steps=4, relation_weights=PEOPLE_ONLY)
    found = scores(channel_of(snapshot, space, config), ask([A]))
    assert found[C] == pytest.approx(FOUR_STEPS / 8)  # ann to B, B to bob, bob to C: one of two each time
    assert found[B] == pytest.approx(TWO_STEPS / 2 + FOUR_STEPS * (1 / 4 + 1 / 4))  # round by A, or on from B and back
    assert D not in found


def test_every_relation_counts_by_its_weight(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    # from B: ann and bob weigh 1 each, the director 2; he leads to D as often as back to B
    config = PLAIN.model_copy(update={"relation_weights": {"DIRECTED_BY": 2.0}})
    assert scores(channel_of(snapshot, space, config), ask([B]))[D] == pytest.approx(TWO_STEPS * 2 / 4 / 2)


def test_a_direct_edge_is_one_step_either_way(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    config = PageRankConfig(restart=0.5, item_norm=0, max_steps=1)
    assert scores(channel_of(snapshot, space, config), ask([C])) == {D: pytest.approx(0.5 * 0.5 / 2)}
    assert scores(channel_of(snapshot, space, config), ask([D])) == {C: pytest.approx(0.5 * 0.5 / 3)}


def test_items_of_many_edges_are_damped(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    damped = PLAIN.model_copy(update={"item_norm": 1.0})
    plain, less = (scores(channel_of(snapshot, space, config), ask([A])) for config in (PLAIN, damped))
    assert less[A] == pytest.approx(plain[A])  # one edge
    assert less[B] == pytest.approx(plain[B] / 3)


def test_a_prior_multiplies(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    prior = np.array([1, 4, 1, 0], np.float32)
    plain, with_prior = (scores(channel_of(snapshot, space, prior=p), ask([B])) for p in (None, prior))
    assert D in plain
    assert with_prior == {item: pytest.approx(score * prior[item]) for item, score in plain.items() if item != D}


def test_scores_add_up_over_the_history(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    channel = channel_of(snapshot, space)
    one, other = scores(channel, ask([A])), scores(channel, ask([C]))
    summed = {item: pytest.approx(2 * one.get(item, 0) + 3 * other.get(item, 0)) for item in {*one, *other}}
    assert scores(channel, ask([A, C], weights=[2, 3])) == summed
    assert scores(channel, ask([A, C, C, A], weights=[1, 1, 2, 1])) == summed


def test_a_known_user_is_served_like_a_visitor_with_the_same_history(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    channel = channel_of(snapshot, space)
    assert scores(channel, ask([A, B], user=ANN)) == scores(channel, ask([A, B]))


def test_evidence_has_the_exact_share_of_its_walk(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    # to D from B by the director (chance 1/3 * 1/2), from C as its sequel (one step, 1/2)
    reasons = channel_of(snapshot, space).evidence(ask([B, C], user=-1), D, limit=5)
    by_director, as_sequel = TWO_STEPS / 6, 0.5 * 0.5 / 2
    whole = by_director + as_sequel
    assert [(r.nodes[1:], r.relations[1:], r.share) for r in reasons] == [
        ((("Film", C), ("Film", D)), ("SEQUEL",), pytest.approx(as_sequel / whole)),
        ((("Film", B), ("Person", 0), ("Film", D)), ("DIRECTED_BY", "^DIRECTED_BY"), pytest.approx(by_director / whole)),
    ]


def test_longer_walks_have_their_share_and_no_name(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    channel = channel_of(snapshot, space, PLAIN.model_copy(update={"max_steps": 30}))
    reasons = channel.evidence(ask([B, C]), D, limit=5)
    assert 0.5 < sum(reason.share for reason in reasons) < 0.95
    assert channel.evidence(ask([A]), C, limit=5) == []


def test_nobody_is_his_own_neighbour_in_evidence(snapshot: GraphSnapshot, space: NodeSpace) -> None:
    channel = channel_of(snapshot, space)
    assert [reason.nodes[2] for reason in channel.evidence(ask([A], user=CAT), B, limit=5)] == [("User", ANN)]
    assert channel.evidence(ask([A], user=ANN), B, limit=5) == []


def test_two_relations_between_the_same_nodes_share_the_walk(snapshot: GraphSnapshot) -> None:
    directed = snapshot.relations["Film", "DIRECTED_BY", "Person"]
    wrote = replace(directed, edge_type=("Film", "WRITTEN_BY", "Person"))
    both = replace(snapshot, relations={**snapshot.relations, wrote.edge_type: wrote})
    parts = [Incidence(name, "Person", directed.forward(), reverse=False) for name in ("DIRECTED_BY", "WRITTEN_BY")]
    space = build_node_space(parts, naming=Naming("User", "Film", "WATCHED"))
    reasons = channel_of(both, space).evidence(ask([B]), D, limit=5)
    assert [(reason.relations[1], reason.share) for reason in reasons] == [
        ("DIRECTED_BY", pytest.approx(0.5)),
        ("WRITTEN_BY", pytest.approx(0.5)),
    ]


@pytest.mark.parametrize("wrong", [{"restart": 1.0}, {"tolerance": 0.0}, {"max_steps": 0}, {"relation_weights": {"X": -1.0}}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PageRankConfig.model_validate(wrong)
