"""A hand-drawn graph of films: six films, two directors, three genres, a sequel, three users."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.sparse import csr_array

from kgrecall.graph.knowledge import Incidence
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.index.base import ExactIndex
from kgrecall.recall.base import Naming
from kgrecall.recall.channels.attributes import AttributesChannel, build_attribute_similarity
from kgrecall.recall.channels.item_knn import ItemKnnChannel, build_item_knn
from kgrecall.recall.channels.node_space import NodeSpace, build_node_space
from kgrecall.recall.channels.popularity import PopularityChannel, item_popularity
from kgrecall.recall.channels.text import TextChannel
from kgrecall.recall.channels.vector import normalised
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.explaining.explain import Names, items_beside
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.histories import Histories
from kgrecall.types import FloatArray, Interactions

FILMS = ["alien", "aliens", "blade_runner", "et", "jaws", "unseen"]
TITLES = ["Alien", "Aliens", "Blade Runner", "E.T.", "Jaws", None]
WORDS = ["space", "monster", "robot", "shark", "child"]
TEXTS = ["space monster", "space monster", "robot", "space child", "monster shark", ""]


def _matrix(edges: list[tuple[int, int]], num_columns: int) -> csr_array:
    rows, columns = zip(*edges, strict=True)
    return csr_array((np.ones(len(edges), np.float32), (rows, columns)), shape=(len(FILMS), num_columns))


def encode_words(texts: Sequence[str]) -> FloatArray:
    """How often each word occurs, as unit vectors."""
    return normalised(np.array([[text.split().count(word) for word in WORDS] for text in texts], np.float32))


@pytest.fixture
def naming() -> Naming:
    return Naming("User", "Film", "WATCHED")


@pytest.fixture
def incidences() -> tuple[Incidence, ...]:
    """m.1 directed Alien and Blade Runner; m.2 E.T., Jaws and the one unseen; Aliens follows Alien."""
    return (
        Incidence("film.film.directed_by", "Person", _matrix([(0, 0), (2, 0), (3, 1), (4, 1), (5, 1)], 2), reverse=False),
        Incidence("HAS_GENRE", "Genre", _matrix([(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)], 3), reverse=False),
        Incidence("sequel", "Film", _matrix([(0, 1)], len(FILMS)), reverse=False),
    )


@pytest.fixture
def space(incidences: tuple[Incidence, ...], naming: Naming) -> NodeSpace:
    return build_node_space(incidences, naming=naming)


@pytest.fixture
def watched() -> Interactions:
    """ann: Alien, Aliens; bob: Alien, Blade Runner, Jaws; eve: nothing."""
    user, item = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 2, 4])
    return Interactions(user, item, np.ones(5, np.float32), np.arange(5), 3, len(FILMS))


@pytest.fixture
def names(incidences: tuple[Incidence, ...]) -> Names:
    vocabularies = {
        "User": Vocabulary(["ann", "bob", "eve"]),
        "Film": Vocabulary(FILMS),
        "Person": Vocabulary(["m.1", "m.2"]),
        "Genre": Vocabulary(["horror", "science fiction", "thriller"]),
    }
    return Names(vocabularies, {"Film": TITLES, "Person": ["Ridley Scott", None]}, items_beside(incidences))


@pytest.fixture
def engine(watched: Interactions, space: NodeSpace, names: Names, naming: Naming) -> RecallEngine:
    texts = encode_words(TEXTS)
    channels = [
        ItemKnnChannel(build_item_knn(watched), naming=naming),
        AttributesChannel(build_attribute_similarity(space), space),
        TextChannel(ExactIndex(texts), texts, naming=naming),
        PopularityChannel(item_popularity(watched), naming=naming),
    ]
    return RecallEngine(
        names.vocabularies["User"],
        names.vocabularies["Film"],
        channels,
        FusionConfig(),
        Histories.of(watched),
        encode_text=encode_words,
        names=names,
        naming=naming,
    )
