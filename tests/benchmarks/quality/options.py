"""What several benchmarks read from the command line in the same way."""

from __future__ import annotations

from collections.abc import Collection

from kgrecall.errors import ConfigError, nearest


def names_in(text: str, known: Collection[str], option: str) -> list[str]:
    """Names with commas between them.

    Raises:
        ConfigError: one that is not known; names the nearest.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise ConfigError(option, expected="known names", got=name, remedy=nearest(name, known))
    return names
