"""Search on validation, one measurement on test, recorded with its cost; on a set small enough to know the answer."""

import sys

import numpy as np
import pytest

from kgrecall.errors import ConfigError, MissingExtra
from kgrecall.evaluate import Recall
from kgrecall.graph.split import Split
from kgrecall.types import Interactions
from tests.benchmarks.quality import compare, memory, protocol, samplers
from tests.benchmarks.quality.systems import Fitted, Problem, System
from tests.benchmarks.quality.tuning import Budget, Chosen, tune
from tests.benchmarks.record import read_figures

NUM = 6


def events(items):
    return Interactions(np.arange(NUM), np.array(items), np.ones(NUM, np.float32), None, NUM, 3)


class ToyTask:
    """Everybody had item 0, wants item 1 next, then item 2."""

    name, learn_valid, measures, chosen_by = "toy", True, (Recall(1),), Recall(1)
    split = Split(events([0] * NUM), events([1] * NUM), events([2] * NUM))

    for_valid = for_test = Problem(split.train, split.train, None)


def shown(item):
    return lambda users, k: np.full((len(users), k), item, np.int32)


def fit_item(problem, params, seed):
    """Shows item 1 when x is near 3, else item 0; on test (seed given or not) the choice is all that counts."""
    return Fitted(shown(1 if abs(params["x"] - 3) <= 1 else 0), 12)


SEARCHED = System("searched", fit_item, lambda trial: {"x": trial.suggest_int("x", 0, 9)}, {"x": 9})
FIXED = System("fixed", lambda problem, params, seed: Fitted(shown(2), 8))
SEEDED = System("seeded", lambda problem, params, seed: Fitted(shown(2 if seed == 1 else 0), 8), random=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGRECALL_CACHE", str(tmp_path))
    monkeypatch.setenv("KGRECALL_BENCH_RESULTS", str(tmp_path / "figures.jsonl"))


def test_without_optuna_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"pip install -r tests/benchmarks/requirements\.txt"):
        tune(ToyTask(), SEARCHED, Budget())


@pytest.fixture
def optuna():
    return pytest.importorskip("optuna", reason="benchmarks need tests/benchmarks/requirements.txt")


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_the_search_finds_what_is_best_on_validation(optuna, sampler):
    chosen = tune(ToyTask(), SEARCHED, Budget(trials=25, sampler=sampler))
    assert abs(chosen.params["x"] - 3) <= 1
    assert (chosen.value, chosen.trials) == (1.0, 10 if sampler == "grid" else 25)  # the grid has no more points
    assert chosen.seconds > 0


def test_the_first_point_is_the_one_that_practitioners_try(optuna):
    assert tune(ToyTask(), SEARCHED, Budget(trials=1)).params == {"x": 9}


def test_a_search_goes_on_where_it_stopped(optuna):
    calls = []

    def fit(problem, params, seed):
        calls.append(params["x"])
        return fit_item(problem, params, seed)

    system = System("resumed", fit, SEARCHED.suggest, SEARCHED.start)
    tune(ToyTask(), system, Budget(trials=3))
    assert tune(ToyTask(), system, Budget(trials=5)).trials == len(calls) == 5
    tune(ToyTask(), system, Budget(trials=2), fresh=True)
    assert len(calls) == 7


def test_the_budget_of_seconds_ends_a_search(optuna):
    assert tune(ToyTask(), SEARCHED, Budget(trials=10, seconds=0.0)).trials == 1


def test_a_grid_spreads_its_points_evenly_over_each_parameter():
    def suggest(trial):
        return {"k": trial.suggest_int("k", 10, 1000, log=True), "a": trial.suggest_float("a", 0.0, 1.0)}

    assert samplers.grid_of(suggest, 9) == {"k": [10, 100, 1000], "a": [0.0, 0.5, 1.0]}
    assert samplers.grid_of(suggest, 3) == {"k": [10, 1000], "a": [0.0, 1.0]}


def counted(fits):
    def fit(problem, params, seed):
        fits.append(seed)
        return Fitted(shown(2 if seed == 1 else 0), 8)

    return System("counted", fit, random=True)


