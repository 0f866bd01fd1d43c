"""Vectors of texts on disk, so that no text is encoded twice.

A cache folder holds one folder per encoder (name, revision and settings, hashed together) with shards. A shard is written
beside, synced and renamed, and never changes afterwards: whoever is killed loses at most the texts of one shard, readers need
no lock, and several processes may fill one cache (texts that two of them encode at once are merely stored twice).

A shard is two arrays in NumPy's own format, one behind the other: the sha256 of each text, uint8 (m, 32), and the vectors,
float32 (m, dim).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrecall.encode.base import Encoder, check_texts
from kgrecall.errors import ConfigError, ShapeError, Shown
from kgrecall.types import FloatArray, IntArray, Progress, no_progress

_SHARD_TEXTS = 2048
_TIMED_TEXTS = 128
_ABANDONED_SECONDS = 3600.0
_Keys = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What :func:`encode_cached` did: ``vectors`` float32 (n, dim), one row per text; how many texts were found in the cache
    and how many distinct texts had to be encoded."""

    vectors: FloatArray
    hits: int
    encoded: int


def encode_cached(
    encoder: Encoder,
    texts: Sequence[str],
    folder: Path,
    progress: Progress = no_progress,
    *,
    shard_texts: int = _SHARD_TEXTS,
) -> Encoded:
    """The vectors of all texts; only those that the cache lacks are encoded, and stored every ``shard_texts`` texts.

    Raises:
        ConfigError: a text is no string, or the folder cannot be used.
        ShapeError: the encoder returned something else than finite float32 (n, dim).
    """
    texts = check_texts(texts)
    distinct = list(dict.fromkeys(texts))
    home = _home(encoder, folder)
    keys = _keys(distinct)
    vectors = np.empty((len(distinct), encoder.dim), np.float32)
    missing = _fill(vectors, keys, home)
    hits, done = len(texts), len(distinct) - len(missing)
    if len(missing):
        lacking = {distinct[i] for i in missing}
        hits = sum(text not in lacking for text in texts)
    progress("encode", done, len(distinct))
    # Texts of like length share a shard: an encoder that pads a batch to its longest text wastes little.
    by_length = missing[np.argsort([len(distinct[i]) for i in missing], kind="stable")]
    for start in range(0, len(by_length), shard_texts):
        rows = by_length[start : start + shard_texts]
        vectors[rows] = _checked(encoder, [distinct[i] for i in rows])
        _write_shard(home, keys[rows], vectors[rows])
        done += len(rows)
        progress("encode", done, len(distinct))
    position = {text: i for i, text in enumerate(distinct)}
    order = np.fromiter((position[text] for text in texts), np.intp, len(texts))
    return Encoded(vectors if len(distinct) == len(texts) else vectors[order], hits, len(missing))


def encoding_seconds(encoder: Encoder, texts: Sequence[str], folder: Path) -> float:
    """About how long :func:`encode_cached` will take, by some of the texts that the cache lacks; 0 where it has all of them."""
    distinct = list(dict.fromkeys(check_texts(texts)))
    keys = _keys(distinct)
    missing = _fill(np.empty((len(distinct), encoder.dim), np.float32), keys, _home(encoder, folder))
    if not len(missing):
        return 0.0
    some = [distinct[i] for i in missing[:: max(1, len(missing) // _TIMED_TEXTS)][:_TIMED_TEXTS]]
    encoder.encode(some[:1])  # what is done once
    started = time.perf_counter()
    encoder.encode(some)
    return (time.perf_counter() - started) * len(missing) / len(some)


def _home(encoder: Encoder, folder: Path) -> Path:
    """The folder of this encoder; it says in ``encoder.json`` whose vectors these are."""
    identity = {"name": encoder.name, "revision": encoder.revision, "dim": encoder.dim, "settings": encoder.settings}
    text = json.dumps(identity, sort_keys=True, indent=1)
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", encoder.name)[-60:].strip("-.")
    home = folder / f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(home, error) from error
    if not (home / "encoder.json").exists():
        _write_beside(home / "encoder.json", [text.encode()])
    return home


def _keys(texts: list[str]) -> _Keys:
    digests = b"".join(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts)
    return np.frombuffer(digests, np.uint8).reshape(-1, 32)


def _fill(vectors: FloatArray, keys: _Keys, home: Path) -> IntArray:
    """Copy what the cache holds into ``vectors``; the rows that it does not hold, ascending."""
    lacking = np.ones(len(keys), np.bool_)
    short = _short(keys)
    order = np.argsort(short)
    for shard_keys, shard_vectors in _shards(home, vectors.shape[1]):
        at = np.searchsorted(short, _short(shard_keys), sorter=order)
        row = order[np.minimum(at, len(order) - 1)] if len(order) else order
        same = np.flatnonzero((keys[row] == shard_keys).all(axis=1)) if len(row) else row
        vectors[row[same]] = shard_vectors[same]
        lacking[row[same]] = False
    return np.flatnonzero(lacking).astype(np.int64)


def _short(keys: _Keys) -> NDArray[np.uint64]:
    """The first 8 bytes of each key: sorts fast; whole keys are compared afterwards."""
    return np.ascontiguousarray(keys[:, :8]).view("<u8").ravel().astype(np.uint64)


def _shards(home: Path, dim: int) -> Iterator[tuple[_Keys, FloatArray]]:
    """Keys and memory-mapped vectors of every shard. A file that is no whole shard is passed over, as if it were not there."""
    for file in sorted(home.glob("*.shard")):
        try:
            with file.open("rb") as stream:
                keys = np.lib.format.read_array(stream)
                version = np.lib.format.read_magic(stream)
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
                whole = version == (1, 0) and not fortran and dtype == np.float32 and keys.dtype == np.uint8
                if not whole or keys.shape != (len(keys), 32) or shape != (len(keys), dim):
                    continue
                yield keys, np.memmap(file, np.float32, "r", stream.tell(), shape)
        except (OSError, ValueError, EOFError):
            continue


def _checked(encoder: Encoder, texts: list[str]) -> FloatArray:
    vectors = encoder.encode(texts)
    expected = (len(texts), encoder.dim)
    if vectors.shape != expected or vectors.dtype != np.float32 or not np.isfinite(vectors).all():
        raise ShapeError(
            f"vectors of encoder {encoder.name!r}",
            expected=f"finite float32 values of shape {expected}",
            got=(str(vectors.dtype), vectors.shape),
            remedy="Correct the encoder: what it returns would be stored.",
        )
    return vectors


def _write_shard(home: Path, keys: _Keys, vectors: FloatArray) -> None:
    _sweep(home)
    _write_beside(home / f"{uuid.uuid4().hex}.shard", [keys, vectors])


def _write_beside(file: Path, parts: Sequence[NDArray[np.generic] | bytes]) -> None:
    """Write under another name, sync, rename: the file is there as a whole or not at all, whatever happens."""
    beside = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    try:
        with beside.open("wb") as stream:
            for part in parts:
                if isinstance(part, bytes):
                    stream.write(part)
                else:
                    np.lib.format.write_array(stream, part, version=(1, 0), allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise _unwritable(file, error) from error


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cache {path}",
        expected="a folder that can be written, with space for the vectors",
        got=Shown(error.strerror or str(error)),
        remedy="Free space or choose another folder.",
    )


def _sweep(home: Path) -> None:
    """Delete what killed processes left half-written long ago."""
    for file in home.glob("*.part"):
        try:
            if time.time() - file.stat().st_mtime > _ABANDONED_SECONDS:
                file.unlink()
        except FileNotFoundError:  # another process was faster
            continue
