"""The paired bootstrap: known limits, a normal approximation as the second opinion, and its refusals."""

import numpy as np
import pytest

from kgrecall.errors import ConfigError, ShapeError
from kgrecall.evaluate import paired_bootstrap
from kgrecall.evaluate.significance import _resampled_means


def samples(shift, n=400, seed=7):
    rng = np.random.default_rng(seed)
    b = rng.random(n)
    return b + rng.normal(shift, 0.2, n), b


def test_equal_systems_do_not_differ():
    a, _ = samples(0)
    result = paired_bootstrap(a, a.copy(), seed=0)
    assert (result.difference, result.low, result.high, result.p_value) == (0, 0, 0, 1)


def test_a_constant_gain_is_certain():
    _, b = samples(0)
    result = paired_bootstrap(b + 0.25, b, seed=0, rounds=999)
    assert result.low == pytest.approx(0.25)
    assert result.high == pytest.approx(0.25)
    assert result.p_value == pytest.approx(1 / 1000)


def test_interval_and_error_agree_with_the_normal_approximation():
    a, b = samples(0.02)
    result = paired_bootstrap(a, b, seed=1)
    error = (a - b).std(ddof=1) / np.sqrt(len(a))
    assert result.standard_error == pytest.approx(error)
    assert result.low == pytest.approx(result.difference - 1.96 * error, abs=0.1 * error)
    assert result.high == pytest.approx(result.difference + 1.96 * error, abs=0.1 * error)


def test_p_values_of_equal_systems_are_spread_evenly():
    p = np.array([paired_bootstrap(*samples(0, n=100, seed=s), seed=s, rounds=400).p_value for s in range(200)])
    assert 0.01 <= (p < 0.05).mean() <= 0.10
    assert 0.4 <= (p < 0.5).mean() <= 0.6


def test_exchanging_the_systems_turns_the_sign():
    a, b = samples(0.03)
    there, back = paired_bootstrap(a, b, seed=3), paired_bootstrap(b, a, seed=3)
    assert there.difference == -back.difference
    assert there.low == pytest.approx(-back.high)
    assert there.p_value == back.p_value


def test_the_same_seed_gives_the_same_answer_however_the_work_is_cut(monkeypatch):
    a, b = samples(0.01)
    whole = _resampled_means(a - b, 50, np.random.default_rng(5))
    monkeypatch.setattr("kgrecall.evaluate.significance._CELLS", 3 * len(a))
    np.testing.assert_array_equal(_resampled_means(a - b, 50, np.random.default_rng(5)), whole)


def test_it_reads_as_a_sentence_of_numbers():
    _, b = samples(0)
    assert str(paired_bootstrap(b + 0.25, b, seed=0, rounds=999)) == "+0.2500 [+0.2500, +0.2500], p = 0.001"


@pytest.mark.parametrize(("a", "b"), [(np.ones(3), np.ones(4)), (np.ones(0), np.ones(0)), (np.ones((2, 2)), np.ones((2, 2)))])
def test_unpaired_values_are_refused(a, b):
    with pytest.raises(ShapeError, match="same users"):
        paired_bootstrap(a, b, seed=0)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        paired_bootstrap(np.ones(3), np.ones(3), seed=0, **wrong)
