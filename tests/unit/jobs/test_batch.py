from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kgrecall.errors import ConfigError, UnknownId
from kgrecall.jobs.batch import BatchConfig, recall_all
from kgrecall.jobs.build_report import BuildReport
from kgrecall.jobs.serve import load_engine
from kgrecall.types import Query

SMALL = BatchConfig(shard_users=25)


def _bytes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_every_user_is_answered_as_alone(shop_build: BuildReport, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    query = {"k": 7, "filter": "price < 60"}
    report = recall_all(shop_build.out, out=tmp_path / "a", query=query, config=SMALL, progress=lambda *step: seen.append(step))
    engine = load_engine(shop_build.out)
    users = engine.users.ids.to_pylist()
    assert (report.shards, report.written, report.found, report.users) == (5, 5, 0, len(users))
    assert seen == [("recall", n, 120) for n in (25, 50, 75, 100, 120)]
    table = pq.read_table(tmp_path / "a")
    assert report.rows == len(table) == 7 * len(users)
    rows = table.to_pylist()
    assert [row["user_id"] for row in rows[::7]] == users
    for i in (0, 33, 119):
        found = engine.recall(Query(user_id=users[i], **query))
        mine = rows[7 * i : 7 * i + 7]
        assert [row["item_id"] for row in mine] == list(found.item_ids)
        assert [row["score"] for row in mine] == pytest.approx(found.scores.tolist(), rel=1e-5)
        assert [row["rank"] for row in mine] == list(range(1, 8))
        assert {row["served"] for row in mine} == {found.served}


def test_a_job_goes_on_where_it_was(shop_build: BuildReport, tmp_path: Path) -> None:
    whole, again = tmp_path / "whole", tmp_path / "again"
    recall_all(shop_build.out, out=whole, config=SMALL)
    recall_all(shop_build.out, out=again, config=SMALL)
    (again / "part-00002.parquet").unlink()
    report = recall_all(shop_build.out, out=again, config=SMALL)
    assert (report.written, report.found, report.users) == (1, 4, 25)
    assert _bytes(again) == _bytes(whole)


def test_items_to_leave_out_may_come_as_a_set(shop_build: BuildReport, tmp_path: Path) -> None:
    items = [f"i{number:03}" for number in range(1, 9)]
    for query in ({"exclude": set(items)}, {"exclude": frozenset(reversed(items))}):
        recall_all(shop_build.out, out=tmp_path, query={"k": 3, **query}, config=SMALL)
    assert json.loads((tmp_path / "_job.json").read_text())["query"]["exclude"] == items


def test_workers_share_a_job(shop_build: BuildReport, tmp_path: Path) -> None:
    recall_all(shop_build.out, out=tmp_path / "one", config=SMALL)
    for worker in range(3):
        config = BatchConfig(shard_users=25, worker=worker, workers=3)
        report = recall_all(shop_build.out, out=tmp_path / "three", config=config)
        assert report.written == (2, 2, 1)[worker]
    assert _bytes(tmp_path / "three") == _bytes(tmp_path / "one")


def test_a_killed_job_leaves_whole_files_and_is_completed(shop_build: BuildReport, tmp_path: Path) -> None:
    """Killed at the first file that it finishes, again and again, until there is nothing left to do."""
    recall_all(shop_build.out, out=tmp_path / "whole", config=SMALL)
    out = tmp_path / "killed"
    code = (
        "import sys\nfrom kgrecall.jobs.batch import BatchConfig, recall_all\n"
        "config = BatchConfig(shard_users=25)\n"
        "recall_all(sys.argv[1], out=sys.argv[2], config=config, progress=lambda *a: print(*a, flush=True))"
    )
    for _ in range(2):
        worker = subprocess.Popen(
            [sys.executable, "-c", code, str(shop_build.out), str(out)], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(0.01)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
        for path in out.glob("part-*.parquet"):
            assert len(pq.read_table(path).column("user_id").unique()) in (20, 25)
    recall_all(shop_build.out, out=out, config=SMALL)
    finished = {name: digest for name, digest in _bytes(out).items() if not name.startswith(".")}
    assert finished == _bytes(tmp_path / "whole")


def test_another_job_refuses_the_folder(shop_build: BuildReport, tmp_path: Path) -> None:
    recall_all(shop_build.out, out=tmp_path / "a", users=["u003", "u001"], query={"k": 3})
    assert pq.read_table(tmp_path / "a").column("user_id").to_pylist() == ["u003"] * 3 + ["u001"] * 3
    with pytest.raises(ConfigError, match="out: query"):
        recall_all(shop_build.out, out=tmp_path / "a", users=["u003", "u001"], query={"k": 4})
    with pytest.raises(ConfigError, match="out: users"):
        recall_all(shop_build.out, out=tmp_path / "a", users=["u003"], query={"k": 3})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="an empty folder"):
        recall_all(shop_build.out, out=tmp_path / "b")


@pytest.mark.parametrize("query", [{"user_id": "u001"}, {"history": []}, {"kk": 3}, {"k": 0}])
def test_what_all_users_cannot_share(shop_build: BuildReport, tmp_path: Path, query: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        recall_all(shop_build.out, out=tmp_path / "a", query=query)
    assert not (tmp_path / "a").exists()


def test_unknown_users_and_impossible_workers(shop_build: BuildReport, tmp_path: Path) -> None:
    with pytest.raises(UnknownId, match="u0001"):
        recall_all(shop_build.out, out=tmp_path / "a", users=["u001", "u0001"])
    assert not (tmp_path / "a").exists()
    with pytest.raises(ConfigError, match="below workers"):
        BatchConfig(worker=2, workers=2)


def test_a_job_tells_what_it_was(shop_build: BuildReport, tmp_path: Path) -> None:
    recall_all(shop_build.out, out=tmp_path / "a", users=[], query={"plan": {"pool": 9}})
    job = json.loads((tmp_path / "a" / "_job.json").read_text())
    assert (job["users"], job["query"], job["build"]) == (0, {"plan": {"pool": 9}}, shop_build.build)


def test_users_who_are_not_in_the_model(shop_build: BuildReport, tmp_path: Path) -> None:
    users = ["u005", "nobody", "u006", "none"]
    with pytest.raises(UnknownId, match=r"user 2 of 4: expected users of the model, got 'nobody', and 1 more"):
        recall_all(shop_build.out, out=tmp_path / "a", users=users)
    assert not (tmp_path / "a").exists()
    config = BatchConfig(unknown="popular")
    recall_all(shop_build.out, out=tmp_path / "a", users=users, query={"k": 3}, config=config)
    rows = pq.read_table(tmp_path / "a").to_pylist()
    assert [row["user_id"] for row in rows[::3]] == users
    visitor = load_engine(shop_build.out).recall(Query(history=[], k=3))
    assert [row["item_id"] for row in rows if row["user_id"] == "nobody"] == list(visitor.item_ids)
    assert {row["served"] for row in rows if row["user_id"] == "none"} == {"cold"}


def test_a_query_that_the_engine_refuses_claims_no_folder(shop_build: BuildReport, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="price"):
        recall_all(shop_build.out, out=tmp_path / "a", query={"filter": "prce < 60"})
    assert recall_all(shop_build.out, out=tmp_path / "a", query={"filter": "price < 60"}).written == 1
