"""The hashing encoder against a plain second implementation of the same features."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrecall.encode.hashing import HashingConfig, HashingEncoder
from kgrecall.errors import ConfigError

TEXT = st.text(alphabet="abcdeÄß é東\t ", max_size=30)


def features(text: str, ngrams: tuple[int, ...]) -> Counter[tuple[int, str]]:
    """Words (size 0) and the n-grams inside every word with its two spaces, by a plain loop."""
    words = unicodedata.normalize("NFKC", text).casefold().split()
    found: Counter[tuple[int, str]] = Counter((0, word) for word in words)
    for n in ngrams:
        joined = f" {' '.join(words)} "
        for i in range(len(joined) - n + 1):
            gram = joined[i : i + n]
            if gram.strip() and " " not in gram[1:-1]:
                found[n, gram] += 1
    return found


@settings(max_examples=80, deadline=None)
@given(TEXT, TEXT, st.sampled_from([(1,), (2,), (1, 3), (3, 4, 5)]))
def test_inner_product_is_the_overlap_of_features(a: str, b: str, ngrams: tuple[int, ...]) -> None:
    """With a very long vector collisions are gone, and the cosine is that of the feature counts."""
    vectors = HashingEncoder(HashingConfig(dim=1 << 20, ngrams=ngrams)).encode([a, b])
    mine, other = features(a, ngrams), features(b, ngrams)
    lengths = np.sqrt(sum(c * c for c in mine.values()) * sum(c * c for c in other.values()))
    expected = sum(mine[f] * other[f] for f in mine) / lengths if lengths else 0.0
    # Two of at most some hundred features meet in one of a million places once in a thousand examples.
    assert vectors[0] @ vectors[1] == pytest.approx(expected, abs=0.05)


def random_words(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 7)) for _ in range(count)]


def test_short_vectors_estimate_without_bias() -> None:
    """The signs cancel collisions: unrelated texts have an inner product around 0, not above it."""
    words = random_words(600)
    vectors = HashingEncoder(HashingConfig(dim=64)).encode(words)
    products = (vectors[:300] * vectors[300:]).sum(axis=1)
    assert abs(products.mean()) < 0.03
    assert products.std() < 0.2


def test_every_place_is_used() -> None:
    used = (HashingEncoder(HashingConfig(dim=100)).encode(random_words(600)) != 0).mean(axis=0)
    assert used.min() > 0.5 * used.mean()
    assert used.max() < 2 * used.mean()


def test_the_same_vectors_in_another_process() -> None:
    code = (
        "from kgrecall.encode.hashing import HashingEncoder; import hashlib;"
        "print(hashlib.sha256(HashingEncoder().encode(['Das Boot', 'Amélie 2001']).tobytes()).hexdigest())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_case_and_unicode_form_do_not_matter() -> None:
    a, b, c = HashingEncoder().encode(["STRASSE  Café", "straße Cafe\u0301", "strasse\ncafé"])
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, c)


def test_long_texts_are_cut_into_blocks_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"film number {i} " * (i % 9) for i in range(200)]
    whole = HashingEncoder().encode(texts)
    monkeypatch.setattr("kgrecall.encode.hashing._BLOCK_VALUES", 700)
    np.testing.assert_array_equal(HashingEncoder().encode(texts), whole)


def test_settings_tell_configurations_apart() -> None:
    assert HashingEncoder().settings != HashingEncoder(HashingConfig(dim=128)).settings
    assert HashingEncoder(HashingConfig(ngrams=(5, 3, 3))).settings == HashingEncoder(HashingConfig(ngrams=(3, 5))).settings
    for wrong in ({"dim": 0}, {"ngrams": (0, 3)}, {"n_grams": (3,)}):
        with pytest.raises(ConfigError):
            HashingConfig.model_validate(wrong)
