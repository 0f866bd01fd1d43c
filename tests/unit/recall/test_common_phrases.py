from __future__ import annotations

from itertools import product

import pytest

from kgrecall.recall.explaining.common_phrases import common_phrases


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("A space monster hunts the crew", "The Space Monster returns to hunt a crew", ["space monster", "crew"]),
        ("waterproof two-person tent", "a tent for two, waterproof", ["waterproof", "tent"]),
        ("The king of the north", "king of the north and of the sea", ["king of the north"]),
        ("太空怪物追杀船员", "又见太空怪物", ["太空怪物"]),
        ("of the and", "of the and", []),
        ("", "anything", []),
        ("alone", "together", []),
        ("1999 2001", "1999 2001", ["1999 2001"]),
    ],
)
def test_what_two_texts_share(first: str, second: str, expected: list[str]) -> None:
    assert common_phrases(first, second) == expected


def test_no_more_than_asked_for() -> None:
    assert common_phrases("red shoe, blue hat", "blue hat, red shoe", limit=1) == ["red shoe"]


def test_long_texts_are_compared_as_far_as_phrases_are_wanted() -> None:
    words = ["".join(letters) for letters in product("bcdfgh", repeat=5)]
    assert common_phrases(" ".join(words), " ".join(words)) == [" ".join(words[i : i + 5]) for i in (0, 1)]
