"""What every channel owes: the same questions to each, its answers compared with a dense, naive scorer of the same formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.knowledge import Incidence
from kgrecall.graph.pagerank import JointGraph
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.index.base import ExactIndex
from kgrecall.recall.base import Channel, Evidence, QueryBatch
from kgrecall.recall.channels.attention import AttentionChannel
from kgrecall.recall.channels.attributes import AttributesChannel, AttributesConfig, build_attribute_similarity
from kgrecall.recall.channels.ease import EaseConfig, build_ease
from kgrecall.recall.channels.factors import FactorsConfig, build_factors
from kgrecall.recall.channels.folded import FactorsChannel
from kgrecall.recall.channels.history_encoder import EncoderLayer, HistoryEncoder
from kgrecall.recall.channels.item_graph import build_item_graph
from kgrecall.recall.channels.item_knn import ItemKnnChannel, ItemKnnConfig, build_item_knn, interaction_matrix
from kgrecall.recall.channels.neighbors import NeighborsChannel, NeighborsConfig
from kgrecall.recall.channels.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.pagerank import PageRankChannel, PageRankConfig
from kgrecall.recall.channels.popularity import PopularityChannel, item_popularity
from kgrecall.recall.channels.sequence import FOLLOWED_BY, SequenceConfig, build_sequence
from kgrecall.recall.channels.slim import GOES_WITH, SlimConfig, build_slim
from kgrecall.recall.channels.text import TextChannel
from kgrecall.recall.channels.user_knn import UserKnnChannel, UserKnnConfig
from kgrecall.recall.channels.vector import VectorChannel, normalised
from kgrecall.schema import GraphSchema
from kgrecall.types import Embeddings, Interactions

pytestmark = pytest.mark.usefixtures("tier")
NUM_USERS, NUM_ITEMS, NUM_NODES = 12, 30, 9
Score = Callable[[int, np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]


@dataclass(frozen=True)
class Case:
    """A channel and its naive twin: ``score(user_pos, history, weights, text)`` float64 (num_items,), -inf for no score."""

    channel: Channel
    score: Score


def _random_interactions(rng: np.random.Generator) -> Interactions:
    users, items = np.nonzero(rng.random((NUM_USERS, NUM_ITEMS - 3)) < 0.25)  # the last three items are cold
    time = rng.integers(0, 10**12, len(users))
    return Interactions(users, items, np.ones(len(users), np.float32), time, NUM_USERS, NUM_ITEMS)


def _incidences(rng: np.random.Generator) -> tuple[Incidence, ...]:
    genre = (rng.random((NUM_ITEMS, NUM_NODES)) < 0.2).astype(np.float32)
    director = np.eye(NUM_ITEMS, NUM_NODES + 4, dtype=np.float32) * 2 + np.eye(NUM_ITEMS, NUM_NODES + 4, -7, dtype=np.float32)
    sequel = np.eye(NUM_ITEMS, k=1, dtype=np.float32)
    return (
        Incidence("HAS_GENRE", "Genre", csr_array(genre), reverse=False),
        Incidence("DIRECTED", "Person", csr_array(director), reverse=True),
        Incidence("sequel", "Item", csr_array(sequel), reverse=False),
    )


def _positive(scores: np.ndarray) -> np.ndarray:
    return np.where(scores > 1e-9, scores, -np.inf)


def _dense_history(history: np.ndarray, weights: np.ndarray) -> np.ndarray:
    dense = np.zeros(NUM_ITEMS)
    np.add.at(dense, history, weights)
    return dense


def _linear(similarity: np.ndarray) -> Score:
    return lambda user, history, weights, text: _positive(_dense_history(history, weights) @ similarity)


def _item_knn(events: Interactions) -> Case:
    channel = ItemKnnChannel(build_item_knn(events, ItemKnnConfig(k=8)))
    x = interaction_matrix(events).toarray()
    sums, degree = x.sum(0), x.sum(1)
    w = x.T @ np.diag(1 / np.sqrt(np.maximum(degree, 1))) @ x
    w *= np.maximum(sums, 1)[:, None] ** -0.5 * np.maximum(sums, 1)[None, :] ** -0.3
    return Case(channel, _linear(_top_of_rows(w, 8)))


def _ease(events: Interactions) -> Case:
    weights = build_ease(events, EaseConfig(l2=2))
    assert (weights.data < 0).any()
    return Case(ItemKnnChannel(weights, name="ease"), _linear(weights.toarray().astype(np.float64)))


def _sequence(events: Interactions) -> Case:
    similarity = build_sequence(events, SequenceConfig(window=4))
    assert (similarity.toarray() != similarity.toarray().T).any()
    plain = _linear(similarity.toarray().astype(np.float64))

    def score(user: int, history: np.ndarray, weights: np.ndarray, text: np.ndarray | None) -> np.ndarray:
        return plain(user, history, weights * 0.5 ** (np.arange(len(history))[::-1] / 2), text)

    return Case(ItemKnnChannel(similarity, name="sequence", half_life=2, relation=FOLLOWED_BY), score)


def _user_knn(events: Interactions) -> Case:
    chosen = interaction_matrix(events)
    x = chosen.toarray().astype(np.float64)
    activity, popularity = np.maximum(x.sum(1), 1), np.maximum(x.sum(0), 1)

    def score(user: int, history: np.ndarray, weights: np.ndarray, text: np.ndarray | None) -> np.ndarray:
        alike = x @ (_dense_history(history, weights) * popularity**-0.75) * activity**-0.5
        alike[user if user >= 0 else []] = 0
        return _positive(alike @ x * popularity**-0.2)

    return Case(UserKnnChannel(chosen, UserKnnConfig(a=0.75, q=0.2)), score)


def _factors(events: Interactions) -> Case:
    config = FactorsConfig(dim=5, unobserved=0.2, regularization=0.05)
    factors = build_factors(events, config)
    q = factors.items.astype(np.float64)
    served = np.bincount(events.item_pos, minlength=NUM_ITEMS) > 0

    def score(user: int, history: np.ndarray, weights: np.ndarray, text: np.ndarray | None) -> np.ndarray:
        if not served[history[weights > 0]].any():
            return np.full(NUM_ITEMS, -np.inf)
        shrink = 0.05 * (weights.sum() + 0.2 * NUM_ITEMS)
        normal = q[history].T @ np.diag(weights) @ q[history] + 0.2 * q.T @ q + shrink * np.eye(5)
        return np.where(served, q @ np.linalg.solve(normal, weights @ q[history]), -np.inf)

    return Case(FactorsChannel(ExactIndex(factors.items), factors), score)


def _attention(rng: np.random.Generator) -> Case:
    """One head at a time, event by event, in float64."""
    d, heads, length = 6, 2, 5
    items = normalised(rng.standard_normal((NUM_ITEMS, d)).astype(np.float32))
    shapes = {"ask": (d, d), "ask_bias": (d,), "key": (d, d), "value": (d, d), "out": (d, d), "distance": (heads, length)}
    shapes |= {"keep": (1,), "up": (d, 4), "up_bias": (4,), "down": (4, d), "down_bias": (d,)}
    layers = tuple(
        EncoderLayer(**{name: (0.4 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()})
        for _ in range(2)
    )
    inputs, none = rng.standard_normal((NUM_ITEMS, d)).astype(np.float32), np.zeros((0, d), np.float32)
    encoder = HistoryEncoder(layers, inputs, np.zeros((1, d), np.float32), none)

    def level(x: np.ndarray) -> np.ndarray:
        return np.asarray((x - x.mean()) / np.sqrt(x.var() + 1e-5))

    def step(layer: EncoderLayer, x: list[np.ndarray], weights: np.ndarray, i: int) -> np.ndarray:
        heard = []
        for head in range(heads):
            part = slice(head * d // heads, (head + 1) * d // heads)
            ask = (level(x[i]) @ layer.ask + layer.ask_bias)[part]
            logits = [
                ask @ (level(x[j]) @ layer.key)[part] * (d / heads) ** -0.5 + layer.distance[head, i - j] for j in range(i + 1)
            ]
            odds = weights[: i + 1] * np.exp(logits - np.max(logits))
            heard.append(odds / (odds.sum() or 1) @ (np.array(x[: i + 1]) @ layer.value)[:, part])
        y = layer.keep * x[i] + np.concatenate(heard) @ layer.out
        return np.asarray(y + np.maximum(level(y) @ layer.up + layer.up_bias, 0) @ layer.down + layer.down_bias)

    def score(user: int, history: np.ndarray, weights: np.ndarray, text: np.ndarray | None) -> np.ndarray:
        history, weights = history[-length:], weights[-length:]
        if not (weights > 0).any():
            return np.full(NUM_ITEMS, -np.inf)
        newest = int(np.flatnonzero(weights > 0)[-1])
        x = list(inputs[history].astype(np.float64))
        for layer in layers:
            x = [step(layer, x, weights, i) for i in range(len(x))]
        return np.asarray(items @ (x[newest] / np.linalg.norm(x[newest])))

    return Case(AttentionChannel(ExactIndex(items), items, encoder), score)


def _trending(events: Interactions) -> Case:
    """Item-kNN with a prior and a fading history."""
    similarity, prior = build_item_knn(events), np.linspace(0, 2, NUM_ITEMS, dtype=np.float32)
    plain = _linear(similarity.toarray().astype(np.float64) * prior)

    def score(user: int, history: np.ndarray, weights: np.ndarray, text: np.ndarray | None) -> np.ndarray:
        return plain(user, history, weights * 0.5 ** (np.arange(len(history))[::-1] / 3), text)

    return Case(ItemKnnChannel(similarity, prior=prior, half_life=3), score)


def _slim(events: Interactions, incidences: tuple[Incidence, ...]) -> Case:
    weights = build_slim(events, SlimConfig(k=8, knowledge=0.5), incidences)
    return Case(ItemKnnChannel(weights, name="slim", relation=GOES_WITH), _linear(weights.toarray().astype(np.float64)))


def _item_graph(events: Interactions, incidences: tuple[Incidence, ...]) -> Case:
    similarity, space = build_item_graph(events, incidences)
    return Case(AttributesChannel(similarity, space, name="item_graph"), _linear(similarity.toarray().astype(np.float64)))


def _attributes(incidences: tuple[Incidence, ...]) -> Case:
    config = AttributesConfig(k=10, weights={"HAS_GENRE": 0.5})
    space = build_node_space(incidences, config)
    m = space.matrix.toarray()
    w = m @ np.diag(m.sum(0) ** -0.5) @ m.T
    sums = np.maximum(m.sum(1), 1e-9)
    w *= sums[:, None] ** -0.5 * sums[None, :] ** -0.2
    return Case(AttributesChannel(build_attribute_similarity(space, config), space), _linear(_top_of_rows(w, 10)))


def _top_of_rows(w: np.ndarray, k: int) -> np.ndarray:
    w = w.astype(np.float32).astype(np.float64)
    np.fill_diagonal(w, 0)
    for row in w:
        order = np.lexsort((np.arange(len(row)), -row))
        row[order[k:]] = 0
    return w


def _neighbors(events: Interactions, incidences: tuple[Incidence, ...]) -> Case:
    people = Incidence("INTERACTED", "User", csr_array(interaction_matrix(events).T), reverse=True)
    space = build_node_space((*incidences, people), NodeSpaceConfig(weights={"INTERACTED": 2.0}))
    m = space.matrix.toarray().astype(np.float64)
    node_weight = np.maximum(m.sum(0), 1e-9) ** -0.5
    history_weight, item_weight = np.maximum(m.sum(1), 1e-9) ** -0.5, np.maximum(m.sum(1), 1e-9) ** -0.2
    own = space.column_of("User", NUM_USERS)

    def score(user: int, history: np.ndarray, weights: np.ndarray, text: np.ndarray | None) -> np.ndarray:
        total = np.zeros(NUM_ITEMS)
        for item, weight in zip(history, weights, strict=True):
            for node in range(m.shape[1]):
                if user >= 0 and node == own[user]:
                    continue
                for other in range(NUM_ITEMS):
                    if other != item:
                        there = weight * history_weight[item] * m[item, node] * node_weight[node]
                        total[other] += there * m[other, node] * item_weight[other]
        return _positive(total)

    return Case(NeighborsChannel(space, NeighborsConfig(), num_users=NUM_USERS), score)


def _pagerank(events: Interactions, incidences: tuple[Incidence, ...]) -> Case:
    people = Incidence("INTERACTED", "User", csr_array(interaction_matrix(events).T), reverse=True)
    all_relations = (*incidences, people)
    config = PageRankConfig(relation_weights={"DIRECTED": 0.5}, restart=0.4, item_norm=0.3, tolerance=1e-11, max_steps=50)
    graph = JointGraph.of(_snapshot(all_relations), relation_weights=config.relation_weights)
    start, size = graph.offset, graph.size
    m = np.zeros((len(graph),) * 2)
    for i in all_relations:
        weight = config.relation_weights.get(i.relation, 1.0)
        part = (slice(start["Item"], start["Item"] + NUM_ITEMS), slice(start[i.label], start[i.label] + size[i.label]))
        m[part] += weight * i.matrix.toarray()
    m += m.T
    degree = m.sum(1)
    steps = m / np.maximum(degree, 1e-9)[:, None]
    items = slice(start["Item"], start["Item"] + NUM_ITEMS)
    found = np.linalg.inv(np.eye(len(m)) - 0.6 * steps)[items, items] - np.eye(NUM_ITEMS)  # row = where the walk started
    damped = 0.4 * found * np.maximum(degree[items], 1e-9) ** -0.3
    channel = PageRankChannel(graph, build_node_space(all_relations, NodeSpaceConfig(hub_share=1)), config)
    return Case(channel, _linear(damped))


def _snapshot(incidences: tuple[Incidence, ...]) -> GraphSnapshot:
    size, relations = {"User": NUM_USERS, "Item": NUM_ITEMS}, {}
    for i in incidences:
        size[i.label] = i.matrix.shape[1]
        edges = i.matrix.tocoo()
        (source, at), (target, to) = ("Item", edges.coords[0]), (i.label, edges.coords[1])
        if i.reverse:
            (source, at), (target, to) = (target, to), (source, at)
        sizes = {"num_sources": size[source], "num_targets": size[target]}
        key = (source, i.relation, target)
        relations[key] = Adjacency.from_edges(key, at, to, edges.data.astype(np.float32), None, **sizes)
    vocabularies = {label: Vocabulary.of(f"{n:03}" for n in range(count)) for label, count in size.items()}
    roles: dict[str, dict[str, str]] = {label: {} for label in size} | {"User": {"role": "user"}, "Item": {"role": "item"}}
    edges_of = {r: {"source": s, "target": t, **({"role": "interaction"} if s == "User" else {})} for s, r, t in relations}
    schema = GraphSchema.parse({"nodes": roles, "edges": edges_of})
    return GraphSnapshot(schema, "1", vocabularies, relations, {key: key[1] for key in relations}, {})


def _vector(rng: np.random.Generator) -> Case:
    users, items, inputs = (
        normalised(rng.standard_normal((n, 6)).astype(np.float32)) for n in (NUM_USERS, NUM_ITEMS, NUM_ITEMS)
    )
    users[3] = 0  # a user that training never saw

    def score(user: int, history: np.ndarray, weights: np.ndarray, text: np.ndarray | None) -> np.ndarray:
        vector = users[user] if user >= 0 and users[user].any() else weights @ inputs[history] if len(history) else np.zeros(6)
        length = np.linalg.norm(vector)
        return items @ (vector / length) if length > 0 else np.full(NUM_ITEMS, -np.inf)

    return Case(VectorChannel(ExactIndex(items), Embeddings(users, items, inputs)), score)


def _text(rng: np.random.Generator) -> Case:
    texts = normalised(rng.standard_normal((NUM_ITEMS, 5)).astype(np.float32))
    texts[[4, 9]] = 0

    def score(user: int, history: np.ndarray, weights: np.ndarray, text: np.ndarray | None) -> np.ndarray:
        vector = text if text is not None and text.any() else weights @ texts[history] if len(history) else np.zeros(5)
        length = np.linalg.norm(vector)
        found = texts @ (vector / length) if length > 0 else np.full(NUM_ITEMS, -np.inf)
        found[[4, 9]] = -np.inf
        return found

    return Case(TextChannel(ExactIndex(texts), texts), score)


def _popularity(events: Interactions) -> Case:
    counts = np.bincount(events.item_pos, minlength=NUM_ITEMS).astype(np.float64)
    return Case(PopularityChannel(item_popularity(events)), lambda *_: _positive(counts))


def _cases() -> dict[str, Case]:
    rng = np.random.default_rng(5)
    events, incidences = _random_interactions(rng), _incidences(rng)
    return {
        "item_knn": _item_knn(events),
        "ease": _ease(events),
        "slim": _slim(events, incidences),
        "sequence": _sequence(events),
        "user_knn": _user_knn(events),
        "factors": _factors(events),
        "trending": _trending(events),
        "item_graph": _item_graph(events, incidences),
        "attributes": _attributes(incidences),
        "neighbors": _neighbors(events, incidences),
        "pagerank": _pagerank(events, incidences),
        "vector": _vector(rng),
        "attention": _attention(rng),
        "text": _text(rng),
        "popularity": _popularity(events),
    }


CASES = _cases()
every_channel = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())

_positions = st.lists(st.integers(0, NUM_ITEMS - 1), max_size=8)


def _flat(rows: list[list[int]]) -> np.ndarray:
    return np.array([position for row in rows for position in row], np.int32)


@st.composite
def query_batches(draw: st.DrawFn) -> QueryBatch:
    num_queries = draw(st.integers(1, 4))
    histories = draw(st.lists(_positions, min_size=num_queries, max_size=num_queries))
    excluded = draw(st.lists(_positions, min_size=num_queries, max_size=num_queries))
    if draw(st.booleans()):
        excluded = [[*more, *history] for more, history in zip(excluded, histories, strict=True)]
    weights = draw(
        st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=sum(map(len, histories)), max_size=sum(map(len, histories)))
    )
    mask = draw(st.none() | st.lists(st.booleans(), min_size=NUM_ITEMS, max_size=NUM_ITEMS))
    texts = draw(st.none() | st.lists(st.sampled_from([0.0, 1.0, -2.0]), min_size=5 * num_queries, max_size=5 * num_queries))
    return QueryBatch(
        num_items=NUM_ITEMS,
        user_pos=np.array(draw(st.lists(st.integers(-1, NUM_USERS - 1), min_size=num_queries, max_size=num_queries))),
        history_indptr=np.cumsum([0, *map(len, histories)]),
        history_pos=_flat(histories),
        history_weight=np.array(weights, np.float32),
        exclude_indptr=np.cumsum([0, *(len(set(row)) for row in excluded)]),
        exclude_pos=_flat([sorted(set(row)) for row in excluded]),
        mask=None if mask is None else np.array(mask),
        text=None if texts is None else normalised(np.array(texts, np.float32).reshape(num_queries, 5)),
    )


def _expected(case: Case, queries: QueryBatch, i: int) -> np.ndarray:
    """The naive scores of query i, -inf for what may not be returned."""
    text = None if queries.text is None else queries.text[i].astype(np.float64)
    history, weights = queries.history(i)
    scores = np.array(case.score(int(queries.user_pos[i]), history, weights.astype(np.float64), text), np.float64)
    scores[queries.excluded(i)] = -np.inf
    if queries.mask is not None:
        scores[~queries.mask] = -np.inf
    return scores


@every_channel
@settings(max_examples=60, deadline=None)
@given(queries=query_batches(), k=st.integers(1, NUM_ITEMS + 5))
def test_the_k_best_eligible_items_in_order(case: Case, queries: QueryBatch, k: int) -> None:
    hits = case.channel.recall(queries, k)

    assert (hits.positions.shape, hits.positions.dtype) == ((len(queries), k), np.int32)
    assert (hits.scores.shape, hits.scores.dtype) == ((len(queries), k), np.float32)
    for i in range(len(queries)):
        expected = _expected(case, queries, i)
        found = hits.positions[i][hits.positions[i] >= 0]
        n = len(found)
        assert n == min(k, int((expected > -np.inf).sum()))
        assert (hits.positions[i, n:] == -1).all()
        assert (hits.scores[i, n:] == -np.inf).all()
        assert len(set(found.tolist())) == n
        np.testing.assert_allclose(hits.scores[i, :n], expected[found], rtol=2e-5, atol=1e-6)
        left = np.delete(expected, found)
        assert n == 0 or left.max(initial=-np.inf) <= hits.scores[i, n - 1] + 1e-5


@every_channel
@settings(max_examples=40, deadline=None)
@given(queries=query_batches(), k=st.integers(1, NUM_ITEMS))
def test_hits_are_sorted_with_ties_by_position(case: Case, queries: QueryBatch, k: int) -> None:
    hits = case.channel.recall(queries, k)
    for positions, scores in zip(hits.positions, hits.scores, strict=True):
        n = int((positions >= 0).sum())
        order = np.lexsort((positions[:n], -scores[:n]))
        np.testing.assert_array_equal(order, np.arange(n))


@every_channel
@settings(max_examples=40, deadline=None)
@given(queries=query_batches(), k=st.integers(1, NUM_ITEMS))
def test_a_batch_answers_like_its_single_queries(case: Case, queries: QueryBatch, k: int) -> None:
    together = case.channel.recall(queries, k)
    for i in range(len(queries)):
        alone = case.channel.recall(queries.rows(i, i + 1), k)
        np.testing.assert_array_equal(alone.positions[0], together.positions[i])
        np.testing.assert_allclose(alone.scores[0], together.scores[i], rtol=1e-6, atol=1e-6)


@every_channel
@settings(max_examples=40, deadline=None)
@given(queries=query_batches())
def test_a_shorter_answer_is_the_head_of_a_longer_one(case: Case, queries: QueryBatch) -> None:
    short, long = case.channel.recall(queries, 4), case.channel.recall(queries, 11)
    np.testing.assert_array_equal(short.positions, long.positions[:, :4])


@every_channel
@settings(max_examples=30, deadline=None)
@given(queries=query_batches())
def test_evidence_ends_in_the_item_and_its_shares_are_sorted(case: Case, queries: QueryBatch) -> None:
    query = queries.rows(0, 1)
    hits = case.channel.recall(query, 5)
    for item in hits.positions[0][hits.positions[0] >= 0].tolist():
        reasons = case.channel.evidence(query, item, limit=50)
        assert all(reason.nodes[-1] == ("Item", item) for reason in reasons)
        assert all(reason.nodes[0] == ("User", query.user_pos[0]) for reason in reasons)
        assert all(len(reason.relations) == len(reason.nodes) - 1 for reason in reasons)
        shares = [reason.share for reason in reasons]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1 + 1e-5
        assert case.channel.evidence(query, item, limit=1) == reasons[:1]


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("popularity", "sequence", "trending", "factors")])
@settings(max_examples=30, deadline=None)
@given(queries=query_batches())
def test_removing_the_named_evidence_lowers_the_score(name: str, queries: QueryBatch) -> None:
    """Not promised by ``sequence`` and ``trending`` (older items become newer), nor ``factors`` (the rest is weighed anew)."""
    channel = CASES[name].channel
    query = replace(queries.rows(0, 1), mask=None)
    hits = channel.recall(query, NUM_ITEMS)
    for item, score in zip(hits.positions[0].tolist(), hits.scores[0].tolist(), strict=True):
        reasons = channel.evidence(query, item, limit=1) if item >= 0 else []
        # a trained vector may say more than its history, a score may be no better than none, walks of more steps are not named
        assert reasons or item < 0 or name in ("vector", "attention", "text", "pagerank")
        if reasons:
            left = channel.recall(_without(name, query, reasons[0]), NUM_ITEMS)
            after = left.scores[0][left.positions[0] == item].tolist() or [0.0]
            assert after[0] < score


def _without(name: str, query: QueryBatch, reason: Evidence) -> QueryBatch:
    """The question asked again without a history item, or without text and history where the text is the reason."""
    history, weights = query.history(0)
    by_text = len(reason.nodes) == 2
    kept = np.zeros(len(history), np.bool_) if by_text else history != reason.nodes[1][1]
    return replace(
        query,
        user_pos=np.array([-1]) if name == "vector" else query.user_pos,  # its vector was trained on the whole history
        history_pos=history[kept],
        history_weight=weights[kept],
        history_indptr=np.array([0, kept.sum()]),
        text=None if by_text else query.text,
    )


@every_channel
def test_no_history_no_text_no_user_means_no_personal_answer(case: Case) -> None:
    nothing = np.array([0, 0])
    empty = np.zeros(0, np.int32)
    query = QueryBatch(NUM_ITEMS, np.array([-1]), nothing, empty, np.zeros(0, np.float32), nothing, empty)
    answered = (case.channel.recall(query, 5).positions >= 0).any()
    assert answered == (case.channel.name == "popularity")


@every_channel
def test_an_empty_batch_has_an_empty_answer(case: Case) -> None:
    start = np.array([0])
    empty = np.zeros(0, np.int32)
    queries = QueryBatch(NUM_ITEMS, np.zeros(0, np.int64), start, empty, np.zeros(0, np.float32), start, empty)
    assert case.channel.recall(queries, 3).positions.shape == (0, 3)


@every_channel
def test_a_channel_satisfies_the_protocol(case: Case) -> None:
    assert isinstance(case.channel, Channel)


@every_channel
@settings(max_examples=25)
@given(queries=query_batches())
def test_a_history_item_of_weight_zero_does_not_count(case: Case, queries: QueryBatch) -> None:
    muted = replace(queries.rows(0, 1), user_pos=np.array([-1]), text=None)
    kept = np.arange(len(muted.history_pos)) % 2 == 1
    muted = replace(muted, history_weight=muted.history_weight * kept)
    hits = case.channel.recall(muted, NUM_ITEMS)
    expected = _expected(case, muted, 0)
    found = hits.positions[0][hits.positions[0] >= 0]
    np.testing.assert_allclose(hits.scores[0, : len(found)], expected[found], rtol=2e-5, atol=1e-6)
    assert len(found) == (expected > -np.inf).sum()
