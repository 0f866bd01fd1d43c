"""What makes a SQLite file ours: its mark, the version of its layout with the steps from older ones, and its health."""

from __future__ import annotations

import sqlite3
import uuid

from kgrecall.errors import Shown, StoreError, StoreUnavailable
from kgrecall.store.journal import Holder
from kgrecall.store.sqlite.layout import write_meta

APPLICATION_ID = 0x6B677265
"""Marks the file as ours ("kgre"), so that another program's database is never touched."""

_STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE _meta(name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        "CREATE TABLE _relations(relation TEXT PRIMARY KEY, source TEXT NOT NULL, target TEXT NOT NULL, key TEXT NOT NULL)"
        " WITHOUT ROWID",
    ),
    (
        "CREATE TABLE _importer(token TEXT PRIMARY KEY, pid INTEGER, started TEXT, host TEXT, since TEXT, seen REAL)"
        " WITHOUT ROWID",
        "CREATE TABLE _finished(n INTEGER PRIMARY KEY, digest BLOB NOT NULL, missing_source BLOB NOT NULL,"
        " missing_target BLOB NOT NULL, conflicts BLOB NOT NULL, seq INTEGER NOT NULL)",
    ),
)
"""``_STEPS[v]`` turns the layout of version v into that of version v + 1."""
FORMAT = len(_STEPS)
"""Version of the layout, kept in the file's ``user_version``."""


def prepare(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the file holds a graph; one of an older layout is brought up to date first.

    Raises:
        StoreUnavailable: it belongs to another program, or to a newer version of this one.
    """
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        return False  # asked first: another process may be laying it out, marks and tables in one write
    application, version = _marks(connection)
    if application == APPLICATION_ID and version <= FORMAT:
        if version < FORMAT:
            _migrate(connection)
        return True
    ours = application == APPLICATION_ID
    raise StoreUnavailable(
        path,
        expected=f"a kgrecall graph of format {FORMAT} or older",
        got=Shown(f"format {version}" if ours else "a database of another program"),
        remedy="Use the version of kgrecall that wrote it." if ours else "Choose another file name.",
    )


def create(connection: sqlite3.Connection) -> None:
    """Lay out an empty file, inside a transaction; harmless when another process was faster."""
    if _marks(connection)[0] == APPLICATION_ID:
        return
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _step_up(connection, 0)
    for name, value in (("store", uuid.uuid4().hex[:12]), ("seq", 0), ("deletions", 0)):
        write_meta(connection, name, value)


def check_after_unclean_end(connection: sqlite3.Connection, path: str) -> None:
    """Examine the file when an import into it died, and forget that import when all is well.

    Raises:
        StoreError: the file is damaged.
    """
    for token, *rest in connection.execute("SELECT token, pid, started, host, since, seen FROM _importer").fetchall():
        if Holder(*rest).alive():
            continue
        finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if finding != "ok":
            raise StoreError(
                path,
                expected="a sound file",
                got=Shown(f"{finding}; an import by {Holder(*rest)} ended without closing it"),
                remedy="Restore a backup, or delete the file and import again.",
            )
        connection.execute("DELETE FROM _importer WHERE token = ?", (token,))


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    application, version = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    return application, version


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        _step_up(connection, _marks(connection)[1])
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _step_up(connection: sqlite3.Connection, version: int) -> None:
    for statement in (statement for step in _STEPS[version:] for statement in step):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT}")
