from __future__ import annotations

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
