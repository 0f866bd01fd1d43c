"""A name for the content of a graph: equal for equal graphs, whatever store they are in and however they got there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa

from kgrecall.store.base import GraphStore

_MODULUS = 2**256


def fingerprint(store: GraphStore) -> str:
    """64 hexadecimal digits over every node, edge and property; some 2 µs per record.

    The digests of all records are added modulo 2^256, so their order does not matter. Properties without a value do not
    count: declaring one changes nothing.

    Raises:
        NotBuilt: the store has no schema.
        StoreError: it cannot be read.
    """
    total = 0
    for record in _records(store):
        digest = hashlib.blake2b(ascii(record).encode("ascii"), digest_size=32).digest()
        total = (total + int.from_bytes(digest, "big")) % _MODULUS
    return f"{total:064x}"


def _records(store: GraphStore) -> Iterator[tuple[object, ...]]:
    """Every node as ("node", label, id, properties) and every edge as ("edge", relation, source, target, properties)."""
    schema = store.schema
    for label, node in schema.nodes.items():
        names = sorted(node.properties)
        for batch in store.scan_nodes(label, names):
            yield from _rows(("node", label), batch, ["id"], names)
    for relation, edge in schema.edges.items():
        names = sorted(edge.properties)
        for batch in store.scan_edges(relation, names):
            yield from _rows(("edge", relation), batch, ["source", "target"], names)


def _rows(
    head: tuple[str, str], batch: pa.RecordBatch, keys: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    columns = [batch[name].to_pylist() for name in (*keys, *names)]
    for row in zip(*columns, strict=True):
        values = row[len(keys) :]
        properties = [(name, value) for name, value in zip(names, values, strict=True) if value is not None]
        yield (*head, *row[: len(keys)], properties)
