"""Vectors, full text and live walks inside the database, beside the exact answers of arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_array

from kgrecall.errors import ConfigError, NotBuilt, SchemaError, ShapeError, StaleArtifact, Unsupported
from kgrecall.graph.knowledge import Incidence
from kgrecall.index.base import ExactIndex, VectorIndex
from kgrecall.jobs.database import by_walking
from kgrecall.recall.base import Channel, QueryBatch
from kgrecall.recall.channels.live import LiveChannel
from kgrecall.recall.channels.neighbors import NeighborsChannel
from kgrecall.recall.channels.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.vector import VectorChannel, normalised
from kgrecall.schema import GraphSchema
from kgrecall.store.neo4j import Neo4jStore
from kgrecall.store.neo4j import search as neo4j_search
from kgrecall.store.neo4j.search import Neo4jFulltext, Neo4jVectorIndex, as_lucene
from kgrecall.store.neo4j.walk import Neo4jWalk, Neo4jWalkConfig
from kgrecall.types import Embeddings

pytestmark = pytest.mark.neo4j
Cypher = Callable[..., list[list[object]]]
N, DIM = 600, 16
IDS = pa.array(sorted(f"i{i:03d}" for i in range(N)))
SCHEMA = GraphSchema.parse(
    {
        "nodes": {
            "User": {"role": "user"},
            "Item": {"role": "item", "title": "title", "properties": {"title": "text", "colour": "string"}},
        },
        "edges": {"SEEN": {"role": "interaction", "source": "User", "target": "Item"}},
    }
)


def vectors(n: int, seed: int) -> np.ndarray:
    return normalised(np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32))


@pytest.fixture
def store(neo4j_store: Neo4jStore) -> Neo4jStore:
    neo4j_store.apply_schema(SCHEMA)
    neo4j_store.upsert_nodes("Item", IDS, {})
    return neo4j_store


class TestVectors:
    @pytest.fixture
    def base(self) -> np.ndarray:
        return vectors(N, 0)

    @pytest.fixture(params=["exact", "index"])
    def index(self, request: pytest.FixtureRequest, store: Neo4jStore, base: np.ndarray, monkeypatch) -> Neo4jVectorIndex:  # type: ignore[no-untyped-def]
        """Both ways of searching: all eligible vectors, and the index of the database."""
        monkeypatch.setattr(neo4j_search, "_EXACT_BELOW", 10**9 if request.param == "exact" else 0)
        return Neo4jVectorIndex.build(store, "Item", IDS, base)

    @pytest.mark.parametrize("keep", [1.0, 0.5, 0.05, 0.0])
    def test_search_agrees_with_the_exact_index(self, index: Neo4jVectorIndex, base: np.ndarray, keep: float) -> None:
        assert isinstance(index, VectorIndex)
        queries, k = vectors(20, 1) * 3, 30
        mask = None if keep == 1 else np.random.default_rng(2).random(N) < keep
        positions, scores = index.search(queries, k, mask=mask)
        true, _ = ExactIndex(base).search(queries, k, mask=mask)
        want = min(k, N if mask is None else int(mask.sum()))
        assert (positions[:, want:] == -1).all()
        assert (scores[:, want:] == -np.inf).all()
        shared = [len(set(a) & set(b)) / max(want, 1) for a, b in zip(positions[:, :want], true[:, :want], strict=True)]
        assert want == 0 or np.mean(shared) > 0.95
        assert mask is None or mask[positions[positions >= 0]].all()
        for query, row, row_scores in zip(queries, positions[:, :want], scores[:, :want], strict=True):
            assert len(set(row.tolist())) == want
            np.testing.assert_allclose(row_scores, base[row] @ query, atol=1e-5)
            assert (np.diff(row_scores) <= 0).all()

    def test_writing_again_replaces_and_zeros_clear(self, store: Neo4jStore, base: np.ndarray) -> None:
        index = Neo4jVectorIndex.build(store, "Item", IDS, base)
        before = store.version()
        changed = base.copy()
        changed[[7, 8]] = 0
        index.write(changed)
        assert index.search(base[[7]], 1)[0][0, 0] != 7
        assert (index.search(np.zeros((1, DIM), np.float32), 3)[0] == -1).all()
        assert store.version() == before, "vectors are derived data"
        wider = Neo4jVectorIndex.build(store, "Item", IDS, np.ones((N, 4), np.float32))
        assert wider.search(np.ones((1, 4), np.float32), N)[0].max() == N - 1

    def test_the_vector_channel_runs_on_it(self, store: Neo4jStore, base: np.ndarray) -> None:
        embeddings = Embeddings(users=vectors(3, 5), items=base, item_inputs=base)
        batch = QueryBatch(
            num_items=N,
            user_pos=np.array([0, -1]),
            history_indptr=np.array([0, 0, 2]),
            history_pos=np.array([3, 4], np.int32),
            history_weight=np.ones(2, np.float32),
            exclude_indptr=np.array([0, 1, 3]),
            exclude_pos=np.array([9, 3, 4], np.int32),
        )
        live = VectorChannel(Neo4jVectorIndex.build(store, "Item", IDS, base), embeddings, name="neo4j_vector")
        exact = VectorChannel(ExactIndex(base), embeddings)
        ours, theirs = live.recall(batch, 20), exact.recall(batch, 20)
        assert live.name == "neo4j_vector"
        np.testing.assert_array_equal(ours.positions, theirs.positions)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)

    def test_what_it_cannot_do(self, store: Neo4jStore, base: np.ndarray) -> None:
        with pytest.raises(ConfigError, match="property of its own"):
            Neo4jVectorIndex(store, "Item", IDS, DIM, name="colour")
        index = Neo4jVectorIndex(store, "Item", IDS, DIM)
        with pytest.raises(ShapeError, match="one row per id"):
            index.write(base[1:])
        strangers = Neo4jVectorIndex(store, "Item", pa.array([*IDS.to_pylist()[1:], "nobody"]), DIM)
        with pytest.raises(StaleArtifact, match="Build again"):
            strangers.write(base)
        for change in (lambda: index.add(base), lambda: index.remove(np.array([1]))):
            with pytest.raises(Unsupported, match="write"):
                change()


class TestFulltext:
    TITLES = ("The Robot in Space", "Space (1985): +robots?", "Period drama", "drama AND space", "", 'a\\b OR "c"')

    @pytest.fixture
    def search(self, store: Neo4jStore) -> Neo4jFulltext:
        store.upsert_nodes("Item", IDS[: len(self.TITLES)], {"title": pa.array(self.TITLES)})
        index = Neo4jFulltext(store, "Item", IDS)
        index.build()
        index.build()
        return index

    def test_words_are_found_and_ranked(self, search: Neo4jFulltext) -> None:
        positions, scores = search.search(["robot space", "drama", "nothing like it"], 4)
        assert set(positions[0, :3].tolist()) == {0, 1, 3}
        assert positions[0, 0] == 0, "both words"
        assert sorted(positions[1, :2].tolist()) == [2, 3]
        assert (positions[2] == -1).all()
        assert (np.diff(scores[0, :3]) <= 0).all()
        assert scores[0, 3] == -np.inf

    @pytest.mark.parametrize(
        "text", ["", "   ", '+-&&||!(){}[]^"~*?:\\/', "AND", "space AND NOT robot", "title:robot", "~", 'a"b']
    )
    def test_syntax_in_a_text_is_no_syntax(self, search: Neo4jFulltext, text: str) -> None:
        positions, _ = search.search([text], 3)
        assert positions.shape == (1, 3)

    def test_labels_without_text_cannot_be_searched(self, store: Neo4jStore) -> None:
        with pytest.raises(Unsupported, match="property of type text"):
            Neo4jFulltext(store, "User", IDS)


class TestIndexesOfOthers:
    """The server makes one index of a kind over the same properties; the user may have made it, by another name."""

    TITLES = pa.array(["The Robot in Space", "Period drama"])
    IDS = pa.array(["f0", "f1"])

    @pytest.fixture
    def films(self, neo4j_store: Neo4jStore) -> Neo4jStore:
        """Of a label that no other test indexes."""
        film = {"role": "item", "title": "title", "properties": {"title": "text", "colour": "string"}}
        neo4j_store.apply_schema(
            GraphSchema.parse(
                {
                    "nodes": {"User": {"role": "user"}, "Film": film},
                    "edges": {"SAW": {"role": "interaction", "source": "User", "target": "Film"}},
                }
            )
        )
        neo4j_store.upsert_nodes("Film", self.IDS, {"title": self.TITLES})
        return neo4j_store

    @pytest.fixture(autouse=True)
    def all_by_the_index(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(neo4j_search, "_EXACT_BELOW", 0)

    def one_by_one(self, films: Neo4jStore) -> Neo4jVectorIndex:
        """Asks the index for fewer than there are: all are compared without it."""
        return Neo4jVectorIndex(films, "Film", self.IDS, DIM, overfetch=0.5)

    def test_words(self, films: Neo4jStore, cypher: Cypher) -> None:
        cypher("CREATE FULLTEXT INDEX their_words FOR (n:Film) ON EACH [n.title]")
        search = Neo4jFulltext(films, "Film", self.IDS)
        search.build()
        assert search.search(["drama robot space"], 1)[0].tolist() == [[0]]
        assert cypher(
            "SHOW INDEXES YIELD name, labelsOrTypes AS of, type WHERE of = ['Film'] AND type = 'FULLTEXT' RETURN name"
        ) == [["their_words"]]

    def test_vectors(self, films: Neo4jStore, cypher: Cypher) -> None:
        make = (
            "CREATE VECTOR INDEX their_vectors FOR (n:Film) ON n.embedding"
            " OPTIONS {indexConfig: {`vector.dimensions`: %d, `vector.similarity_function`: 'cosine'}}"
        )
        cypher(make % DIM)
        base = vectors(2, 0)
        index = self.one_by_one(films)
        index.write(base)
        assert index.search(base, 1)[0].tolist() == [[0], [1]]
        cypher("DROP INDEX their_vectors")
        cypher(make % (DIM + 1))
        with pytest.raises(Unsupported, match=f"their_vectors.*length {DIM}.*{DIM + 1}.*Drop it"):
            index.write(base)

    def test_our_own_over_properties_of_before_is_made_again(self, films: Neo4jStore, cypher: Cypher) -> None:
        cypher("CREATE FULLTEXT INDEX kgrecall_Film_text FOR (n:Film) ON EACH [n.colour]")
        search = Neo4jFulltext(films, "Film", self.IDS)
        search.build()
        assert search.search(["robot"], 1)[0].tolist() == [[0]]

    def test_without_one_the_command_that_makes_it_is_named(self, films: Neo4jStore) -> None:
        with pytest.raises(NotBuilt, match=r"fulltext index over Film\(title\).*kgrecall publish"):
            Neo4jFulltext(films, "Film", self.IDS).search(["robot"], 1)
        with pytest.raises(NotBuilt, match=r"vector index over Film\(embedding\).*kgrecall publish"):
            self.one_by_one(films).search(vectors(1, 0), 1)


def test_words_are_quoted() -> None:
    assert as_lucene('robots (1985) "x" AND y:z*') == '"robots" "1985" "x" "AND" "y" "z"'
    assert as_lucene(" +- ") == ""


class TestWalks:
    """The walk in Cypher against the channel on arrays: same relations, same norms, same hubs."""

    RELATIONS = ("MADE_BY", "TAGGED", "SEEN")
    ITEMS = pa.array(sorted(f"i{i:02d}" for i in range(40)))

    @pytest.fixture
    def shop(self, neo4j_store: Neo4jStore) -> tuple[Neo4jStore, dict[str, np.ndarray]]:
        """Forty items with brands (one each), tags (stored from tag to item, one of them a hub) and events of twelve users."""
        schema = GraphSchema.parse(
            {
                "nodes": {"User": {"role": "user"}, "Item": {"role": "item"}, "Brand": {}, "Tag": {}},
                "edges": {
                    "MADE_BY": {"source": "Item", "target": "Brand"},
                    "TAGGED": {"source": "Tag", "target": "Item"},
                    "SEEN": {
                        "role": "interaction",
                        "source": "User",
                        "target": "Item",
                        "properties": {"time": "time"},
                        "key": ["time"],
                    },
                    "SEQUEL": {"source": "Item", "target": "Item"},
                },
            }
        )
        neo4j_store.apply_schema(schema)
        rng = np.random.default_rng(0)
        matrices = {
            "MADE_BY": np.eye(12)[rng.integers(0, 12, 40)],
            "TAGGED": (rng.random((40, 9)) < 0.2) | (np.arange(9) == 4),
            "SEEN": rng.random((40, 12)) < 0.2,
        }
        neo4j_store.upsert_nodes("Item", self.ITEMS, {})
        for name, label in zip(self.RELATIONS, ("Brand", "Tag", "User"), strict=True):
            items, nodes = np.nonzero(matrices[name])
            ends = self.ITEMS.take(pa.array(items)), pa.array([f"n{n:02d}" for n in nodes])
            neo4j_store.upsert_nodes(label, ends[1], {})
            pair = ends if name == "MADE_BY" else ends[::-1]
            for time in (1, 2) if name == "SEEN" else (0,):
                columns = {"time": pa.array([time] * len(items))} if name == "SEEN" else {}
                neo4j_store.upsert_edges(name, *pair, columns)
        return neo4j_store, matrices

    @pytest.mark.parametrize("weights", [{"MADE_BY": 2.0, "TAGGED": 0.5}, {"MADE_BY": 1.0, "TAGGED": 1.0, "SEEN": 3.0}])
    def test_scores_are_those_of_the_channel_on_arrays(
        self, shop: tuple[Neo4jStore, dict[str, np.ndarray]], weights: dict[str, float]
    ) -> None:
        store, matrices = shop
        labels = dict(zip(self.RELATIONS, ("Brand", "Tag", "User"), strict=True))
        incidences = [
            Incidence(name, labels[name], csr_array(matrices[name].astype(np.float32)), reverse=name != "MADE_BY")
            for name in weights
        ]
        space = build_node_space(
            incidences,
            NodeSpaceConfig(weights=weights, hub_share=0.01, hub_floor=20, never_hubs=("SEEN",) if "SEEN" in weights else ()),
        )
        arrays = NeighborsChannel(space, num_users=12)
        for user, history in ((-1, [3, 17, 30]), (5, [0, 8]), (2, [11])):
            batch = _one(user, history, weights=np.arange(1, len(history) + 1), excluded=history[:1])
            expected = arrays.recall(batch, 40)
            walk = Neo4jWalk(store, self.ITEMS, weights, Neo4jWalkConfig(hub=20))
            users = [f"n{n:02d}" for n in range(12)]
            live = LiveChannel(by_walking(walk, users), name="neo4j_walk").recall(batch, 40)
            count = int((expected.positions[0] >= 0).sum())
            assert count > 3
            order = np.argsort(expected.positions[0][:count])
            ours = np.argsort(live.positions[0][:count])
            np.testing.assert_array_equal(live.positions[0][:count][ours], expected.positions[0][:count][order])
            np.testing.assert_allclose(live.scores[0][:count][ours], expected.scores[0][:count][order], rtol=1e-4)
            assert (live.positions[0][count:] == -1).all()

    def test_a_mask_is_honoured_by_asking_for_more(self, shop: tuple[Neo4jStore, dict[str, np.ndarray]]) -> None:
        store, _ = shop
        walk = Neo4jWalk(store, self.ITEMS)
        assert isinstance(LiveChannel(by_walking(walk, []), name="x"), Channel)
        mask = np.zeros(40, bool)
        free = LiveChannel(by_walking(walk, []), name="x").recall(_one(-1, [3, 17], excluded=[]), 40).positions[0]
        mask[free[free >= 0][-3:]] = True
        found = LiveChannel(by_walking(walk, []), name="x").recall(_one(-1, [3, 17], excluded=[], mask=mask), 2).positions[0]
        assert (found >= 0).all()
        assert mask[found].all()
        assert (LiveChannel(by_walking(walk, []), name="x").recall(_one(-1, [], excluded=[]), 2).positions == -1).all()

    def test_newest_edges_count_at_once(self, shop: tuple[Neo4jStore, dict[str, np.ndarray]]) -> None:
        store, _ = shop
        walk = Neo4jWalk(store, self.ITEMS, {"MADE_BY": 1.0})
        store.upsert_nodes("Brand", pa.array(["new"]), {})
        before = walk.search(np.array([3], np.int32), np.ones(1, np.float32), np.array([3], np.int32), 40)[0]
        store.upsert_edges("MADE_BY", pa.array(["i03", "i04"]), pa.array(["new", "new"]), {})
        after = walk.search(np.array([3], np.int32), np.ones(1, np.float32), np.array([3], np.int32), 40)[0]
        assert set(after.tolist()) == {*before.tolist(), 4}

    def test_relations_that_cannot_be_walked(self, shop: tuple[Neo4jStore, dict[str, np.ndarray]]) -> None:
        for relations in ({"SEQUEL": 1.0}, {"MADE_BY": 0.0}):
            with pytest.raises(ConfigError, match=next(iter(relations))):
                Neo4jWalk(shop[0], self.ITEMS, relations)
        with pytest.raises(SchemaError, match="MADE_BY"):
            Neo4jWalk(shop[0], self.ITEMS, {"MADE_BI": 1.0})


def _one(user: int, history: list[int], *, excluded: list[int], weights: np.ndarray | None = None, mask=None) -> QueryBatch:  # type: ignore[no-untyped-def]
    given = np.ones(len(history)) if weights is None else weights
    return QueryBatch(
        num_items=40,
        user_pos=np.array([user]),
        history_indptr=np.array([0, len(history)]),
        history_pos=np.array(history, np.int32),
        history_weight=given.astype(np.float32),
        exclude_indptr=np.array([0, len(excluded)]),
        exclude_pos=np.array(sorted(excluded), np.int32),
        mask=mask,
    )
