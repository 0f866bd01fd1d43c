"""The import journal inside the SQLite file: it is committed, lost and restored together with the graph."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Sequence

import numpy as np

from kgrecall.store.journal import Finished, Holder
from kgrecall.store.sqlite.connection import Connections
from kgrecall.store.sqlite.layout import read_counter
from kgrecall.types import IntArray

_at_work: set[str] = set()
"""Tokens of the imports of this process. A lock of ours that is not among them could not be given back, say on a full disk."""


class SqliteJournal:
    """A :class:`kgrecall.store.journal.Journal` in the tables ``_importer`` and ``_finished``."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._token = uuid.uuid4().hex

    def claim(self) -> Sequence[Finished]:
        with self._connections.writing() as connection:
            for token, *row in connection.execute("SELECT token, pid, started, host, since, seen FROM _importer"):
                holder = Holder(*row)
                if holder.alive() and not (holder.is_me() and token not in _at_work):
                    raise holder.conflict(self._connections.path)
            connection.execute("DELETE FROM _importer")
            me = Holder.me()
            values = (self._token, me.pid, me.started, me.host, me.since, me.seen)
            connection.execute("INSERT INTO _importer VALUES(?, ?, ?, ?, ?, ?)", values)
            finished = _finished(connection)
        _at_work.add(self._token)
        return finished

    def note(self, n: int, finished: Finished) -> None:
        with self._connections.writing() as connection:
            self._touch(connection)
            positions = (finished.missing_source, finished.missing_target, finished.conflicts)
            values = (n, finished.digest, *map(_pack, positions), read_counter(connection, "seq"))
            connection.execute("DELETE FROM _finished WHERE n >= ?", (n,))
            connection.execute("INSERT INTO _finished VALUES(?, ?, ?, ?, ?, ?)", values)

    def release(self, *, complete: bool) -> None:
        _at_work.discard(self._token)
        with self._connections.writing() as connection:
            held = connection.execute("DELETE FROM _importer WHERE token = ?", (self._token,)).rowcount
            if complete and held:
                connection.execute("DELETE FROM _finished")

    def _touch(self, connection: sqlite3.Connection) -> None:
        statement = "UPDATE _importer SET seen = ? WHERE token = ?"
        if connection.execute(statement, (time.time(), self._token)).rowcount == 0:
            row = connection.execute("SELECT pid, started, host, since, seen FROM _importer").fetchone()
            raise (Holder(*row) if row else Holder.me()).conflict(self._connections.path)


def _finished(connection: sqlite3.Connection) -> list[Finished]:
    columns = "digest, missing_source, missing_target, conflicts, seq"
    rows = connection.execute(f"SELECT {columns} FROM _finished ORDER BY n").fetchall()
    if not rows or rows[-1][-1] != read_counter(connection, "seq"):
        connection.execute("DELETE FROM _finished")
        return []
    return [Finished(digest, *map(_unpack, positions)) for digest, *positions, _ in rows]


def _pack(positions: IntArray) -> bytes:
    return positions.astype("<i8").tobytes()


def _unpack(blob: bytes) -> IntArray:
    return np.frombuffer(blob, "<i8").astype(np.int64)
