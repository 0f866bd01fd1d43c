"""RecBole's atomic files: tab-separated text whose header carries types, ``user_id:token<TAB>rating:float``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kgrecall.errors import Shown, SourceError
from kgrecall.mapping import FileMapping
from kgrecall.sources.delimited import DelimitedSource

TYPES = frozenset({"token", "token_seq", "float", "float_seq"})


class RecBoleSource(DelimitedSource):
    """An atomic file. Columns are called by the name before the colon; quotes are ordinary text.

    Raises:
        SourceError: a header cell lacks one of the four types.
    """

    def __init__(self, path: Path, name: str, mapping: FileMapping, wanted: Iterable[str] = ()) -> None:
        settings = {"delimiter": mapping.delimiter or "\t", "quote": None, "header": True}
        super().__init__(path, name, mapping.model_copy(update=settings), wanted)

    @property
    def list_columns(self) -> frozenset[str]:
        """Columns declared as sequences: their cells are lists separated by a space."""
        cells = (cell.decode("utf-8", "replace") for cell in self._first[0])
        return frozenset(self._column_name(cell) for cell in cells if cell.strip().endswith("_seq"))

    def _column_name(self, cell: str) -> str:
        name, colon, kind = cell.rpartition(":")
        if not colon or kind not in TYPES:
            raise SourceError(
                f"{self.name}: header",
                expected="column names with a type, as in user_id:token (token, token_seq, float or float_seq)",
                got=cell if cell else Shown("an empty name"),
                remedy='If this is a plain table, use format = "delimited".',
            )
        return name
