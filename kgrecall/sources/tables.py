"""What readers hand to the store: validated, typed columns that still know the rows they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kgrecall.schema import PropertyType

ARROW_TYPES: Mapping[PropertyType, pa.DataType] = {
    "string": pa.string(),
    "text": pa.string(),
    "image": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.int64(),
    "strings": pa.list_(pa.string()),
    "numbers": pa.list_(pa.float32()),
}
"""The Arrow type of every property type, the same in sources, stores and snapshots."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the rows of a batch stood: the file, and one row number (from 1, the header is not a row) per record."""

    file: str
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NodeBatch:
    """Records of one label. ``keys`` string (n,) without nulls; ``columns`` property -> array (n,) of ARROW_TYPES."""

    label: str
    keys: pa.StringArray
    columns: Mapping[str, pa.Array]
    origin: Origin

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class EdgeBatch:
    """Records of one relation. ``sources`` and ``targets`` string (n,) without nulls; ``columns`` as in NodeBatch.

    ``create_source`` / ``create_target``: end nodes that the store does not hold are created instead of quarantined.
    """

    edge_type: str
    sources: pa.StringArray
    targets: pa.StringArray
    columns: Mapping[str, pa.Array]
    origin: Origin
    create_source: bool = False
    create_target: bool = False

    def __len__(self) -> int:
        return len(self.sources)


Batch = NodeBatch | EdgeBatch
