"""Text vectors without a model: hashed character n-grams.

A text is the bag of its words and of the character n-grams inside them; every feature adds +1 or -1 to one of ``dim``
places, both chosen by a hash: phi_i(x) = sum over features f with h(f) = i of sign(f). The sign makes the inner product an
unbiased estimate of the one without collisions: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning",
ICML 2009 (arXiv:0902.2206). Texts that share word stems, names or misspellings meet; synonyms do not.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from kgrecall.encode.base import check_texts, normalised
from kgrecall.settings import Settings
from kgrecall.types import FloatArray

_BASE = np.uint64(0x9E3779B97F4A7C15)
_BLOCK_VALUES = 1 << 21
_Words = NDArray[np.uint64]


class HashingConfig(Settings):
    """How texts become hashed features."""

    dim: int = Field(256, ge=1)
    """Length of a vector; collisions fall with it."""
    ngrams: tuple[int, ...] = (3, 4, 5)
    """Lengths of the character n-grams, in characters; a word counts with one space before and after it. Use (1, 2, 3) for
    scripts that write no spaces."""

    @field_validator("ngrams")
    @classmethod
    def _positive(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if min(sizes, default=1) < 1:
            raise ValueError("every n-gram must have at least 1 character")
        return tuple(sorted(set(sizes)))


class HashingEncoder:
    """Deterministic text vectors in any dimension, the same in every process and on every machine."""

    revision = "1"

    def __init__(self, config: HashingConfig | None = None) -> None:
        self.config = config or HashingConfig()

    @property
    def name(self) -> str:
        return "hashing"

    @property
    def settings(self) -> str:
        return self.config.model_dump_json()

    @property
    def dim(self) -> int:
        return self.config.dim

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """See :meth:`~kgrecall.encode.base.Encoder.encode`."""
        texts = check_texts(texts)
        vectors = np.zeros((len(texts), self.dim), np.float32)
        start = 0
        for stop in _blocks(texts, max(1, _BLOCK_VALUES // self.dim)):
            vectors[start:stop] = normalised(self._counts(texts[start:stop]))
            start = stop
        return vectors

    def _counts(self, texts: list[str]) -> NDArray[np.float64]:
        """Signed counts per text and place, (len(texts), dim)."""
        padded = [f" {' '.join(_folded(text).split())} " for text in texts]
        characters = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        row = np.repeat(np.arange(len(texts)), [len(text) for text in padded])
        space = characters == ord(" ")
        counts = np.zeros(len(texts) * self.dim)
        for starts, hashes in [_words(characters, space), *(_ngrams(characters, space, n) for n in self.config.ngrams)]:
            place = (hashes % np.uint64(self.dim)).astype(np.intp)
            sign = np.where(hashes >> np.uint64(63), 1.0, -1.0)
            counts += np.bincount(row[starts] * self.dim + place, sign, len(counts))
        return counts.reshape(len(texts), self.dim)


def _blocks(texts: list[str], most_rows: int) -> Iterator[int]:
    """Where to cut the texts, so that a block has few rows and few characters."""
    rows = characters = 0
    for stop, text in enumerate(texts, 1):
        rows, characters = rows + 1, characters + len(text)
        if rows == most_rows or characters >= _BLOCK_VALUES or stop == len(texts):
            yield stop
            rows = characters = 0


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _words(characters: _Words, space: NDArray[np.bool_]) -> tuple[NDArray[np.intp], _Words]:
    """Start and hash of every word."""
    edge = np.diff(space.view(np.int8), prepend=np.int8(1), append=np.int8(1))
    starts, ends = np.flatnonzero(edge == -1), np.flatnonzero(edge == 1)
    if not len(starts):
        return starts, np.empty(0, np.uint64)
    lengths = ends - starts
    inside = np.flatnonzero(~space)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    within = np.arange(len(inside)) - np.repeat(first, lengths)
    return starts, _mixed(np.add.reduceat(characters[inside] * _powers(int(lengths.max()))[within], first), salt=0)


def _ngrams(characters: _Words, space: NDArray[np.bool_], n: int) -> tuple[NDArray[np.intp], _Words]:
    """Start and hash of every run of n characters that holds a letter and, between its ends, no space."""
    count = len(characters) - n + 1
    if count <= 0:
        return np.empty(0, np.intp), np.empty(0, np.uint64)
    before = np.concatenate([[0], np.cumsum(space)])
    inner = before[n - 1 : n - 1 + count] - before[1 : 1 + count] if n > 2 else 0
    all_space = before[n:] - before[:count] == n
    starts = np.flatnonzero((inner == 0) & ~all_space)
    hashes = np.zeros(len(starts), np.uint64)
    for offset, power in enumerate(_powers(n)):
        hashes += characters[starts + offset] * power
    return starts, _mixed(hashes, salt=n)


def _powers(n: int) -> _Words:
    return np.cumprod(np.full(n, _BASE, np.uint64), dtype=np.uint64)


def _mixed(hashes: _Words, *, salt: int) -> _Words:
    """The finaliser of splitmix64 (Steele et al., OOPSLA 2014), so that every bit depends on every character."""
    hashes = hashes + np.uint64(salt * 0xD1B54A32D192ED03 % 2**64)
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
