"""Figures are appended whole, carry where they come from, and are read back."""

import json

import numpy as np
import pytest

from kgrecall.errors import ConfigError, SourceError
from tests.benchmarks import record as module
from tests.benchmarks.record import command, measure, read_figures, record, results_path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.jsonl"


def figure(path, **changed):
    given = {"benchmark": "quality", "dataset": "toy", "system": "popularity", "metric": "Recall@20", "value": 0.25}
    return record(**{**given, **changed}, path=path)


def test_what_is_recorded_is_read_back_in_order(path):
    first = figure(path, seed=0, seconds=1.23456, peak_mb=99.99, config={"k": 200, "beta": 0.5})
    second = figure(path, value=np.float32(0.5), system="Bücher")
    assert read_figures(path) == [first, second]
    assert (first.seconds, first.peak_mb) == (1.2346, 100.0)
    keys = [
        "benchmark",
        "dataset",
        "system",
        "metric",
        "value",
        "unit",
        "seed",
        "seconds",
        "peak_mb",
        "code_version",
        "command",
    ]
    assert list(json.loads(path.read_text(encoding="utf-8").splitlines()[0]))[:11] == keys


def test_a_figure_knows_its_code_and_its_command(path):
    made = figure(path)
    assert made.code_version == module.code_version()
    assert made.code_version.removesuffix("-dirty")
    assert made.command == command()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_failed_run_is_no_figure(path, value):
    with pytest.raises(ConfigError, match="finite"):
        figure(path, value=value)
    assert not path.exists()


@pytest.mark.parametrize("name", ["benchmark", "dataset", "system", "metric"])
def test_a_figure_without_a_name_is_refused(path, name):
    with pytest.raises(ConfigError, match=name):
        figure(path, **{name: ""})


@pytest.mark.parametrize("line", ["{", '{"benchmark": "quality"}', "[]"])
def test_a_broken_line_is_named(path, line):
    figure(path)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(SourceError, match=r"results\.jsonl, line 2"):
        read_figures(path)


def test_no_file_means_no_figures(path):
    assert read_figures(path) == []


def test_scratch_runs_go_to_the_file_that_the_environment_names(monkeypatch, path):
    monkeypatch.setenv("KGRECALL_BENCH_RESULTS", str(path))
    assert results_path() == path
    monkeypatch.delenv("KGRECALL_BENCH_RESULTS")
    assert results_path().name == "results.jsonl"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["/home/me/.venv/bin/python3.11", "-m", "tests.benchmarks", "quality"], "python -m tests.benchmarks quality"),
        (["python", "bench.py", "/data/sets/beauty"], "python bench.py beauty"),
        (["python", "-X", "dev", "-c", "import secrets\n"], "python -X dev -c ..."),
    ],
)
def test_a_command_holds_nothing_of_this_machine(arguments, shown):
    assert command(arguments) == shown


def test_cost_counts_work_and_memory():
    with measure() as cost:
        block = np.ones(20_000_000, np.uint8)
        block.sort()
    assert cost.cpu_seconds > 0
    assert cost.wall_seconds > 0
    assert cost.peak_mb > 20


def test_a_version_without_history_is_that_of_the_package(monkeypatch):
    def no_git(*arguments):
        raise FileNotFoundError("git")

    monkeypatch.setattr(module, "_git", no_git)
    assert module.code_version.__wrapped__().startswith("kgrecall ")


def test_commits_of_figures_alone_are_no_version(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    def committed(path: str) -> str:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
        module._git("add", ".")
        module._git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", path)
        return module._git("rev-parse", "--short=10", "HEAD")

    module._git("init")
    code = committed("kgrecall/types.py")
    committed("tests/benchmarks/results.jsonl")
    committed("README.md")
    assert module.code_version.__wrapped__() == code
    assert committed("tests/benchmarks/record.py") == module.code_version.__wrapped__() != code


@pytest.mark.parametrize(("changed", "expected"), [("", "1a2b3c4d5e"), (" M kgrecall/types.py", "1a2b3c4d5e-dirty")])
def test_changed_sources_make_a_version_dirty(monkeypatch, changed, expected):
    monkeypatch.setattr(module, "_git", lambda *arguments: changed if arguments[0] == "status" else "1a2b3c4d5e")
    assert module.code_version.__wrapped__() == expected
