from __future__ import annotations

import pytest

from kgrecall.recall.explaining.phrases import past_tense, sharing, words_of


@pytest.mark.parametrize(
    ("relation", "words"),
    [
        ("film.film.directed_by", "directed by"),
        ("HAS_GENRE", "genre"),
        ("^HAS_GENRE", "genre"),
        ("hasBrand", "brand"),
        ("is-part-of", "part of"),
        ("HAS", "has"),
        ("also_bought", "also bought"),
    ],
)
def test_relations_as_words(relation: str, words: str) -> None:
    assert words_of(relation) == words


@pytest.mark.parametrize(
    ("relation", "verb"), [("RATED", "rated"), ("LISTENED_TO", "listened to"), ("BOUGHT", "bought"), ("VIEW", "chose")]
)
def test_what_a_user_did(relation: str, verb: str) -> None:
    assert past_tense(relation) == verb


def test_sharing_a_node() -> None:
    assert sharing("film.film.directed_by", "Ridley Scott") == "both directed by Ridley Scott"
    assert sharing("^HAS_GENRE", "Drama") == "same genre (Drama)"
