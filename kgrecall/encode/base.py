"""The contract of every text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError
from kgrecall.types import FloatArray


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors whose inner product is their similarity.

    ``name``, ``revision`` and ``settings`` together say which function this is: two encoders that agree in all three give
    the same vectors (up to rounding) in every process, so that vectors can be cached under them.
    """

    @property
    def name(self) -> str:
        """What it is called: a model's id, a folder's name."""
        ...

    @property
    def revision(self) -> str:
        """Which version of it: a commit, or a hash of the weights."""
        ...

    @property
    def settings(self) -> str:
        """Everything else that changes the vectors, as canonical JSON."""
        ...

    @property
    def dim(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """One row per text, float32 (n, dim), of length 1; a text without any character but spaces gets a zero row.

        Raises:
            ConfigError: ``texts`` is one string, or holds something else than strings.
        """
        ...


def check_texts(texts: Sequence[str]) -> list[str]:
    """The texts as a list; ConfigError names the first that is no string."""
    if isinstance(texts, str):
        raise ConfigError("texts", expected="a sequence of strings", got=texts, remedy="Put a single text into a list.")
    checked = list(texts)
    for row, text in enumerate(checked):
        if not isinstance(text, str):
            raise ConfigError(
                f"texts, row {row}", expected="a string", got=text, remedy="Pass an empty string where there is no text."
            )
    return checked


def normalised(vectors: NDArray[np.floating[Any]]) -> FloatArray:
    """Rows scaled to length 1, float32; zero rows stay zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1
    return np.asarray(vectors / lengths[:, None], np.float32)
