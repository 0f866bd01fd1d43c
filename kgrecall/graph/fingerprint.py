"""A content hash of arrays that does not depend on chunks, slices, padding or what lies under a null."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


class Digest(Protocol):
    """The part of a ``hashlib`` object that is used here."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def new_digest(kind: str) -> Digest:
    """SHA-256, begun with what is hashed, so that equal bytes of two kinds differ."""
    digest = hashlib.sha256()
    add_text(digest, kind)
    return digest


def add_text(digest: Digest, text: str) -> None:
    data = text.encode("utf-8")
    digest.update(len(data).to_bytes(8, "little"))
    digest.update(data)


def add_numbers(digest: Digest, array: NDArray[Any]) -> None:
    """Dtype, length and the bytes of a one-dimensional numpy array, little endian."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    add_text(digest, f"{little.dtype.str} {len(little)}")
    digest.update(little.data.cast("B") if len(little) else b"")


def add_column(digest: Digest, column: pa.Array | pa.ChunkedArray) -> None:
    """Type, nulls and values of a column of one of ``ARROW_TYPES``, the same however it is cut into chunks."""
    add_text(digest, f"{column.type} {len(column)}")
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    chunks = chunks or [pa.array([], column.type)]
    add_numbers(digest, np.packbits(np.concatenate([chunk.is_null().to_numpy(zero_copy_only=False) for chunk in chunks])))
    values = [chunk.drop_null() for chunk in chunks]
    if pa.types.is_string(column.type):
        add_numbers(digest, np.concatenate([pc.binary_length(part).to_numpy(zero_copy_only=False) for part in values]))
        for part in values:
            digest.update(_string_bytes(part))
    elif pa.types.is_list(column.type):
        add_numbers(digest, np.concatenate([pc.list_value_length(part).to_numpy(zero_copy_only=False) for part in values]))
        add_column(digest, pa.chunked_array([part.flatten() for part in values]))
    else:
        add_numbers(digest, np.concatenate([part.to_numpy(zero_copy_only=False) for part in values]))


def _string_bytes(values: pa.StringArray) -> memoryview | bytes:
    """The UTF-8 bytes of all strings on end, without a copy. The array has no nulls."""
    if len(values) == 0:
        return b""
    _, offsets, data = values.buffers()
    bounds = np.frombuffer(offsets, np.int32, count=len(values) + 1, offset=4 * values.offset)
    return memoryview(data)[int(bounds[0]) : int(bounds[-1])] if data is not None else b""
