"""Who is importing, and what is done: a killed import goes on where it stopped, and two never mix.

An import is a sequence of chunks. The journal holds the digests of those that are in the store, in their order. A second
run of the same files skips them as long as its own chunks are the same ones in the same order. Where files have changed it
starts from the first chunk, because a later one, which is no longer what it was, may have overwritten an earlier one. Upserts
are idempotent, so a chunk that was written but not noted is simply written once more.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from kgrecall.errors import Shown, StoreConflict, StoreError
from kgrecall.sources.tables import Batch, NodeBatch
from kgrecall.store.base import GraphStore, WriteStats
from kgrecall.types import IntArray

_DIGESTED = 65_536
"""Records whose bytes are copied at once."""
STALE_SECONDS = 900.0
"""An importer on another machine that has written nothing for so long counts as dead."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that imports: its number and start mark, its machine, since when, and when it last wrote (s since 1970)."""

    pid: int
    started: str
    host: str
    since: str
    seen: float

    @classmethod
    def me(cls) -> Holder:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(os.getpid(), _start_mark(os.getpid()), socket.gethostname(), now, time.time())

    def alive(self) -> bool:
        """Whether it may still be at work; a process with its number that was started at another time is not it."""
        if self.host != socket.gethostname():
            return time.time() - self.seen < STALE_SECONDS
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it exists and belongs to somebody else
            pass
        return _start_mark(self.pid) == self.started

    def is_me(self) -> bool:
        return (self.pid, self.started, self.host) == (os.getpid(), _start_mark(os.getpid()), socket.gethostname())

    def conflict(self, what: str) -> StoreConflict:
        return StoreConflict(
            what,
            expected="no other import into this store",
            got=Shown(f"one by {self}"),
            remedy="Wait until it has finished, or stop it; the lock of a process that is gone is taken over.",
        )

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, at work since {self.since}"


def _start_mark(pid: int) -> str:
    """Clock ticks between boot and the start of a process, where the system tells; tells apart users of one number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Finished:
    """A chunk that is in the store, and which of its records are not (positions, int64, as in WriteStats)."""

    digest: bytes
    missing_source: IntArray
    missing_target: IntArray
    conflicts: IntArray


class Journal(Protocol):
    """Where a store keeps the lock and the finished chunks."""

    def claim(self) -> Sequence[Finished]:
        """Take the lock; gives the chunks that an unfinished import wrote, unless anything else was written since.

        Raises:
            StoreConflict: a living process holds it; names it.
        """
        ...

    def note(self, n: int, finished: Finished) -> None:
        """Chunk number ``n`` is in the store, and no later one that was noted before counts any more.

        Raises:
            StoreConflict: another process has taken the lock over.
        """
        ...

    def release(self, *, complete: bool) -> None:
        """Give the lock back; after a complete import the chunks are forgotten."""
        ...


@runtime_checkable
class Journaled(Protocol):
    """A store that keeps a journal."""

    def journal(self) -> Journal: ...


class _OtherRecords(StoreConflict):
    """What comes is not what the unfinished import wrote: its chunks are to be forgotten."""


class Memory:
    """The chunks of one run beside those that an earlier, unfinished one left behind."""

    def __init__(self, journal: Journal | None, earlier: Sequence[Finished]) -> None:
        self._journal = journal
        self._earlier = earlier
        self._n = 0

    def recall(self, digest: bytes, num_records: int) -> WriteStats | None:
        """What the earlier run made of the next chunk; None when it must be written.

        Raises:
            StoreConflict: chunks were skipped already, and behind them the earlier run wrote others than come now.
        """
        if self._n < len(self._earlier) and self._earlier[self._n].digest == digest:
            done = self._earlier[self._n]
            self._n += 1
            refused = len(np.union1d(done.missing_source, done.missing_target)) + len(done.conflicts)
            return WriteStats(0, num_records - refused, done.missing_source, done.missing_target, done.conflicts)
        if 0 < self._n < len(self._earlier):
            raise _OtherRecords(
                "import",
                expected="the records that an unfinished import began to write",
                got=Shown(f"others from chunk {self._n + 1} on"),
                remedy="Run it again: it then starts from the first record.",
            )
        self._earlier = ()
        return None

    def note(self, digest: bytes, stats: WriteStats) -> None:
        if self._journal is not None:
            self._journal.note(self._n, Finished(digest, stats.missing_source, stats.missing_target, stats.conflicts))
        self._n += 1


@contextmanager
def journaled(store: GraphStore, *, anew: bool = False) -> Iterator[Memory]:
    """Hold the store's import lock, and remember what an earlier run finished; nothing of both without a journal.

    ``anew``: what is to be written is not what the earlier run wrote, whose chunks count for nothing.
    """
    if not isinstance(store, Journaled):
        yield Memory(None, ())
        return
    journal = store.journal()
    earlier = journal.claim()
    try:
        yield Memory(journal, () if anew else earlier)
    except _OtherRecords:
        journal.release(complete=True)
        raise
    except BaseException:
        with suppress(StoreError):  # the failure that brought us here is the one to tell
            journal.release(complete=False)
        raise
    journal.release(complete=True)


def digest_of(batch: Batch, rules: str) -> bytes:
    """32 bytes that change with any record, row number or column of this chunk, and with the ``rules`` of the import."""
    if isinstance(batch, NodeBatch):
        head: tuple[object, ...] = ("node", batch.label)
        arrays = [batch.keys]
    else:
        head = ("edge", batch.edge_type, batch.create_source, batch.create_target)
        arrays = [batch.sources, batch.targets]
    arrays = [*arrays, *batch.columns.values(), pa.array(batch.origin.rows)]
    names = [str(i) for i in range(len(arrays))]
    content = hashlib.blake2b(repr((*head, batch.origin.file, tuple(batch.columns), rules)).encode(), digest_size=32)
    records = pa.record_batch(arrays, names=names)
    for start in range(0, max(len(batch), 1), _DIGESTED):
        content.update(records.slice(start, _DIGESTED).serialize())
    return content.digest()
