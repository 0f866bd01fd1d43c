"""Read a store into columns: vocabularies, property tables and edge ends as positions, one Arrow batch at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.schema import EdgeTypeSpec, GraphSchema
from kgrecall.sources.tables import ARROW_TYPES
from kgrecall.store.base import GraphStore
from kgrecall.types import Context, FloatArray, IntArray, PosArray, Progress

_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class ScannedNodes:
    """The nodes of one label; row i of ``properties`` belongs to position i."""

    vocabulary: Vocabulary
    properties: pa.Table


@dataclass(frozen=True, slots=True)
class EdgeCounts:
    """What became of the edges of one relation of the store.

    ``read + copied == kept + duplicate + self_loop + not_positive + dangling``.
    """

    read: int = 0
    copied: int = 0
    """Added because an end is identical with several nodes."""
    kept: int = 0
    duplicate: int = 0
    """The same fact again, after relations were turned round or nodes were joined."""
    self_loop: int = 0
    """From a node to itself: says nothing."""
    not_positive: int = 0
    """Weight of zero or less, or not a number: no sign of interest, so not an edge of the snapshot."""
    dangling: int = 0
    """An end was written to the store after its nodes had been read."""


@dataclass(frozen=True, slots=True)
class ScannedEdges:
    """The edges of one relation of the store, in any order.

    Shapes: ``sources``, ``targets`` int32 (n,); ``weight`` float32 (n,) > 0, strength included; ``time`` int64 (n,) or None;
    ``name`` int32 (n,): an index into ``names``, the relations that the edges stand for; ``context`` int32 (n,) into
    ``contexts``, which are sorted, or None where the relation has no context.
    """

    sources: PosArray
    targets: PosArray
    weight: FloatArray
    time: IntArray | None
    name: PosArray
    names: tuple[str, ...]
    counts: EdgeCounts
    context: PosArray | None = None
    contexts: tuple[Context, ...] = ()


def scan_nodes(store: GraphStore, schema: GraphSchema, label: str, progress: Progress) -> ScannedNodes:
    """Ids and all properties of one label."""
    kinds = schema.node(label).properties
    fields = [pa.field("id", pa.string()), *(pa.field(name, ARROW_TYPES[kind]) for name, kind in kinds.items())]
    total, done, batches = store.count_nodes(label), 0, []
    for batch in store.scan_nodes(label, list(kinds)):
        batches.append(batch)
        done += len(batch)
        progress(f"nodes {label}", done, total)
    table = pa.Table.from_batches(batches, pa.schema(fields)) if batches else pa.schema(fields).empty_table()
    return ScannedNodes(Vocabulary(table.column("id").combine_chunks()), table.drop_columns(["id"]).combine_chunks())


def scan_edges(
    store: GraphStore, schema: GraphSchema, name: str, vocabularies: Mapping[str, Vocabulary], progress: Progress
) -> ScannedEdges:
    """The edges of one relation with their ends as positions. Holds one batch of strings at a time."""
    spec = schema.edge(name)
    columns = list(dict.fromkeys(c for c in (spec.weight, spec.time, spec.relation, *spec.context) if c is not None))
    sources, targets = vocabularies[spec.source], vocabularies[spec.target]
    names = {} if spec.relation else {name: 0}
    contexts: dict[str, int] = {}
    total, done = store.count_edges(name), 0
    parts: list[ScannedEdges] = []
    for batch in store.scan_edges(name, columns):
        parts.append(_read_batch(batch, spec, sources, targets, names, contexts))
        done += len(batch)
        progress(f"edges {name}", done, total)
    return _join(parts, tuple(names), spec.time is not None, tuple(contexts) if spec.context else None)


def _read_batch(
    batch: pa.RecordBatch,
    spec: EdgeTypeSpec,
    sources: Vocabulary,
    targets: Vocabulary,
    names: dict[str, int],
    contexts: dict[str, int],
) -> ScannedEdges:
    source = sources.positions(batch.column("source"))
    target = targets.positions(batch.column("target"))
    weight = _weights(batch, spec)
    time = None if spec.time is None else _filled(batch.column(spec.time), pa.int64(), MISSING_TIME)
    name = _numbered(batch.column(spec.relation), names) if spec.relation else np.zeros(len(batch), np.int32)
    context = _numbered(_joined(batch, spec.context), contexts) if spec.context else None
    known = (source >= 0) & (target >= 0)
    positive = (weight > 0) & np.isfinite(weight)
    chosen = known & positive
    counts = EdgeCounts(
        read=len(batch), dangling=int((~known).sum()), not_positive=int((known & ~positive).sum()), kept=int(chosen.sum())
    )
    return ScannedEdges(
        source[chosen].astype(np.int32),
        target[chosen].astype(np.int32),
        weight[chosen],
        None if time is None else time[chosen],
        name[chosen],
        (),
        counts,
        None if context is None else context[chosen],
    )


def _joined(batch: pa.RecordBatch, names: tuple[str, ...]) -> pa.Array:
    """The values of some columns as one string per row, "" for nothing."""
    columns = [pc.fill_null(pc.cast(batch.column(name), pa.string()), "") for name in names]
    return pc.binary_join_element_wise(*columns, _SEPARATOR)


def _weights(batch: pa.RecordBatch, spec: EdgeTypeSpec) -> FloatArray:
    """strength x weight property; an edge without a value weighs one strength."""
    if spec.weight is None:
        return np.full(len(batch), spec.strength, np.float32)
    weight: FloatArray = (spec.strength * _filled(batch.column(spec.weight), pa.float64(), 1.0)).astype(np.float32)
    return weight


def _filled(column: pa.Array, kind: pa.DataType, missing: float) -> NDArray[Any]:
    values: NDArray[Any] = column.cast(kind).fill_null(missing).to_numpy(zero_copy_only=False)
    return values


def _numbered(column: pa.Array, names: dict[str, int]) -> PosArray:
    """int32 (n,): the number of each relation name; names that are new get the next numbers."""
    encoded = column.dictionary_encode()
    numbers = [names.setdefault(name, len(names)) for name in encoded.dictionary.to_pylist()]
    codes: IntArray = encoded.indices.to_numpy()
    return np.array(numbers, np.int32)[codes]


def _join(parts: list[ScannedEdges], names: tuple[str, ...], timed: bool, contexts: tuple[str, ...] | None) -> ScannedEdges:
    def column(field: str, dtype: Any) -> NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *(getattr(part, field) for part in parts)])

    order = sorted(range(len(contexts or ())), key=lambda i: (contexts or ())[i])
    counts = EdgeCounts(
        read=sum(p.counts.read for p in parts),
        kept=sum(p.counts.kept for p in parts),
        not_positive=sum(p.counts.not_positive for p in parts),
        dangling=sum(p.counts.dangling for p in parts),
    )
    return ScannedEdges(
        column("sources", np.int32),
        column("targets", np.int32),
        column("weight", np.float32),
        column("time", np.int64) if timed else None,
        column("name", np.int32),
        names,
        counts,
        None if contexts is None else np.argsort(order)[column("context", np.int32)].astype(np.int32),
        () if contexts is None else tuple(tuple(contexts[i].split(_SEPARATOR)) for i in order),
    )
