"""Tables into a graph store: in large batches, idempotently, with an account of every record."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Protocol, runtime_checkable

from kgrecall.errors import NotBuilt, SchemaError, Shown
from kgrecall.schema import GraphSchema
from kgrecall.sources.drift import Drift, Layout, layout_differences
from kgrecall.sources.quarantine import Quarantine
from kgrecall.sources.tables import Batch
from kgrecall.store.ahead import read_ahead
from kgrecall.store.base import GraphStore, Keep, RetryingStore
from kgrecall.store.drift import differences
from kgrecall.store.journal import journaled
from kgrecall.store.pool import Pool, name_of
from kgrecall.store.report import ImportReport, Tally
from kgrecall.store.writer import Writer
from kgrecall.types import Progress, no_progress

_LAYOUT = "columns of files"
_STATE = "files of the last import"


@runtime_checkable
class Tables(Protocol):
    """What a reader of files offers beside its batches. The counts are complete when the iteration ends."""

    @property
    def quarantine(self) -> Quarantine: ...

    @property
    def records_read(self) -> Mapping[str, int]:
        """By label and relation; quarantined ones included."""
        ...

    @property
    def rows_read(self) -> Mapping[str, int]:
        """By file."""
        ...

    def __iter__(self) -> Iterator[Batch]: ...


@runtime_checkable
class LaidOut(Protocol):
    """Tables that know their columns: those of the files as they are now, and sentences about those that are gone."""

    @property
    def layout(self) -> Layout: ...

    @property
    def lost(self) -> tuple[str, ...]: ...

    @property
    def state(self) -> str | None:
        """Another one whenever the files are others; None where that cannot be told."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A store that keeps a note for the next import."""

    def note(self, name: str) -> str | None:
        """What was kept last under this name."""
        ...

    def keep_note(self, name: str, text: str) -> None: ...


def ingest(
    tables: Tables | Iterable[Batch],
    store: GraphStore,
    schema: GraphSchema,
    *,
    duplicates: Keep = "last",
    drift: Drift = "extend",
    write_rows: int | None = None,
    progress: Progress = no_progress,
) -> ImportReport:
    """Write all records of ``tables`` into ``store``; running it again changes nothing.

    Edges whose end nodes are missing go to the quarantine of ``tables`` with their row, unless the mapping lets the edge
    create them. Whatever stops an import, a second run completes it; where the store keeps a journal and the files are the
    same it skips the chunks that are already there, and only one process imports at a time: another one is turned away before
    it changes anything. A thread reads while this one writes.

    Args:
        tables: a reader of files, or batches from anywhere (their bad records are then only counted).
        duplicates: what becomes of a record whose key is there with other values: the "last" one stands, the "first" one, or
            it is an "error" and goes to the quarantine; where a relation has a time outside its key, event time decides
            instead of the order. Exactly: :class:`kgrecall.store.base.KeepingStore`.
        drift: whether to "stop" where the schema, or a column of a file, differs from those that the store was filled with;
            "extend" and "accept" go on, and the report lists the differences. (See :data:`kgrecall.sources.drift.Drift`.)
        write_rows: records per write; more are faster and take more memory, some 200 bytes each. Left out: a million, and as
            many as went before, up to two and a half, where the store says that large writes pay.
        progress: called with ("ingest", records so far, None) after each write.

    Raises:
        SchemaError: the store holds a schema that this one contradicts, or drift="stop" and something differs.
        Unsupported: the store knows no other policy for duplicates than "last".
        TooManyBadRows: the quarantine reached its limit; judged again after each write, since edges may dangle.
        StoreConflict: another process is importing; names it.
        StoreError: the store failed.
    """
    started = time.perf_counter()
    source = tables if isinstance(tables, Tables) else _Counted(tables)
    changes, failed_before = _drift(store, schema, source, drift), _retries(store)
    if _is_new(store):
        store.apply_schema(schema)
    state = source.state if isinstance(source, LaidOut) else None
    with journaled(store, anew=_has_changed(store, state)) as memory, closing(read_ahead(source)) as batches:
        store.apply_schema(schema)
        if state is not None and isinstance(store, Remembering):
            store.keep_note(_STATE, state)
        writer = Writer(store, schema, source.quarantine, memory, duplicates, progress)
        pool = Pool(write_rows, growing="large_writes" in store.capabilities)
        for batch in batches:
            pool.add(batch)
            if pool.full:
                writer.write(pool.take())
                source.quarantine.check_share(sum(source.records_read.values()))
        writer.write(pool.take())
        source.quarantine.check_share(sum(source.records_read.values()))
        store.apply_schema(schema)  # builds the indexes that were better put off
        _remember(store, source)
    return _report(writer, source, changes, _retries(store) - failed_before, time.perf_counter() - started)


