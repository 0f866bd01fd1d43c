"""Is the difference between two systems more than luck? Paired comparison over the same users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kgrecall.errors import ConfigError, ShapeError
from kgrecall.evaluate.measures import Values

_CELLS = 4_000_000  # resampled values held at once: 32 MB


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean of a - b over users, with what resampling the users says about it.

    ``low`` and ``high`` bound the percentile interval of the given ``confidence``; ``standard_error`` is that of the mean
    difference; ``p_value`` two-sided, never 0 (at least 1 / (rounds + 1)).
    """

    difference: float
    low: float
    high: float
    p_value: float
    standard_error: float
    confidence: float

    def __str__(self) -> str:
        return f"{self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}], p = {self.p_value:.2g}"


def paired_bootstrap(a: Values, b: Values, *, seed: int, rounds: int = 5_000, confidence: float = 0.95) -> PairedDifference:
    """Resample the users with replacement and look at the mean of ``a - b``.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 16: the interval is that of percentiles, the
    p-value the share of resamples whose mean, centred at 0, is at least as far from 0 as the observed one.

    Args:
        a, b: one value per user, float64 (n,), of the same users in the same order.

    Raises:
        ShapeError: the arrays differ in shape, or hold no user.
        ConfigError: rounds < 1, or a confidence outside (0, 1).
    """
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        remedy = "Take both from evaluations over the same users."
        raise ShapeError("paired values", expected="two arrays (n,) with n >= 1", got=(a.shape, b.shape), remedy=remedy)
    if rounds < 1:
        raise ConfigError("rounds", expected="an integer >= 1", got=rounds, remedy="5,000 resolve p-values to 0.0002.")
    if not 0 < confidence < 1:
        raise ConfigError("confidence", expected="a share between 0 and 1", got=confidence, remedy="0.95 is customary.")
    difference = a - b
    mean = float(difference.mean())
    means = _resampled_means(difference, rounds, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    tolerance = 1e-12 * max(1.0, abs(mean))  # sums in another order differ in their last bits
    extreme = int((np.abs(means - mean) >= abs(mean) - tolerance).sum())
    error = float(difference.std(ddof=1) / np.sqrt(len(a))) if len(a) > 1 else 0.0
    return PairedDifference(mean, float(low), float(high), (extreme + 1) / (rounds + 1), error, confidence)


def _resampled_means(values: Values, rounds: int, rng: np.random.Generator) -> Values:
    n = len(values)
    means = np.empty(rounds)
    step = max(1, _CELLS // n)
    for start in range(0, rounds, step):
        stop = min(start + step, rounds)
        means[start:stop] = values[rng.integers(0, n, (stop - start, n), dtype=np.int32)].mean(axis=1)
    return means
