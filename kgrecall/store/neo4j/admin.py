"""A graph as the CSV files of ``neo4j-admin database import full``: offline, and by far the fastest first load.

One file per label and per relation, each with the header that the importer wants (``id:ID(User)``, ``:START_ID(User)``,
``time:long``), and ``import.args`` with the importer's arguments::

    neo4j-admin database import full neo4j @import.args

run in the folder of the files, with the database stopped. The importer makes no constraints: connect with
``open_store("neo4j://...")`` afterwards and call ``apply_schema(schema)`` once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from kgrecall.errors import ConfigError, ConstraintViolated
from kgrecall.schema import PropertyType
from kgrecall.store.base import GraphStore
from kgrecall.types import Progress, no_progress

_SEPARATOR = "\x1f"
"""Between the elements of a list: the control character made for that, which no text should hold."""
_TYPES: Mapping[PropertyType, str] = {
    "string": "string",
    "text": "string",
    "image": "string",
    "integer": "long",
    "time": "long",
    "number": "double",
    "boolean": "boolean",
    "strings": "string[]",
    "numbers": "double[]",
}
_FORMAT = ("--array-delimiter=U+001F", "--multiline-fields=true", "--id-type=string")


@dataclass(frozen=True, slots=True)
class AdminExport:
    """What was written: rows per label and relation, and the arguments for ``neo4j-admin database import full``."""

    folder: Path
    nodes: Mapping[str, int]
    edges: Mapping[str, int]
    arguments: tuple[str, ...]


def export_for_admin(store: GraphStore, folder: str | Path, *, progress: Progress = no_progress) -> AdminExport:
    """Write the whole graph of a store, one batch in memory at a time.

    Raises:
        ConfigError: the folder exists and is not empty.
        ConstraintViolated: a list holds what the format cannot say: an empty text alone, or the separator U+001F.
        StoreError: the store cannot be read.
    """
    folder, schema = Path(folder), store.schema
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError("folder", expected="a new or empty folder", got=str(folder), remedy="Choose another one.")
    folder.mkdir(parents=True, exist_ok=True)
    nodes, edges, arguments = {}, {}, list(_FORMAT)
    for label, node in schema.nodes.items():
        names = list(node.properties)
        header = [f"id:ID({label})", *_header(node.properties, names)]
        nodes[label] = _write(folder / f"nodes-{label}.csv", header, label, store.scan_nodes(label, names), progress)
        arguments.append(f"--nodes={label}=./nodes-{label}.csv")
    for name, edge in schema.edges.items():
        names = list(edge.properties)
        header = [f":START_ID({edge.source})", f":END_ID({edge.target})", *_header(edge.properties, names)]
        edges[name] = _write(folder / f"edges-{name}.csv", header, name, store.scan_edges(name, names), progress)
        arguments.append(f"--relationships={name}=./edges-{name}.csv")
    (folder / "import.args").write_text("\n".join(arguments) + "\n", encoding="utf-8")
    return AdminExport(folder, nodes, edges, tuple(arguments))


def _header(kinds: Mapping[str, PropertyType], names: Sequence[str]) -> list[str]:
    return [f"{name}:{_TYPES[kinds[name]]}" for name in names]


def _write(path: Path, header: Sequence[str], owner: str, batches: Iterator[pa.RecordBatch], progress: Progress) -> int:
    """Values are quoted and nulls are not, which is how the importer tells an empty text from none; rows written."""
    path.write_text(",".join(header) + "\n", encoding="utf-8")
    rows = 0
    with path.open("ab") as file:
        options = csv.WriteOptions(include_header=False, quoting_style="all_valid")
        for batch in batches:
            flat = [_flat(f"{owner}.{name}", column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
            csv.write_csv(pa.record_batch(flat, names=list(header)), file, options)
            rows += batch.num_rows
            progress(f"export {owner}", rows, None)
    return rows


def _flat(what: str, values: pa.Array) -> pa.Array:
    """Lists as one text per row."""
    if not pa.types.is_list(values.type):
        return values
    if pa.types.is_string(values.type.value_type):
        _check_sayable(what, values)
    texts = values.cast(pa.list_(pa.string()))
    return pc.binary_join(texts, _SEPARATOR)


def _check_sayable(what: str, values: pa.ListArray) -> None:
    elements = values.flatten()
    marked = elements.filter(pc.match_substring(elements, _SEPARATOR))
    alone = pc.and_(pc.equal(pc.list_value_length(values), 1), pc.equal(pc.binary_join(values, ""), ""))
    bad = marked.to_pylist()[:1] or values.filter(alone).to_pylist()[:1]
    if bad:
        raise ConstraintViolated(
            what,
            expected="lists without the character U+001F, and none of one empty text",
            got=bad[0],
            remedy="Mend that value first: the importer's files cannot say it.",
        )
