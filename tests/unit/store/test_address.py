"""What of an address may be shown."""

from __future__ import annotations

import pytest

from kgrecall.store.address import without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("neo4j://localhost:7687", "neo4j://localhost:7687"),
        ("bolt://ann:sesame@db.example:7687/films", "bolt://db.example:7687/films"),
        ("neo4j+s://ann:p%40ss@db.example", "neo4j+s://db.example"),
        ("bolt://ann:p@ss@db.example", "bolt://db.example"),
        ("neo4j", "neo4j"),
        ("data/a@b.sqlite", "data/a@b.sqlite"),
    ],
)
def test_user_and_password_are_left_out(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
