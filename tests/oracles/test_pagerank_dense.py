"""Personalised PageRank by push against the solution of the dense linear system."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.pagerank import JointGraph, personalised_pagerank
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.schema import GraphSchema

SIZE = {"User": 30, "Item": 40, "Tag": 12}
SCHEMA = {
    "nodes": {"User": {"role": "user"}, "Item": {"role": "item"}, "Tag": {}},
    "edges": {
        "HAS": {"role": "interaction", "source": "User", "target": "Item"},
        "TAGGED": {"source": "Item", "target": "Tag"},
        "LIKE": {"source": "Item", "target": "Item"},
    },
}
EDGES = {("User", "HAS", "Item"): 120, ("Item", "TAGGED", "Tag"): 60, ("Item", "LIKE", "Item"): 25}


def graph(seed: int) -> GraphSnapshot:
    """A random graph in which the last node of each label has no edges."""
    rng = np.random.default_rng(seed)
    relations = {}
    for edge_type, n in EDGES.items():
        sources, targets = SIZE[edge_type[0]], SIZE[edge_type[2]]
        relations[edge_type] = Adjacency.from_edges(
            edge_type,
            rng.integers(0, sources - 1, n),
            rng.integers(0, targets - 1, n),
            rng.random(n).astype(np.float32) + np.float32(0.1),
            None,
            num_sources=sources,
            num_targets=targets,
        )
    vocabularies = {label: Vocabulary.of(f"{label}{i:03d}" for i in range(n)) for label, n in SIZE.items()}
    origins = {edge_type: edge_type[1] for edge_type in relations}
    return GraphSnapshot(GraphSchema.parse(SCHEMA), "1", vocabularies, relations, origins, {})


def dense_matrix(snapshot: GraphSnapshot, weights: dict[str, float]) -> np.ndarray[Any, Any]:
    start = dict(zip(SIZE, np.cumsum([0, *SIZE.values()]), strict=False))
    matrix = np.zeros((sum(SIZE.values()),) * 2)
    for (source, relation, target), edges in snapshot.relations.items():
        for s, t, w in zip(edges.sources(), edges.indices, edges.weight, strict=True):
            matrix[start[source] + s, start[target] + t] += w * weights.get(relation, 1.0)
    return matrix + matrix.T


def exact(matrix: np.ndarray[Any, Any], seeds: np.ndarray[Any, Any], restart: float) -> np.ndarray[Any, Any]:
    degree = matrix.sum(axis=1)
    lonely = degree == 0
    stochastic = np.divide(matrix, degree[:, None], where=~lonely[:, None], out=np.zeros_like(matrix))
    stochastic[lonely, lonely] = 1.0
    return np.linalg.solve(np.eye(len(matrix)) - (1 - restart) * stochastic.T, restart * seeds)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("restart", [0.1, 0.5])
@pytest.mark.parametrize("weights", [{}, {"TAGGED": 3.0, "LIKE": 0.0}])
def test_push_approaches_the_exact_answer_from_below(seed: int, restart: float, weights: dict[str, float]) -> None:
    snapshot = graph(seed)
    joint = JointGraph.of(snapshot, relation_weights=weights)
    matrix = dense_matrix(snapshot, weights)
    seeds = np.array([2, 17, SIZE["User"] + SIZE["Item"] - 1])  # the last has no edges
    mass = np.zeros(len(matrix))
    mass[seeds] = [0.5, 0.3, 0.2]
    expected = exact(matrix, mass, restart)
    for tolerance in (1e-3, 1e-9):
        found = personalised_pagerank(joint, seeds, np.array([5.0, 3.0, 2.0]), restart=restart, tolerance=tolerance)
        assert np.all(found <= expected + 1e-7)
        assert found.sum() >= 1 - tolerance * np.count_nonzero(matrix) - 1e-7
    assert np.allclose(found, expected, atol=1e-6)
    assert found.sum() == pytest.approx(1, abs=1e-6)


def test_a_walk_of_some_steps_is_a_truncated_series() -> None:
    snapshot = graph(3)
    joint, matrix = JointGraph.of(snapshot), dense_matrix(snapshot, {})
    stochastic = matrix / np.maximum(matrix.sum(axis=1), 1e-12)[:, None]
    seeds = np.array([2, 35])
    at = np.zeros(len(matrix))
    at[seeds] = 0.5
    expected = 0.2 * at
    for _ in range(3):
        at = 0.8 * stochastic.T @ at
        expected += 0.2 * at
    found = personalised_pagerank(joint, seeds, np.ones(2), restart=0.2, tolerance=1e-12, max_steps=3)
    assert np.allclose(found, expected, atol=1e-6)


def test_the_unit_of_weights_does_not_matter() -> None:
    snapshot = graph(1)
    seeds, tenfold = np.array([4]), dict.fromkeys(("HAS", "TAGGED", "LIKE"), 10.0)
    found = [
        personalised_pagerank(JointGraph.of(snapshot, relation_weights=weights), seeds, np.ones(1), tolerance=1e-3)
        for weights in ({}, tenfold)
    ]
    assert np.allclose(*found, atol=1e-6)


def test_chances_between_nodes() -> None:
    snapshot = graph(0)
    joint, matrix = JointGraph.of(snapshot), dense_matrix(snapshot, {})
    everybody = np.arange(len(joint))
    for node in (0, 40, int(np.argmin(matrix.sum(axis=1)))):
        expected = matrix[node] / max(matrix[node].sum(), 1e-12)
        assert np.allclose(joint.share_to(node, everybody), expected, atol=1e-6)


def test_a_long_chain_is_followed_step_by_step() -> None:
    """Few nodes at a time in a large graph: the other way of adding up."""
    n = 400
    chain = Adjacency.from_edges(
        ("Item", "LIKE", "Item"),
        np.arange(n - 1),
        np.arange(1, n),
        np.linspace(1, 2, n - 1, dtype=np.float32),
        None,
        num_sources=n,
        num_targets=n,
    )
    vocabularies = {"User": Vocabulary([]), "Item": Vocabulary.of(f"{i:03d}" for i in range(n)), "Tag": Vocabulary([])}
    snapshot = GraphSnapshot(
        GraphSchema.parse(SCHEMA), "1", vocabularies, {chain.edge_type: chain}, {chain.edge_type: "LIKE"}, {}
    )
    found = personalised_pagerank(JointGraph.of(snapshot), np.array([7]), np.array([2.0]), tolerance=1e-9)
    matrix = chain.forward().toarray().astype(np.float64)
    assert np.allclose(found, exact(matrix + matrix.T, np.eye(n)[7], 0.15), atol=1e-6)


def test_parts_belong_to_labels() -> None:
    joint = JointGraph.of(graph(0))
    values = np.arange(len(joint))
    assert joint.part("Item", values).tolist() == list(range(SIZE["User"], SIZE["User"] + SIZE["Item"]))


def test_rows_of_the_joint_graph_are_chances() -> None:
    joint = JointGraph.of(graph(1))
    rows = np.add.reduceat(np.append(joint.share, 0), joint.indptr[:-1])[np.diff(joint.indptr) > 0]
    assert np.allclose(rows, 1, atol=1e-6)
    assert joint.share.dtype == np.float32


def test_a_loose_tolerance_touches_only_the_surroundings() -> None:
    joint = JointGraph.of(graph(2))
    found = personalised_pagerank(joint, joint.degree.argmax(keepdims=True), np.array([1.0]), tolerance=0.02)
    assert 1 < np.count_nonzero(found) < len(joint) / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"restart": 0.0}, "restart: expected a chance"),
        ({"restart": 1.0}, "restart"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"weights": np.array([0.0])}, "weights: expected one or more positive numbers"),
        ({"weights": np.array([])}, "weights"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    joint = JointGraph.of(graph(0))
    with pytest.raises(ConfigError, match=message):
        personalised_pagerank(joint, np.array([0]), **({"weights": np.array([1.0])} | options))


def test_relation_weights_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"got 'TAGGD'\. Did you mean 'TAGGED'"):
        JointGraph.of(graph(0), relation_weights={"TAGGD": 1.0})
    with pytest.raises(ConfigError, match=r"relation_weights\[HAS\]"):
        JointGraph.of(graph(0), relation_weights={"HAS": -1.0})
