"""An import that is killed, refused or starved leaves an intact store, and the next run makes the graph of a clean one."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kgrecall.errors import StoreConflict, StoreError, StoreUnavailable
from kgrecall.schema import GraphSchema
from kgrecall.sources.tables import Batch, EdgeBatch, NodeBatch, Origin
from kgrecall.store import pool
from kgrecall.store.fingerprint import fingerprint
from kgrecall.store.ingest import ingest
from kgrecall.store.report import ImportReport, Tally
from kgrecall.store.sqlite import SqliteStore, staging
from kgrecall.store.sqlite import connection as connection_module

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

SCHEMA = GraphSchema.parse(
    {
        "nodes": {"User": {"role": "user"}, "Item": {"role": "item", "properties": {"title": "text"}}, "Tag": {}},
        "edges": {
            "SEEN": {
                "role": "interaction",
                "source": "User",
                "target": "Item",
                "properties": {"time": "time", "weight": "number"},
                "key": ["time"],
                "time": "time",
            },
            "TAGGED": {"source": "Item", "target": "Tag"},
        },
    }
)
CHUNK = 10


def tables(num_events: int = 60) -> list[Batch]:
    """Nodes, edges, edges that create their targets, dangling edges, and a later title for an item: in chunks."""
    rng = np.random.default_rng(3)
    users, items = [f"u{i}" for i in range(20)], [f"i{i}" for i in range(20)]
    batches: list[Batch] = []

    def cut(n: int) -> Iterator[tuple[slice, Origin]]:
        for start in range(0, n, CHUNK):
            yield slice(start, start + CHUNK), Origin("file", np.arange(start + 1, min(start + CHUNK, n) + 1))

    for rows, origin in cut(20):
        batches.append(NodeBatch("User", pa.array(users[rows]), {}, origin))
    for version in ("old", "new"):
        for rows, origin in cut(20):
            titles = pa.array([f"{version} {item}" for item in items[rows]])
            batches.append(NodeBatch("Item", pa.array(items[rows]), {"title": titles}, origin))
    for rows, origin in cut(20):
        tags = pa.array([f"t{int(item[1:]) % 4}" for item in items[rows]])
        batches.append(EdgeBatch("TAGGED", pa.array(items[rows]), tags, {}, origin, create_target=True))
    sources, targets = rng.choice([*users, "nobody"], num_events), rng.choice(items, num_events)
    for rows, origin in cut(num_events):
        columns = {"time": pa.array(np.arange(num_events)[rows]), "weight": pa.array(rng.random(len(origin.rows)))}
        batches.append(EdgeBatch("SEEN", pa.array(sources[rows].tolist()), pa.array(targets[rows].tolist()), columns, origin))
    return batches


def run(store: SqliteStore, progress: Callable[..., None] = lambda *_: None, write_rows: int | None = CHUNK) -> ImportReport:
    return ingest(tables(), store, SCHEMA, write_rows=write_rows, progress=progress)


@pytest.fixture(scope="module")
def clean() -> tuple[str, ImportReport]:
    """The fingerprint and the report of an undisturbed import."""
    store = SqliteStore(":memory:")
    report = run(store)
    print_of_it = fingerprint(store)
    store.close()
    assert report.edges["SEEN"].quarantined > 0
    return print_of_it, report


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "graph.sqlite"


def in_child(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked process; gives its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_at(step: int) -> Callable[..., None]:
    """A progress function that ends the process when it is called for the ``step``-th time."""
    calls = iter(range(step, 0, -1))

    def told(*_: object) -> None:
        if next(calls) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    return told


def assert_completes(path: Path, clean: tuple[str, ImportReport]) -> ImportReport:
    store = SqliteStore(path)
    report = run(store)
    assert fingerprint(store) == clean[0]
    assert report.total.balanced
    assert report.total.quarantined == clean[1].total.quarantined
    assert report.reasons == clean[1].reasons
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return report


class CountingStore(SqliteStore):
    """Counts the batches of events that are really written."""

    writes = 0

    def upsert_edges(self, edge_type, sources, targets, columns):  # type: ignore[no-untyped-def]
        self.writes += edge_type == "SEEN"
        return super().upsert_edges(edge_type, sources, targets, columns)


class TestKill:
    @pytest.mark.parametrize("step", range(1, 15))
    def test_after_each_chunk(self, path: Path, clean: tuple[str, ImportReport], step: int) -> None:
        assert in_child(lambda: run(SqliteStore(path), kill_at(step))) == -signal.SIGKILL
        report = assert_completes(path, clean)
        assert (report.total.unchanged > clean[1].total.unchanged) == (step > 0)

    @pytest.mark.parametrize("seed", range(20))
    def test_anywhere(self, path: Path, clean: tuple[str, ImportReport], seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        if seed % 2:
            monkeypatch.setattr(staging, "FEWEST_ROWS", 1)
        moment = np.random.default_rng(seed).uniform(0.001, 0.05)

        def work() -> None:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process like kill -9
            signal.setitimer(signal.ITIMER_PROF, moment)
            for _ in range(1_000):
                run(SqliteStore(path))

        assert in_child(work) == -signal.SIGPROF
        assert_completes(path, clean)

    def test_what_is_done_is_not_written_again(self, path: Path, clean: tuple[str, ImportReport]) -> None:
        total = len(list(tables()))
        in_child(lambda: run(SqliteStore(path), kill_at(total - 2)))
        store = CountingStore(path)
        run(store)
        assert store.writes == 2
        assert fingerprint(store) == clean[0]
        store.writes = 0
        run(store)
        assert store.writes == 6  # a finished import is looked at again as a whole

    @pytest.mark.parametrize("step", range(1, 8))
    def test_where_writes_grow(
        self, path: Path, clean: tuple[str, ImportReport], step: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "WRITE_ROWS", CHUNK)
        monkeypatch.setattr(pool, "_MOST_ROWS", 5 * CHUNK // 2)
        assert in_child(lambda: run(SqliteStore(path), kill_at(step), None)) == -signal.SIGKILL
        told: list[int] = []
        store = CountingStore(path)
        report = run(store, lambda _, done, __: told.append(done), None)
        sizes = np.diff([0, *told])
        assert sizes.max() == 3 * CHUNK  # batches of 10: the first that is 25 or more
        assert store.writes < 6
        assert fingerprint(store) == clean[0]
        assert report.total.quarantined == clean[1].total.quarantined
        store.close()

    @pytest.mark.parametrize("edit", ["drop", "retitle"])
    def test_other_records_than_those_of_the_killed_run_start_from_the_first(self, path: Path, edit: str) -> None:
        """A later chunk of the killed run, which is not written again, may have overwritten an earlier one."""
        in_child(lambda: run(SqliteStore(path), kill_at(len(tables()))))
        changed = tables()
        chunk = changed[2]
        assert isinstance(chunk, NodeBatch)
        assert chunk.columns["title"][0].as_py() == "old i0"
        other = replace(chunk, columns={"title": pa.array(["newer"] * len(chunk))})
        changed[2:3] = [] if edit == "drop" else [other]
        store = CountingStore(path)
        with pytest.raises(StoreConflict, match="Run it again: it then starts from the first record"):
            ingest(changed, store, SCHEMA, write_rows=CHUNK)
        assert store.writes == 0
        ingest(changed, store, SCHEMA, write_rows=CHUNK)
        fresh = CountingStore(path.with_name("fresh.sqlite"))
        ingest(changed, fresh, SCHEMA, write_rows=CHUNK)
        assert store.writes == fresh.writes
        titles = {title for batch in store.scan_nodes("Item", ["title"]) for title in batch["title"].to_pylist()}
        assert titles == {f"new i{i}" for i in range(20)}

    def test_a_delete_in_between_is_made_good(self, path: Path, clean: tuple[str, ImportReport]) -> None:
        in_child(lambda: run(SqliteStore(path), kill_at(10)))
        store = SqliteStore(path)
        assert store.delete_nodes("Item", pa.array(["i1", "i2"])) == 2
        store.close()
        assert_completes(path, clean)


class TestLock:
    def test_the_holder_is_named(self, path: Path) -> None:
        first, second = SqliteStore(path), SqliteStore(path)

        def meanwhile(*_: object) -> None:
            with pytest.raises(StoreConflict, match=rf"process {os.getpid()} on \S+, at work since 20\d\d-"):
                run(second)

        run(first, meanwhile)
        run(second)

    def test_two_processes(self, path: Path, clean: tuple[str, ImportReport], tmp_path: Path) -> None:
        ready = tmp_path / "ready"

        def slow(*_: object) -> None:
            ready.touch()
            time.sleep(0.2)

        child = os.fork()
        if child == 0:
            run(SqliteStore(path), slow)
            os._exit(0)
        while not ready.exists():
            time.sleep(0.01)
        with pytest.raises(StoreConflict, match=f"process {child} on"):
            run(SqliteStore(path))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert_completes(path, clean)

    @pytest.mark.parametrize(
        ("column", "value", "free"),
        [
            ("pid", 2**22 + 1, True),  # no such process
            ("started", "another time", True),
            ("pid", 1, True),  # somebody else's by now
            ("host", "elsewhere", False),
            ("seen", 0.0, True),
        ],
    )
    def test_whose_lock_is_taken_over(self, path: Path, column: str, value: object, free: bool) -> None:
        store = SqliteStore(path)
        store.apply_schema(SCHEMA)
        journal = store.journal()
        journal.claim()
        with sqlite3.connect(path) as connection:
            connection.execute(f"UPDATE _importer SET {column} = ?", (value,))
            if column == "seen":
                connection.execute("UPDATE _importer SET host = 'elsewhere'")
        if not free:
            with pytest.raises(StoreConflict):
                run(store)
        else:
            assert run(store).total.written > 0

    def test_an_importer_whose_lock_was_taken_over_stops(self, path: Path) -> None:
        store = SqliteStore(path)

        def robbed(*_: object) -> None:
            with sqlite3.connect(path) as connection:
                connection.execute("UPDATE _importer SET token = 'other', host = 'elsewhere'")

        with pytest.raises(StoreConflict, match="elsewhere"):
            run(store, robbed)

    def test_it_is_free_after_a_failure(self, path: Path, clean: tuple[str, ImportReport]) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError

        store = SqliteStore(path)
        with pytest.raises(RuntimeError):
            run(store, fail)
        store.close()
        assert_completes(path, clean)


def complaint(store: SqliteStore) -> str:
    """What an import says when it fails; empty when it succeeds."""
    try:
        run(store, write_rows=5 * CHUNK)
    except StoreError as error:
        return str(error)
    return ""


class TestFaults:
    """The disk refuses the n-th write, for every n until the import gets through."""

    def test_files_that_may_not_grow(self, tmp_path: Path, clean: tuple[str, ImportReport]) -> None:
        """The log of writes grows by a frame per page, the page and 24 bytes: each limit stops it at another one."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        complaints: list[str] = []
        frame = connection_module._PAGE + 24
        while not complaints or complaints[-1]:
            path = tmp_path / f"{len(complaints)}.sqlite"
            store = SqliteStore(path)
            resource.setrlimit(resource.RLIMIT_FSIZE, (frame * len(complaints), hard))
            try:
                complaints.append(complaint(store))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            store.close()
            assert_completes(path, clean)
        assert len(complaints) > 50
        assert all("disk" in said for said in complaints[:-1])

    def test_a_full_disk(self, path: Path, clean: tuple[str, ImportReport]) -> None:
        store = SqliteStore(path)
        store.apply_schema(SCHEMA)
        connection = store._connections._own(create=False)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        complaints = []
        while not complaints or complaints[-1]:
            connection.execute(f"PRAGMA max_page_count = {pages + len(complaints)}")
            complaints.append(complaint(store))
        assert len(complaints) > 2
        assert all("Free some space" in said for said in complaints[:-1])
        assert fingerprint(store) == clean[0]
        store.close()

    @pytest.mark.parametrize("fewest", [1, staging.FEWEST_ROWS])
    def test_a_statement_that_breaks_off(
        self, tmp_path: Path, clean: tuple[str, ImportReport], fewest: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(staging, "FEWEST_ROWS", fewest)
        complaints = []
        for n in range(0, 120, 3):
            store = SqliteStore(tmp_path / f"{n}.sqlite")
            store.apply_schema(SCHEMA)
            connection = store._connections._own(create=False)
            calls = iter(range(n))
            connection.set_progress_handler(lambda calls=calls: next(calls, None) is None, 200)
            complaints.append(complaint(store))
            connection.set_progress_handler(None, 0)
            run(store)
            assert fingerprint(store) == clean[0]
            store.close()
        assert sum("interrupted" in said for said in complaints) > 5
        assert not complaints[-1]

    def test_a_folder_that_may_not_be_written(self, clean: tuple[str, ImportReport]) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            path = folder / "graph.sqlite"

            def refused() -> None:
                if os.geteuid() == 0:
                    os.setuid(65_534)  # nobody, as root may write everywhere
                with pytest.raises(StoreUnavailable, match="you may write"):
                    run(SqliteStore(path))

            folder.chmod(0o555)
            assert in_child(refused) == 0
            folder.chmod(0o755)
            assert list(folder.iterdir()) == []
            assert_completes(path, clean)
            folder.chmod(0o555)
            path.chmod(0o444)
            assert in_child(refused) == 0
            folder.chmod(0o755)
            path.chmod(0o644)
            store = SqliteStore(path)
            assert fingerprint(store) == clean[0]
            store.close()


def test_the_clean_import_is_what_it_seems(clean: tuple[str, ImportReport]) -> None:
    report = clean[1]
    assert report.nodes == {"User": Tally(20, 20), "Item": Tally(40, 40), "Tag": Tally(created=4)}
    assert report.edges["TAGGED"] == Tally(20, 20)
    assert report.edges["SEEN"].read == 60
