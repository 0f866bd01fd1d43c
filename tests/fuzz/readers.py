"""Any bytes as a file of any format: the readers answer with batches, a quarantine or one of our errors, and lose nothing.

``python -m tests.fuzz.readers SECONDS`` runs it guided by coverage (needs atheris); the unit tests run :func:`check` on a
handful of made-up files.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa

if __name__ == "__main__":  # atheris has to see the modules before anybody else imports them
    import atheris

    instrumented = atheris.instrument_imports(include=["kgrecall.sources"])
else:
    instrumented = nullcontext()

with instrumented:
    from kgrecall.sources.quarantine import QuarantineLimits
    from kgrecall.sources.reader import TableReader, read_tables

from kgrecall.errors import KGRecallError
from kgrecall.schema import GraphSchema
from kgrecall.sources.tables import ARROW_TYPES, Batch, EdgeBatch, NodeBatch

_ITEM = {"n": "integer", "x": "number", "b": "boolean", "t": "time", "s": "text", "l": "strings", "v": "numbers"}
_SEEN = {"t": "time", "x": "number"}
_DIALECTS = (
    {"format": "delimited", "delimiter": ","},
    {"format": "delimited", "delimiter": "::", "quote": ""},
    {"format": "delimited", "delimiter": "\t", "encoding": "gb18030"},
    {"format": "delimited", "delimiter": "|", "encoding": "utf-16"},
    {"format": "jsonl"},
    {"format": "recbole"},
    {"format": "kgat"},
    {"format": "parquet"},
    {"format": "arrow"},
)
HEADER = {
    "delimited": "u,i,n,x,b,t,s,l,v\n",
    "recbole": "u:token\ti:token\tn:float\tx:float\tb:token\tt:float\ts:token_seq\tl:token_seq\tv:float_seq\n",
    "jsonl": '{"u": 1, "i": 1, "n": 1, "x": 1, "b": true, "t": 1, "s": "", "l": [], "v": []}\n',
}
"""A first line that has all columns."""


def schema(dialect: dict[str, str]) -> GraphSchema:
    """Users, items and one relation, all from one file."""
    properties = {name: name for name in _ITEM} | {
        "l": {"column": "l", "separator": "|"},
        "v": {"column": "v", "separator": " "},
    }
    nodes = [{"label": "Item", "id": "i", "properties": properties}]
    edges = [{"type": "SEEN", "source": "u", "target": "i", "properties": {"t": "t", "x": "x"}}]
    if dialect["format"] == "kgat":
        nodes, edges = (
            [{"label": "Item", "id": "item"}],
            [{"type": "SEEN", "source": "user", "target": "item", "properties": {}}],
        )
    return GraphSchema.parse(
        {
            "nodes": {"User": {"role": "user"}, "Item": {"role": "item", "properties": _ITEM}},
            "edges": {"SEEN": {"role": "interaction", "source": "User", "target": "Item", "properties": _SEEN, "time": "t"}},
            "files": [{"path": "f", **dialect, "nodes": nodes, "edges": edges}],
        }
    )


def check(data: bytes, kind: int, folder: Path) -> None:
    """Read ``data`` as format number ``kind`` in two ways and compare.

    Raises:
        AssertionError: a record was lost, or the two disagree. Whatever else a reader lets out is a mistake of it as well.
    """
    dialect = _DIALECTS[kind % len(_DIALECTS)]
    (folder / "f").write_bytes(data)
    first, second = (_read(folder, schema(dialect), batch_rows) for batch_rows in (3, 1000))
    assert first == second, "the size of batches changes what is read"


def _read(folder: Path, schema: GraphSchema, batch_rows: int) -> object:
    try:
        reader = read_tables(folder, schema, batch_rows=batch_rows, limits=QuarantineLimits(max_rows=None, max_share=1))
        batches = list(reader)
    except KGRecallError as error:
        return type(error)
    _check_batches(batches, schema, batch_rows)
    _check_accounts(reader, batches)
    return _records(batches), reader.rows_read, reader.records_read, reader.quarantine.reasons


def _check_batches(batches: Iterable[Batch], schema: GraphSchema, batch_rows: int) -> None:
    for batch in batches:
        keys = [batch.keys] if isinstance(batch, NodeBatch) else [batch.sources, batch.targets]
        spec = schema.node(batch.label) if isinstance(batch, NodeBatch) else schema.edge(batch.edge_type)
        for array in keys:
            array.validate(full=True)
            assert array.type == pa.string()
            assert array.null_count == 0
        for name, array in batch.columns.items():
            array.validate(full=True)
            assert array.type == ARROW_TYPES[spec.properties[name]]
        assert {len(array) for array in (*keys, *batch.columns.values(), batch.origin.rows)} == {len(batch)}
        assert 0 < len(batch) <= batch_rows
        assert bool((batch.origin.rows >= 1).all())


def _check_accounts(reader: TableReader, batches: Iterable[Batch]) -> None:
    yielded: dict[str, int] = {}
    for batch in batches:
        name = batch.edge_type if isinstance(batch, EdgeBatch) else batch.label
        yielded[name] = yielded.get(name, 0) + len(batch)
    for name in {*reader.records_read, *yielded}:
        assert reader.records_read[name] == yielded.get(name, 0) + reader.quarantine.records[name], name


def _records(batches: Iterable[Batch]) -> list[object]:
    found: list[object] = []
    for batch in batches:
        keys = [batch.keys] if isinstance(batch, NodeBatch) else [batch.sources, batch.targets]
        columns = [array.to_pylist() for array in (*keys, *batch.columns.values())]
        found += [(type(batch).__name__, row, *cells) for row, *cells in zip(batch.origin.rows.tolist(), *columns, strict=True)]
    return sorted(found, key=repr)


def main() -> None:
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as corpus:
        for kind, dialect in enumerate(_DIALECTS):
            seed = HEADER.get(dialect["format"], "0 1 2\n").replace(",", dialect.get("delimiter", ","))
            Path(corpus, str(kind)).write_bytes(bytes([kind]) + seed.encode())
        atheris.Setup(
            [sys.argv[0], corpus, f"-max_total_time={seconds}", "-max_len=4096"],
            lambda data: check(data[1:], data[0], Path(folder)) if data else None,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
