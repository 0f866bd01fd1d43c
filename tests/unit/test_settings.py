"""Settings say what is wrong in our words, wherever the mistake lies."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from kgrecall.errors import ConfigError
from kgrecall.settings import Settings


class Inner(Settings):
    depth: int = Field(default=3, ge=1)


class Outer(Settings):
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()
    rate: float


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rate": 1, "ratee": 2}, r"Outer\.ratee.*Did you mean 'rate'"),
        ({"rate": "fast"}, r"Outer\.rate.*valid number.*'fast'"),
        ({}, r"Outer\.rate.*nothing"),
        ({"rate": 1, "inner": {"dept": 1}}, r"Inner\.dept.*Did you mean 'depth'"),
        ({"rate": 1, "parts": [{"depth": 0}]}, r"Inner\.depth.*greater than or equal to 1.*got 0"),
    ],
)
def test_a_mistake_is_named_with_its_place(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Outer.model_validate(values)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(Exception, match="frozen"):
        Outer(rate=1).rate = 2  # type: ignore[misc]


def test_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("rate = 1\n[inner]\ndepht = 1\n")
    with pytest.raises(ConfigError, match=r"s\.toml: Inner\.depht.*Did you mean 'depth'"):
        Outer.load(path)
    path.write_text("rate = 2.5\n")
    assert Outer.load(path).rate == 2.5
