"""Files of older layouts are brought up to date, and a file that an import left behind unclean is examined."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import StoreError
from kgrecall.store.fingerprint import fingerprint
from kgrecall.store.sqlite import SqliteStore
from kgrecall.store.sqlite.file_format import FORMAT

OLD = Path(__file__).parent / "data" / "format-1.sql"
FINGERPRINT = "210d1bc5e289bc216af5f253d487725eaace9d11a23a5c009e0bdd47c27498f9"


def layout(path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(OLD.read_text(encoding="utf-8"))
    return path


class TestMigration:
    def test_the_content_of_an_old_file_is_kept(self, old: Path) -> None:
        store = SqliteStore(old)
        version = store.version()
        assert [b.to_pylist() for b in store.scan_nodes("User", ["age"])] == [
            [{"id": "u1", "age": 30}, {"id": "ü2", "age": None}]
        ]
        assert [b.to_pylist() for b in store.scan_nodes("Item", ["title", "genres", "vector"])] == [
            [
                {"id": "i1", "title": "Alien", "genres": ["horror", "space"], "vector": [0.5, -1.0]},
                {"id": "i2", "title": None, "genres": [], "vector": None},
            ]
        ]
        assert fingerprint(store) == FINGERPRINT
        assert store.version() == version

    def test_it_then_has_the_layout_of_a_new_one(self, old: Path, tmp_path: Path) -> None:
        store, new = SqliteStore(old), SqliteStore(tmp_path / "new.sqlite")
        new.apply_schema(store.schema)
        store.journal().claim()
        assert dict(layout(tmp_path / "new.sqlite")).items() <= dict(layout(old)).items()
        with sqlite3.connect(old) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)

    def test_it_keeps_its_pages_and_a_new_one_has_larger_ones(self, old: Path, tmp_path: Path) -> None:
        store, new = SqliteStore(old), SqliteStore(tmp_path / "new.sqlite")
        new.apply_schema(store.schema)
        for user in (store, new):
            user.upsert_nodes("User", pa.array(["u3"]), {})
            user.compact()
            user.close()
        sizes = []
        for path in (old, tmp_path / "new.sqlite"):
            with closing(sqlite3.connect(path)) as connection:
                sizes.append(connection.execute("PRAGMA page_size").fetchone()[0])
        assert sizes == [4_096, 16_384]

    def test_it_can_be_written(self, old: Path) -> None:
        store = SqliteStore(old)
        store.upsert_nodes("User", pa.array(["u3"]), {})
        assert store.upsert_edges("FOLLOWS", pa.array(["u3"]), pa.array(["u1"]), {}).written == 1


class TestUncleanEnd:
    @pytest.fixture
    def left_behind(self, old: Path) -> Path:
        """A large store whose importer was killed."""
        store = SqliteStore(old)
        n = 20_000
        store.upsert_nodes("User", pa.array([f"user {i}" for i in range(n)]), {"age": pa.array(np.arange(n))})
        store.journal().claim()
        store.close()
        with sqlite3.connect(old) as connection:
            connection.execute("UPDATE _importer SET pid = ?", (2**22 + 1,))
        return old

    def test_a_sound_file_is_opened(self, left_behind: Path) -> None:
        store = SqliteStore(left_behind)
        assert store.count_nodes("User") == 20_002
        store.close()
        with sqlite3.connect(left_behind) as connection:
            assert connection.execute("SELECT count(*) FROM _importer").fetchone() == (0,)

    def test_a_damaged_one_is_refused(self, left_behind: Path) -> None:
        with sqlite3.connect(left_behind) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'node_User'").fetchone()[0]
        with left_behind.open("r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 512)
        with pytest.raises(StoreError, match="Restore a backup"):
            SqliteStore(left_behind).count_nodes("User")

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_write_that_was_cut_short_is_gone(self, old: Path) -> None:
        before = fingerprint(SqliteStore(old))
        pid = os.fork()
        if pid == 0:
            with SqliteStore(old)._connections.writing() as connection:
                connection.execute('DELETE FROM "node_User"')
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        assert fingerprint(SqliteStore(old)) == before
