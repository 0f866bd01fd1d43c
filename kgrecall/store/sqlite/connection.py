"""Connections to one SQLite file, and the only place where sqlite3's errors become ours.

A file is opened once per thread and process (a connection must not cross a fork); ``:memory:`` has one connection that all
threads share, one at a time. Writers queue: every write transaction begins with the lock (``BEGIN IMMEDIATE``).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from kgrecall.errors import ConstraintViolated, NotBuilt, Shown, StoreConflict, StoreError, StoreUnavailable
from kgrecall.store.sqlite import staging
from kgrecall.store.sqlite.file_format import check_after_unclean_end, prepare

MEMORY = ":memory:"
_CACHE_KIB = 64 * 1024
_PAGE = 16_384
"""Bytes of a page of a new file. SQLite's own 4,096 cost a fifth more on imports, which pass by all pages of a tree."""
_UNREACHABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_NOTADB")
_inherited: list[sqlite3.Connection] = []
"""Connections that a fork copied into this process: never used and never closed here, since closing would checkpoint and
remove a write-ahead log that belongs to the parent."""


class Connections:
    """Hands out connections to the file at ``path`` (or ``:memory:``); ``busy_timeout`` in seconds."""

    def __init__(self, path: str, *, busy_timeout: float = 30.0) -> None:
        self.path = path
        self.busy_timeout = busy_timeout
        self.closed = False
        self._checked = False
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._shared: _Handle | None = None
        self._turn = threading.RLock()

    @property
    def in_memory(self) -> bool:
        return self.path == MEMORY

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, in a read transaction: everything read inside belongs to one state of the store."""
        with self._exclusive(), translated(self.path):
            connection = self._own(create=False)
            if connection.in_transaction:  # a read inside a write sees that write
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    @contextmanager
    def writing(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """This thread's connection, in a write transaction that is committed at the end, or undone by any exception."""
        with self._exclusive(), translated(self.path):
            connection = self._own(create=create)
            staging.forget(connection)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            staging.forget(connection)

    @contextmanager
    def streaming(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own in a read transaction, for a scan during which the same thread may write."""
        with translated(self.path):
            connection = self._open(create=False)
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.close()

    def rewrite(self) -> None:
        """Write the whole database anew, so that nothing deleted remains in the file or its log.

        Raises:
            StoreConflict: somebody else uses the file.
        """
        with self._exclusive(), translated(self.path):
            connection = self._own(create=False)
            connection.execute("VACUUM")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise StoreConflict(
                self.path,
                expected="no other reader or writer",
                got=Shown("one that still reads an older state"),
                remedy="Close the other connections and try again.",
            )

    def close(self) -> None:
        """Close the connections of all threads."""
        self.closed = True
        for handle in list(self._handles):
            handle.close()
        self._shared = None

    def _exclusive(self) -> AbstractContextManager[object]:
        return self._turn if self.in_memory else nullcontext()

    def _own(self, *, create: bool) -> sqlite3.Connection:
        self._check_open()
        if self.in_memory:
            if self._shared is None:
                self._shared = self._handle(create)
            return self._shared.connection
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None or handle.pid != os.getpid():
            handle = self._local.handle = self._handle(create)
        return handle.connection

    def _handle(self, create: bool) -> _Handle:
        handle = _Handle(self._open(create=create))
        self._handles.add(handle)
        return handle

    def _open(self, *, create: bool) -> sqlite3.Connection:
        self._check_open()
        if not (create or self.in_memory or Path(self.path).exists()):
            raise self._absent("no such file")
        uri = MEMORY if self.in_memory else f"{Path(self.path).absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
        connection = sqlite3.connect(
            uri, uri=True, timeout=self.busy_timeout, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            ready = prepare(connection, self.path)
            if not ready and not create:
                raise self._absent("an empty one")
            _configure(connection, self.busy_timeout)
            if ready and not self._checked:
                check_after_unclean_end(connection, self.path)
                self._checked = True
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_open(self) -> None:
        if self.closed:
            raise StoreUnavailable(
                self.path, expected="an open store", got=Shown("a closed one"), remedy="Open it again with open_store()."
            )

    def _absent(self, got: str) -> NotBuilt:
        return NotBuilt(self.path, expected="a graph store", got=Shown(got), remedy="Import data first, or check the path.")


class _Handle:
    """A connection that ends with its thread, in the process that opened it."""

    __slots__ = ("__weakref__", "connection", "pid")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.pid = os.getpid()

    def close(self) -> None:
        if self.pid == os.getpid():
            self.connection.close()
        else:
            _inherited.append(self.connection)

    def __del__(self) -> None:
        self.close()


def _configure(connection: sqlite3.Connection, busy_timeout: float) -> None:
    connection.execute(f"PRAGMA page_size = {_PAGE}")  # of an empty file only
    _use_write_ahead_log(connection, time.monotonic() + busy_timeout)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def _use_write_ahead_log(connection: sqlite3.Connection, deadline: float) -> None:
    """A new file changes its mode only while nobody else has it open, and SQLite does not wait for that by itself."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise sqlite3's errors as StoreUnavailable, StoreConflict, ConstraintViolated or StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _named(error, path) from error


def _named(error: sqlite3.Error, path: str) -> StoreError:
    code = getattr(error, "sqlite_errorname", "")
    got = Shown(f"{error} ({code})" if code else str(error).rstrip("."))
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreConflict(
            path, expected="the write lock", got=got, remedy="Another process is writing; try again when it has finished."
        )
    if code.startswith(_UNREACHABLE):
        return StoreUnavailable(
            path,
            expected="a SQLite file that can be read and written",
            got=got,
            remedy="Check that the path is right and that you may write to the file and its folder.",
        )
    if isinstance(error, sqlite3.IntegrityError):
        return ConstraintViolated(
            path, expected="records that fit the schema", got=got, remedy="Check the keys of this batch; nothing was written."
        )
    if code == "SQLITE_FULL":
        return StoreError(
            path,
            expected="room on the disk",
            got=got,
            remedy="Free some space and run again; everything written before is intact.",
        )
    return StoreError(path, expected="a healthy SQLite database", got=got, remedy="Check the disk, or restore a backup.")
