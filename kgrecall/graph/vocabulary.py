"""The one bridge between the user's own string ids and contiguous int positions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kgrecall.errors import CorruptArtifact, ShapeError, UnknownId, nearest
from kgrecall.graph.fingerprint import add_column, new_digest
from kgrecall.types import IntArray

_HINT_WINDOW = 200


class Vocabulary:
    """The ids of one label, distinct and in bytewise order; the position of an id is its rank.

    Because the order follows from the ids alone, two stores that hold the same nodes give the same positions. Immutable, and
    safe to share between threads.

    Args:
        ids: distinct ids in bytewise (UTF-8, that is code point) order; see :meth:`of` for ids in any order.

    Raises:
        ShapeError: an id is null, stands twice, or is out of order.
    """

    def __init__(self, ids: pa.StringArray | Sequence[str]) -> None:
        self.ids: pa.StringArray = _as_strings(ids)
        _check_order(self.ids)

    @classmethod
    def of(cls, ids: Iterable[str]) -> Vocabulary:
        """The vocabulary of ids in any order, each counted once."""
        return cls(pa.array(sorted(set(ids)), pa.string()))

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} ids, {self.fingerprint[:12]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.ids.equals(other.ids)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._positions

    @cached_property
    def _positions(self) -> dict[str, int]:
        return dict(zip(self.ids.to_pylist(), range(len(self.ids)), strict=True))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the ids. Two parts of a model belong together when their fingerprints are equal."""
        digest = new_digest("kgrecall vocabulary 1")
        add_column(digest, self.ids)
        return digest.hexdigest()

    def positions(self, ids: pa.Array | pa.ChunkedArray | Sequence[str]) -> IntArray:
        """int64 (n,): the position of each id, -1 for one that is not in the vocabulary."""
        if isinstance(ids, pa.ChunkedArray):
            ids = ids.combine_chunks()
        if not isinstance(ids, pa.Array):
            return self._look_up(ids)
        encoded = ids.dictionary_encode(null_encoding="encode")  # edges repeat their ends: look each up once
        codes: IntArray = encoded.indices.to_numpy()
        return self._look_up(encoded.dictionary.to_pylist())[codes]

    def _look_up(self, ids: Sequence[str | None]) -> IntArray:
        find: dict[Any, int] = self._positions
        return np.fromiter(map(find.get, ids, repeat(-1)), np.int64, len(ids))

    def position(self, node_id: str) -> int:
        """The position of one id.

        Raises:
            UnknownId: it is not in the vocabulary; names a near one.
        """
        found = self._positions.get(node_id)
        if found is None:
            raise UnknownId(
                "id",
                expected=f"one of the {len(self)} ids of this vocabulary",
                got=node_id,
                remedy=nearest(str(node_id), self._around(str(node_id))),
            )
        return found

    def _around(self, word: str) -> list[str]:
        """Some ids that sort beside ``word``: comparing it with all of a large vocabulary would take seconds."""
        rank = bisect_left(range(len(self)), word, key=lambda i: self.ids[i].as_py())
        start = max(0, rank - _HINT_WINDOW // 2)
        ids: list[str] = self.ids.slice(start, _HINT_WINDOW).to_pylist()
        return ids

    def ids_at(self, positions: NDArray[np.integer[Any]] | Sequence[int]) -> list[str]:
        """The ids at these positions, each in 0 .. len - 1.

        Raises:
            ShapeError: a position is out of range.
        """
        wanted = np.asarray(positions, np.int64)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(outside):
            raise ShapeError(
                "positions",
                expected=f"numbers from 0 to {len(self) - 1}",
                got=int(outside[0]),
                remedy="Use positions of this vocabulary, and leave out the -1 of padding.",
            )
        ids: list[str] = self.ids.take(pa.array(wanted)).to_pylist()
        return ids

    def save(self, path: str | Path) -> None:
        """Write the ids to a Parquet file with one column ``id``."""
        pq.write_table(pa.table({"id": self.ids}), path)

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what :meth:`save` wrote.

        Raises:
            CorruptArtifact: the file is missing or is not a vocabulary.
        """
        try:
            return cls(pq.read_table(path, columns=["id"]).column("id").combine_chunks())
        except (OSError, pa.ArrowException, KeyError, ShapeError) as error:
            raise CorruptArtifact(
                f"vocabulary {Path(path).name}",
                expected="a Parquet file with a column of sorted, distinct ids",
                got=str(error),
                remedy="Build the artifact again.",
            ) from error


def _as_strings(ids: pa.Array | pa.ChunkedArray | Sequence[str]) -> pa.StringArray:
    array = ids if isinstance(ids, (pa.Array, pa.ChunkedArray)) else pa.array(ids, pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array.cast(pa.string())


def _check_order(ids: pa.StringArray) -> None:
    if ids.null_count:
        raise ShapeError("ids", expected="no nulls", got=ids.null_count, remedy="Give every node an id.")
    rising = pc.less(ids.slice(0, max(len(ids) - 1, 0)), ids.slice(1))
    first = pc.index(rising, False).as_py()
    if first >= 0:
        raise ShapeError(
            "ids",
            expected="distinct ids in bytewise order",
            got=(ids[first].as_py(), ids[first + 1].as_py()),
            remedy="Use Vocabulary.of(ids), which sorts and removes duplicates.",
        )