def _drift(store: GraphStore, schema: GraphSchema, source: Tables, policy: Drift) -> tuple[str, ...]:
    """How the schema and the files differ from those that the store was filled with; of a new store, what files lack."""
    if _is_new(store):
        return source.lost if isinstance(source, LaidOut) else ()
    found = [*differences(store.schema, schema), *_of_columns(store, source)]
    if found and policy == "stop":
        raise SchemaError(
            "schema of the import",
            expected="the one that the store was filled with",
            got=Shown(" ".join(found)),
            remedy='Mend the mapping or the files, or accept the change with drift="accept".',
        )
    return tuple(found)


def _is_new(store: GraphStore) -> bool:
    try:
        return not store.schema.nodes
    except NotBuilt:
        return True


def _has_changed(store: GraphStore, state: str | None) -> bool:
    """Whether the files are known not to be those of the last import, be it finished or not."""
    return state is not None and isinstance(store, Remembering) and store.note(_STATE) != state


def _of_columns(store: GraphStore, source: Tables) -> Iterator[str]:
    if not isinstance(source, LaidOut):
        return
    yield from source.lost
    known = store.note(_LAYOUT) if isinstance(store, Remembering) else None
    if known is not None:
        gone = {sentence.partition(";")[0] for sentence in source.lost}
        found = layout_differences(json.loads(known), source.layout)
        yield from (sentence for sentence in found if sentence.removesuffix(".") not in gone)


def _remember(store: GraphStore, source: Tables) -> None:
    """Keep the columns of the files; those of files that were not part of this import stay known."""
    if isinstance(store, Remembering) and isinstance(source, LaidOut):
        known = json.loads(store.note(_LAYOUT) or "{}")
        if (layout := {**known, **source.layout}) != known:
            store.keep_note(_LAYOUT, json.dumps(layout))


class _Counted:
    """Batches that do not come from files, counted as a reader would."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = batches
        self.quarantine = Quarantine()
        self.records_read: Counter[str] = Counter()
        self.rows_read: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self.records_read[name_of(batch)] += len(batch)
            last = int(batch.origin.rows.max(initial=0))
            self.rows_read[batch.origin.file] = max(self.rows_read[batch.origin.file], last)
            yield batch


def _retries(store: GraphStore) -> Counter[str]:
    return Counter(store.retries) if isinstance(store, RetryingStore) else Counter()


def _report(writer: Writer, source: Tables, changes: tuple[str, ...], retries: Counter[str], seconds: float) -> ImportReport:
    quarantine, schema = source.quarantine, writer.schema

    def tally(name: str) -> Tally:
        return Tally(
            read=source.records_read.get(name, 0),
            written=writer.written[name],
            unchanged=writer.unchanged[name],
            quarantined=quarantine.records[name],
            created=writer.created[name],
        )

    return ImportReport(
        nodes={label: tally(label) for label in schema.nodes},
        edges={relation: tally(relation) for relation in schema.edges},
        rows=dict(source.rows_read),
        reasons={str(reason): count for reason, count in quarantine.reasons.most_common()},
        quarantine=str(quarantine.path) if quarantine.path and quarantine.total else None,
        drift=changes,
        seconds=seconds,
        retries=dict(retries),
    )
