"""The cache of vectors: what is encoded, what is found, what survives a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kgrecall.encode.cache import encode_cached, encoding_seconds
from kgrecall.encode.hashing import HashingConfig, HashingEncoder
from kgrecall.errors import ConfigError, ShapeError

TEXTS = [f"film {i} about {i * 7919 % 1000}" for i in range(50)]


class Counting(HashingEncoder):
    """Remembers which texts it was asked for."""

    def __init__(self, config: HashingConfig | None = None) -> None:
        super().__init__(config)
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += list(texts)
        return super().encode(texts)


def test_only_what_is_missing_is_encoded(tmp_path: Path) -> None:
    expected = HashingEncoder().encode(TEXTS)
    first = encode_cached(Counting(), TEXTS[:30], tmp_path, shard_texts=7)
    assert (first.hits, first.encoded) == (0, 30)
    encoder = Counting()
    second = encode_cached(encoder, [*TEXTS, TEXTS[0], TEXTS[40]], tmp_path, shard_texts=7)
    assert (second.hits, second.encoded) == (31, 20)
    assert sorted(encoder.asked) == sorted(TEXTS[30:])
    np.testing.assert_array_equal(second.vectors, expected[[*range(50), 0, 40]])
    third = encode_cached(Counting(), TEXTS[::-1], tmp_path)
    assert (third.hits, third.encoded) == (50, 0)
    np.testing.assert_array_equal(third.vectors, expected[::-1])


def test_how_long_it_will_take_is_told_by_what_is_missing(tmp_path: Path) -> None:
    class Slow(Counting):
        def encode(self, texts: Sequence[str]) -> np.ndarray:
            time.sleep(0.002 * len(texts))
            return super().encode(texts)

    encode_cached(HashingEncoder(), TEXTS[:30], tmp_path)
    encoder, repeated = Slow(), [*TEXTS, *TEXTS]
    assert 0.04 <= encoding_seconds(encoder, repeated, tmp_path) < 1
    assert set(encoder.asked) == set(TEXTS[30:])
    encode_cached(HashingEncoder(), TEXTS, tmp_path)
    assert encoding_seconds(Slow(), repeated, tmp_path) == 0
    assert encoding_seconds(Slow(), [], tmp_path) == 0


def test_no_texts(tmp_path: Path) -> None:
    assert encode_cached(HashingEncoder(), [], tmp_path).vectors.shape == (0, 256)
    encode_cached(HashingEncoder(), TEXTS, tmp_path)
    assert encode_cached(HashingEncoder(), [], tmp_path).hits == 0


def test_encoders_do_not_share_vectors(tmp_path: Path) -> None:
    encode_cached(HashingEncoder(), TEXTS, tmp_path)
    other = HashingEncoder(HashingConfig(ngrams=(2,)))
    answer = encode_cached(other, TEXTS, tmp_path)
    assert answer.hits == 0
    np.testing.assert_array_equal(answer.vectors, other.encode(TEXTS))

    class Revised(HashingEncoder):
        revision = "2"

    assert encode_cached(Revised(), TEXTS, tmp_path).hits == 0
    assert len(list(tmp_path.glob("*/encoder.json"))) == 3


def test_texts_that_differ_by_one_character_do_not_meet(tmp_path: Path) -> None:
    encode_cached(HashingEncoder(), ["alpha", "Alpha ", "\ud800"], tmp_path)
    assert encode_cached(HashingEncoder(), ["Alpha", "alpha ", "\ud801"], tmp_path).hits == 0


def test_progress_counts_distinct_texts(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    encode_cached(HashingEncoder(), TEXTS[:10], tmp_path)
    encode_cached(HashingEncoder(), [*TEXTS[:25], TEXTS[3]], tmp_path, lambda *args: seen.append(args), shard_texts=10)
    assert seen == [("encode", 10, 25), ("encode", 20, 25), ("encode", 25, 25)]


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.shard"))


@pytest.mark.parametrize("left", [0, 5, 90, 300, 2000, -1])
def test_torn_shards_are_passed_over(tmp_path: Path, left: int) -> None:
    encode_cached(HashingEncoder(), TEXTS, tmp_path, shard_texts=10)
    torn = _shards(tmp_path)[2]
    torn.write_bytes(torn.read_bytes()[:left])
    answer = encode_cached(HashingEncoder(), TEXTS, tmp_path)
    assert (answer.hits, answer.encoded) == (40, 10)
    np.testing.assert_array_equal(answer.vectors, HashingEncoder().encode(TEXTS))


def test_shards_of_another_width_are_passed_over(tmp_path: Path) -> None:
    encode_cached(HashingEncoder(HashingConfig(dim=8)), TEXTS, tmp_path)
    encode_cached(HashingEncoder(), TEXTS, tmp_path)
    wide, narrow = sorted(_shards(tmp_path), key=lambda file: -file.stat().st_size)
    wide.write_bytes(narrow.read_bytes())
    assert encode_cached(HashingEncoder(), TEXTS, tmp_path).hits == 0


def test_old_halves_are_swept_and_young_ones_left_to_their_writers(tmp_path: Path) -> None:
    encode_cached(HashingEncoder(), TEXTS[:1], tmp_path)
    home = _shards(tmp_path)[0].parent
    old, young = home / "a.shard.1.part", home / "b.shard.2.part"
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    encode_cached(HashingEncoder(), TEXTS[:2], tmp_path)
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize(
    "answer",
    [
        np.full((2, 256), np.nan, np.float32),
        np.zeros((1, 256), np.float32),
        np.zeros((2, 255), np.float32),
        np.zeros((2, 256)),
    ],
)
def test_what_a_broken_encoder_returns_is_not_stored(tmp_path: Path, answer: np.ndarray) -> None:
    class Broken(HashingEncoder):
        def encode(self, texts: Sequence[str]) -> np.ndarray:
            return answer

    with pytest.raises(ShapeError, match="hashing"):
        encode_cached(Broken(), ["a", "b"], tmp_path)
    assert _shards(tmp_path) == []


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match=r"cache .*file.*Free space or choose another folder"):
        encode_cached(HashingEncoder(), TEXTS, tmp_path / "file")


def test_threads_fill_and_read_one_cache(tmp_path: Path) -> None:
    expected = HashingEncoder().encode(TEXTS)

    def work(seed: int) -> bool:
        rows = np.random.default_rng(seed).permutation(50)
        answer = encode_cached(HashingEncoder(), [TEXTS[i] for i in rows], tmp_path, shard_texts=3)
        return np.array_equal(answer.vectors, expected[rows])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


_CHILD = """
import sys
from pathlib import Path
from kgrecall.encode.cache import encode_cached
from kgrecall.encode.hashing import HashingEncoder
texts = [f"text number {i} " * 5 for i in range(30000)]
encode_cached(HashingEncoder(), texts, Path(sys.argv[1]), lambda stage, done, total: print(done, flush=True), shard_texts=100)
"""


@pytest.mark.parametrize("after", [1, 4, 11])
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, after: int) -> None:
    """kill -9 at an arbitrary moment: every shard that was reported is found, and nothing wrong is."""
    with subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(after + 1):
            reported = int(child.stdout.readline())
        time.sleep(0.003 * after)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    texts = [f"text number {i} " * 5 for i in range(30000)]
    part = sorted(texts, key=len)[: reported + 200]
    answer = encode_cached(HashingEncoder(), part, tmp_path)
    assert reported <= answer.hits <= len(part)
    assert answer.hits + answer.encoded == len(part)
    np.testing.assert_array_equal(answer.vectors, HashingEncoder().encode(part))


def test_neither_cache_nor_hashing_imports_torch() -> None:
    code = "import sys, kgrecall.encode.cache, kgrecall.encode.hashing; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
