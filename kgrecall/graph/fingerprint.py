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


def add_column(digest: Digest, array: pa.Array) -> None:
    """Type, nulls and values of an Arrow array of one of ``ARROW_TYPES``."""
    add_text(digest, f"{array.type} {len(array)}")
    add_numbers(digest, np.packbits(array.is_null().to_numpy(zero_copy_only=False)))
    values = array.drop_null()
    if pa.types.is_string(array.type):
        add_numbers(digest, pc.binary_length(values).to_numpy(zero_copy_only=False))
        digest.update(_string_bytes(values))
    elif pa.types.is_list(array.type):
        add_numbers(digest, pc.list_value_length(values).to_numpy(zero_copy_only=False))
        add_column(digest, values.flatten())
    else:
        add_numbers(digest, values.to_numpy(zero_copy_only=False))


def _string_bytes(values: pa.StringArray) -> memoryview | bytes:
    """The UTF-8 bytes of all strings on end, without a copy. The array has no nulls."""
    if len(values) == 0:
        return b""
    _, offsets, data = values.buffers()
    bounds = np.frombuffer(offsets, np.int32, count=len(values) + 1, offset=4 * values.offset)
    return memoryview(data)[int(bounds[0]) : int(bounds[-1])] if data is not None else b""