def test_a_killed_run_goes_on_with_the_seeds_that_are_missing(monkeypatch):
    monkeypatch.setattr(memory, "code_version", lambda: "abc")
    fits = []
    whole = protocol.run(ToyTask(), counted(fits), Budget())
    memory._seed_path(ToyTask(), "counted", {}, 1).unlink()
    again = protocol.run(ToyTask(), counted(fits), Budget())
    assert fits == [0, 1, 2, 1]
    assert [seed.values for seed in again.seeds] == [seed.values for seed in whole.seeds]
    assert again.per_user(Recall(1)).tolist() == whole.per_user(Recall(1)).tolist()
    assert again.seeds[0].fit == whole.seeds[0].fit
    protocol.run(ToyTask(), counted(fits), Budget(), fresh=True)
    assert fits[4:] == [0, 1, 2]


@pytest.mark.parametrize("version", ["abc-dirty", "other"])
def test_other_code_measures_again(monkeypatch, version):
    fits = []
    monkeypatch.setattr(memory, "code_version", lambda: "abc" if version == "other" else version)
    protocol.run(ToyTask(), counted(fits), Budget())
    monkeypatch.setattr(memory, "code_version", lambda: version)
    protocol.run(ToyTask(), counted(fits), Budget())
    assert fits == [0, 1, 2, 0, 1, 2]


def test_systems_without_choices_are_not_tried_on_validation():
    assert tune(ToyTask(), FIXED, Budget(trials=10)) == Chosen({})


def test_random_systems_are_averaged_over_seeds_and_recorded_one_by_one():
    result = protocol.run(ToyTask(), SEEDED, Budget())
    assert result.mean(Recall(1)) == pytest.approx(1 / 3)
    assert result.per_user(Recall(1)).tolist() == pytest.approx([1 / 3] * NUM)
    protocol.record_result(ToyTask(), result)
    figures = [figure for figure in read_figures() if figure.metric == "Recall@1"]
    assert [(figure.seed, figure.value) for figure in figures] == [(0, 0.0), (1, 1.0), (2, 0.0)]
    assert {figure.metric for figure in read_figures()} >= {"fit wall", "size", "users ranked", "Recall@1, 1-4 events"}


def test_the_table_compares_with_the_strongest_that_was_ever_measured(optuna):
    results = {system.name: protocol.run(ToyTask(), system, Budget(trials=25)) for system in (SEARCHED, FIXED)}
    memory.remember(ToyTask(), "fixed", results["fixed"].per_user(Recall(1)))
    known = memory.remembered(ToyTask(), ["fixed", "searched"])
    assert list(known) == ["fixed"]
    lines = compare.table(ToyTask(), list(results.values()), "fixed", known).splitlines()
    assert lines[0].split() == ["toy", "Recall@1", "Recall@1", "-", "fixed"]
    assert lines[2].split() == ["fixed", "1.0000"]
    assert lines[3].startswith("searched")
    assert "-1.0000 [-1.0000, -1.0000], p = 0.0002" in lines[3]
    assert compare.segment_table(ToyTask(), list(results.values())).splitlines()[2].split() == ["searched", "0.0000"]


def test_a_difference_is_recorded_with_its_interval():
    result = protocol.run(ToyTask(), FIXED, Budget())
    protocol.record_difference(ToyTask(), result, "nothing", np.zeros(NUM))
    figure = read_figures()[-1]
    assert (figure.system, figure.metric, figure.value) == ("fixed", "Recall@1 above the strongest baseline", 1.0)
    assert figure.config == {"against": "nothing", "low": 1.0, "high": 1.0, "p": pytest.approx(1 / 5001)}


def test_a_fit_that_was_done_for_another_system_costs_nothing():
    shared = System("shared", lambda problem, params, seed: Fitted(shown(2), 8, shared=True))
    protocol.record_result(ToyTask(), protocol.run(ToyTask(), shared, Budget()))
    assert {(figure.seconds, figure.peak_mb) for figure in read_figures()} == {(None, None)}


def test_only_known_systems_can_be_asked_for():
    with pytest.raises(ConfigError, match="Did you mean 'EASE'"):
        compare._chosen_systems("popularity, EAES")
    assert [system.name for system in compare._chosen_systems("EASE,popularity")] == ["EASE", "popularity"]
