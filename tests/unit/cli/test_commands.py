"""The command line: the whole path on a small shop, JSON for scripts, and every mistake as one readable line."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kgrecall.cli.app import app
from kgrecall.errors import ConfigError, KGRecallError, NotBuilt, SchemaError, SourceError, TooManyBadRows, UnknownId
from kgrecall.jobs.build_report import BuildReport

VERBS = [
    "inspect",
    "ingest",
    "delete",
    "stats",
    "datasets",
    "build",
    "recall",
    "recall-all",
    "explain",
    "evaluate",
    "demo",
    "doctor",
]


def run(*arguments: str | Path) -> str:
    """Standard output of a command that must succeed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str | Path) -> KGRecallError:
    """The error of a command that must fail."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert isinstance(result.exception, KGRecallError), result.exception
    return result.exception


def test_help_names_the_verbs_in_the_order_of_the_flow() -> None:
    text = run("--help")
    places = [text.index(f" {verb} ") for verb in VERBS]
    assert places == sorted(places)


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_and_option_is_explained(verb: str) -> None:
    command = next(c for c in app.registered_commands if (c.name or c.callback.__name__) == verb)  # type: ignore[union-attr]
    assert command.callback is not None
    assert command.callback.__doc__
    assert "--help" in run(verb, "--help")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['kgrecall', '--help']\n"
        "from kgrecall.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'pyarrow', 'polars', 'pydantic', 'scipy', 'transformers', 'neo4j'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_import_twice_and_look(shop_files: Path, tmp_path: Path) -> None:
    store = tmp_path / "shop.sqlite"
    first = json.loads(run("ingest", shop_files, "--mapping", "shop", "--store", store, "--json"))
    second = json.loads(run("ingest", shop_files, "--mapping", "shop", "--store", store, "--json"))
    assert first["nodes"]["Item"]["written"] == 80
    assert all(t["written"] == 0 for kind in ("nodes", "edges") for t in second[kind].values())
    stats = json.loads(run("stats", "--store", store, "--json"))
    assert stats["nodes"]["User"] == 120
    assert stats["edges"]["VIEWED"] == first["edges"]["VIEWED"]["written"]
    assert "VIEWED" in run("stats", "--store", store)


def test_a_person_is_forgotten(shop_files: Path, tmp_path: Path) -> None:
    store = tmp_path / "shop.sqlite"
    run("ingest", shop_files, "--mapping", "shop", "--store", store)
    assert b"u007" in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert json.loads(run("delete", "User", "u007", "--store", store, "--json"))["nodes"] == 1
    assert all(b"u007" not in path.read_bytes() for path in tmp_path.iterdir())
    assert json.loads(run("stats", "--store", store, "--json"))["nodes"]["User"] == 119
    assert "0 of 1" in run("delete", "User", "u007", "--store", store)


def test_edges_are_deleted_by_their_ends(shop_files: Path, tmp_path: Path) -> None:
    store = tmp_path / "shop.sqlite"
    run("ingest", shop_files, "--mapping", "shop", "--store", store)
    user, item = next(csv.reader((shop_files / "purchases.csv").read_text().splitlines()[1:]))[:2]
    before = json.loads(run("stats", "--store", store, "--json"))["edges"]["PURCHASED"]
    gone = json.loads(run("delete", "PURCHASED", user, item, "--store", store, "--json"))["edges"]
    assert gone > 0
    assert json.loads(run("stats", "--store", store, "--json"))["edges"]["PURCHASED"] == before - gone
    assert "0 PURCHASED edges deleted" in run("delete", "PURCHASED", user, item, "--store", store)
    assert isinstance(refused("delete", "PURCHASED", user, "--store", store), ConfigError)


def test_too_many_bad_records_stop_the_import(shop_files: Path, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    shutil.copytree(shop_files, folder)
    with (folder / "views.csv").open("a") as file:
        file.write("u001,i001,someday\n" * 5)
    store = tmp_path / "shop.sqlite"
    assert isinstance(refused("ingest", folder, "--mapping", "shop", "--store", store, "--max-bad", "3"), TooManyBadRows)
    report = json.loads(run("ingest", folder, "--mapping", "shop", "--store", store, "--json"))
    assert report["reasons"] == {"not_a_time": 5}
    lines = (tmp_path / "shop.quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line)["value"] for line in lines] == ["someday"] * 5


def test_inspect_proposes_a_mapping_that_works(shop_files: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "mine.toml"
    run("inspect", shop_files, "--out", mapping)
    report = json.loads(run("ingest", shop_files, "--mapping", mapping, "--store", tmp_path / "mine.sqlite", "--json"))
    assert sum(tally["quarantined"] for kind in ("nodes", "edges") for tally in report[kind].values()) == 0
    assert sum(tally["written"] for tally in report["nodes"].values()) >= 200


def test_recall_and_explain(shop_build: BuildReport) -> None:
    found = json.loads(run("recall", shop_build.out, "--user", "u005", "-k", "4", "--json"))
    assert [c["rank"] for c in found["candidates"]] == [1, 2, 3, 4]
    best = found["candidates"][0]["item_id"]
    why = json.loads(run("explain", shop_build.out, best, "--user", "u005", "--json"))
    assert why["paths"]
    assert sum(why["contributions"].values()) == pytest.approx(found["candidates"][0]["score"], rel=1e-5)
    assert best in run("recall", shop_build.out, "--user", "u005", "-k", "4")
    some = json.loads(run("recall", shop_build.out, "--user", "u005", "--filter", "price < 30", "--json"))
    assert {c["item_id"] for c in some["candidates"]} != {c["item_id"] for c in found["candidates"]}
    assert sum(why["attribution"]["sources"].values()) == pytest.approx(found["candidates"][0]["score"], rel=1e-4)
    told = run("explain", shop_build.out, best, "--user", "u005", "--counterfactual", "--language", "zh")
    assert "score =" in told
    assert "owed to: " in told
    assert "如果没有您对《" in told
    assert len(json.loads(run("recall", shop_build.out, "--history", "i001", "--json"))["candidates"]) == 10
    said = json.loads(run("recall", shop_build.out, "--taste", "waterproof tent", "--json"))
    assert (said["served"], "liking for" in said["notes"][0]) == ("warm", True)


def test_recall_for_a_visitor_with_a_plan(shop_build: BuildReport, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[[rules]]\nname = "dear"\nfilter = "price > 50"\nfactor = 2\n[diversity]\nat_most = {MADE_BY = 1}\n')
    who = ["--attribute", "country=NO", "--attribute", "birth_year=1980", "--context", "hour=8", "--friend", "u007"]
    found = json.loads(run("recall", shop_build.out, *who, "--plan", plan, "--json"))
    assert {"peers", "context", "friends"} <= set(found["channels"])
    assert found["served"] == "warm"
    assert found["trace"][1].startswith("rule 'dear' (x 2): ")
    assert any(candidate["effects"].get("dear", 0) > 0 for candidate in found["candidates"])
    assert "dear (effect)" in run("recall", shop_build.out, *who, "--plan", plan)
    whole = json.loads(run("recall", shop_build.out, "--query", '{"friends": ["u007"], "k": 3}', "--json"))
    assert len(whole["candidates"]) == 3
    best = whole["candidates"][0]["item_id"]
    assert "friend u007" in run("explain", shop_build.out, best, "--friend", "u007", "--limit", "9")
    for wrong in (["--attribute", "NO"], ["--query", "[1]"], ["--query", "{"], ["--query", '{"freind": 1}']):
        assert isinstance(refused("recall", shop_build.out, *wrong), ConfigError)


def test_recall_for_all(shop_build: BuildReport, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("u003\nu001\n")
    args = ["recall-all", shop_build.out, "--out", tmp_path / "a", "--users", tmp_path / "users.txt", "-k", "4"]
    assert json.loads(run(*args, "--json"))["rows"] == 8
    assert "1 of 1 files were there already" in run(*args)
    assert isinstance(refused(*args[:-1], "5"), ConfigError)
    assert isinstance(refused(*args, "--worker", "first"), ConfigError)


def test_build_from_a_store(shop_store: Path, tmp_path: Path) -> None:
    settings = tmp_path / "build.toml"
    settings.write_text('encoder = "hashing"\nchannels = ["item_knn", "text", "popularity"]\n')
    facts = json.loads(run("build", "--store", shop_store, "--out", tmp_path / "model", "--config", settings, "--json"))
    assert set(facts["weights"]) == {"item_knn", "text", "popularity"}
    table = run("evaluate", "--store", shop_store, "--out", tmp_path / "trial", "--config", settings, "-k", "5")
    assert "Recall@5" in table
    assert "tuned item-kNN" in table


def test_the_gate_judges_the_graph_of_a_store(shop_store: Path) -> None:
    args = ["evaluate", "--store", shop_store, "--gate", "--quick", "--encoder", "hashing", "-k", "10"]
    facts = json.loads(run(*args, "--json"))
    assert facts["measure"] == "Recall@10"
    assert {row["question"] for row in facts["graph"]} >= {"warm users", "sparse users", "new items"}
    assert {row["question"] for row in facts["text"]} == {row["question"] for row in facts["graph"]}
    assert {row["relation"] for row in facts["relations"]} >= {"MADE_BY"}
    assert "FOLLOWS" in facts["notes"][0]  # between users: the quick pipeline cannot judge it
    shown = run(*args)
    assert "Your graph is worth" in shown
    assert "relation" in shown


def test_a_trial_needs_a_folder(shop_store: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", "--store", str(shop_store)])
    assert isinstance(result.exception, ConfigError)
    assert "--gate" in str(result.exception)


def test_data_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KGRECALL_CACHE", str(tmp_path))
    assert "movielens-100k" in run("datasets")
    folder = Path(run("datasets", "sample-shop").strip())
    assert (folder / "items.csv").is_file()


def test_doctor_reports_and_fails_for_a_broken_store(tmp_path: Path) -> None:
    assert json.loads(run("doctor", "--json"))["ok"] is True
    bad = tmp_path / "bad.sqlite"
    bad.write_bytes(b"this is no database" * 100)
    result = CliRunner().invoke(app, ["doctor", "--store", str(bad), "--json"])
    assert result.exit_code == 1
    assert "broken" in json.loads(result.stdout)["store"]


def test_mistakes_are_named(shop_files: Path, shop_build: BuildReport, tmp_path: Path) -> None:
    store = tmp_path / "x.sqlite"
    assert isinstance(refused("ingest", tmp_path, "--mapping", "shop", "--store", store), SourceError)
    assert "Did you mean 'shop'" in str(refused("ingest", shop_files, "--mapping", "shopp", "--store", store))
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[nodess]\n")
    assert isinstance(refused("ingest", shop_files, "--mapping", wrong, "--store", store), SchemaError)
    assert isinstance(refused("recall", tmp_path / "none", "--user", "u1"), NotBuilt)
    assert isinstance(refused("recall", shop_build.out, "--user", "u0005"), UnknownId)
    assert isinstance(refused("recall", shop_build.out, "--user", "u005", "-k", "0"), ConfigError)
    assert isinstance(refused("recall", shop_build.out), ConfigError)
    assert isinstance(refused("explain", shop_build.out, "i9999", "--user", "u005"), UnknownId)


def test_too_many_bad_records_have_an_exit_code_of_their_own(shop_files: Path, tmp_path: Path) -> None:
    shutil.copytree(shop_files, tmp_path / "raw")
    with (tmp_path / "raw" / "views.csv").open("a") as file:
        file.write("u001,i001,someday\n")
    command = [
        sys.executable,
        "-m",
        "kgrecall",
        "ingest",
        str(tmp_path / "raw"),
        "-m",
        "shop",
        "-s",
        str(tmp_path / "s.sqlite"),
    ]
    result = subprocess.run([*command, "--max-bad", "0"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 3, result.stderr
    assert result.stderr.startswith("kgrecall: TooManyBadRows: ")
    assert len(result.stderr.strip().splitlines()) == 1, "no progress bar where there is no terminal"
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    assert "not_a_time" in result.stdout


def test_the_process_prints_one_line_and_exits_with_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kgrecall", "recall", str(tmp_path / "none"), "--user", "u1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "80"})
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("kgrecall: NotBuilt: ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_files_that_cannot_be_read_or_written(shop_build: BuildReport, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"M\xfcller\n")
    for users in (tmp_path / "nothing", tmp_path, tmp_path / "latin"):
        error = refused("recall-all", shop_build.out, "--out", tmp_path / "a", "--users", users)
        assert isinstance(error, ConfigError)
        assert "--users: expected a text file in UTF-8" in str(error)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "views.csv").write_text("user_id,item_id,Price [eur],[/x]\nu1,i1,3.5,a\nu2,i2,4.5,b\nu1,i2,4.5,c\n")
    for out in (tmp_path / "absent" / "x.toml", tmp_path):
        assert "--out: expected a file that can be written" in str(refused("inspect", tmp_path / "raw", "--out", out))
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "raw"), "--out", str(tmp_path / "x.toml")])
    assert result.exit_code == 0
    assert "Price [eur] number" in result.stderr


def test_a_list_of_users_as_excel_writes_it(shop_build: BuildReport, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes(b"\xef\xbb\xbfu001\r\n u002 \r\n\r\nnobody\r\n")
    run(
        *("recall-all", shop_build.out, "--out", tmp_path / "a", "--users", tmp_path / "ids.txt", "-k", "2"),
        *("--unknown", "popular"),
    )
    import pyarrow.parquet as pq

    assert pq.read_table(tmp_path / "a")["user_id"].to_pylist() == ["u001"] * 2 + ["u002"] * 2 + ["nobody"] * 2
