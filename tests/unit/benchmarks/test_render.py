"""RESULTS.md shows the newest run of each row, and the same figures always give the same text."""

from dataclasses import replace

import pytest

from kgrecall.errors import ConfigError
from tests.benchmarks import __main__ as door
from tests.benchmarks.aims import read_aims
from tests.benchmarks.quality.tasks import SETS
from tests.benchmarks.record import Figure
from tests.benchmarks.render import newest_runs, to_markdown

RUN = Figure(
    "quality", "toy", "popularity", "Recall@20", 0.125, "", None, 1.5, 120.0, "aaaa", "python -m tests.benchmarks quality"
)


def test_the_newest_figure_of_a_row_replaces_older_ones():
    text = to_markdown([RUN, replace(RUN, value=0.25, code_version="bbbb")])
    assert "| popularity | .2500 | 1.5 | 120.0 | bbbb |" in text
    assert ".1250" not in text


def test_seeds_of_one_run_become_mean_and_deviation():
    runs = [replace(RUN, seed=seed, value=value) for seed, value in enumerate([0.1, 0.2, 0.3])]
    assert "| popularity | .2000 ± .1000 | 1.5 | 120.0 | aaaa |" in to_markdown(runs)


def test_seeds_of_an_older_run_never_enter_the_mean():
    old = [replace(RUN, seed=seed, value=0.9) for seed in range(3)]
    new = [replace(RUN, seed=seed, value=0.1, code_version="bbbb") for seed in range(2)]
    assert [figure.value for figure in newest_runs(old + new)[0]] == [0.1, 0.1]


def test_a_row_names_every_version_of_the_code_that_its_figures_come_from():
    later = replace(RUN, metric="NDCG@20", value=0.5, code_version="bbbb", recorded_at="2026-02-01")
    text = to_markdown([later, replace(RUN, recorded_at="2026-01-01")])
    assert "| popularity | .5000 | .1250 | 1.5 | 120.0 | bbbb, aaaa |" in text


def test_a_seed_that_was_run_twice_counts_once():
    assert [f.value for f in newest_runs([replace(RUN, seed=0), replace(RUN, seed=0, value=0.5)])[0]] == [0.5]


def test_systems_stand_beside_each_other_and_metrics_become_columns():
    figures = [
        RUN,
        replace(RUN, system="ours", value=0.5),
        replace(RUN, system="ours", metric="size", unit="MB", value=1234.5, seconds=None, peak_mb=None),
    ]
    lines = to_markdown(figures).splitlines()
    at = lines.index("| system | Recall@20 | size (MB) | CPU s | peak MB | code |")
    assert lines[at + 2 : at + 4] == [
        "| popularity | .1250 |  | 1.5 | 120.0 | aaaa |",
        "| ours | .5000 | 1,234 | 1.5 | 120.0 | aaaa |",
    ]
    assert "    python -m tests.benchmarks quality" in lines


def test_benchmarks_and_data_sets_are_sorted():
    figures = [replace(RUN, benchmark=b, dataset=d) for b in ("z", "a") for d in ("y", "b")]
    heads = [line for line in to_markdown(figures).splitlines() if line.startswith("##")]
    assert heads == ["## a", "### b", "### y", "## z", "### b", "### y"]
    assert to_markdown(figures) == to_markdown(figures[::-1])


AIMS = {
    "level": [
        {"benchmark": "quality", "dataset": "toy", "aims": {"Recall@20": 0.2, "NDCG@20": 0.1}, "guess": {"Recall@20": 0.15}}
    ],
    "gain": [{"benchmark": "cold", "datasets": ["toy", "other"], "metric": "R", "above": ["graph", "text"], "aim": 0.1}],
}


def test_aims_stand_beside_what_was_reached():
    ours = [replace(RUN, system="kgrecall", seed=seed, value=value) for seed, value in enumerate([0.1, 0.14])]
    cold = [
        replace(RUN, benchmark="cold", metric="R", system=system, value=value)
        for system, value in (("kgrecall", 0.36), ("graph", 0.25), ("text", 0.3))
    ]
    lines = to_markdown([*ours, *cold], aims=AIMS).splitlines()
    at = lines.index("## Aims")
    assert [line for line in lines[at : lines.index("## cold")] if line.startswith("| toy")] == [
        "| toy | Recall@20 | .200 | .1200 | no | .150 |",
        "| toy | R, above graph and text | +10% | +20.0% | yes |  |",
    ]


def test_without_anything_that_is_aimed_at_there_is_no_such_section():
    assert "## Aims" not in to_markdown([RUN], aims=AIMS)


def test_every_aim_is_about_a_known_set():
    aims = read_aims()
    named = [level["dataset"] for level in aims["level"]] + [name for gain in aims["gain"] for name in gain["datasets"]]
    assert set(named) <= set(SETS)


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.17604, ".1760"), (-0.5, "-.5000"), (1.0, "1.000"), (98.76, "98.8"), (284999.6, "285,000")]
)
def test_numbers_are_written_as_papers_do(value, shown):
    assert f"| {shown} |" in to_markdown([replace(RUN, value=value)])


def test_a_benchmark_is_a_module_with_a_main_and_is_listed_without_being_imported(tmp_path, capsys):
    (tmp_path / "quality").mkdir()
    (tmp_path / "quality" / "toy.py").write_text('"""Measure toys.\n\nMore."""\nimport nowhere\ndef main(): ...\n')
    (tmp_path / "helper.py").write_text('"""No benchmark."""\n')
    assert door.benchmarks(tmp_path) == {"quality.toy": "Measure toys."}
    assert door.main([]) == 0
    assert len(capsys.readouterr().out.splitlines()) == max(1, len(door.benchmarks()))


def test_an_unknown_benchmark_is_refused_by_name(capsys):
    with pytest.raises(ConfigError, match="nosuch"):
        door.run("nosuch", [])
    assert door.main(["nosuch"]) == 2
    assert "nosuch" in capsys.readouterr().err
