"""The embedded graph store: one SQLite file, no server."""

from kgrecall.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
