from __future__ import annotations

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.recall.base import Hits
from kgrecall.recall.fusion.fusion_weights import fit_weights
from kgrecall.recall.fusion.rank_fusion import FusionConfig, fuse, stacked

NUM_QUERIES, NUM_ITEMS, DEPTH = 60, 50, 20


def planted(seed: int = 0) -> tuple[dict[str, Hits], np.ndarray, np.ndarray]:
    """A channel that ranks the two true items high, and one of pure noise."""
    rng = np.random.default_rng(seed)
    truth = np.stack([rng.choice(NUM_ITEMS, 2, replace=False) for _ in range(NUM_QUERIES)])
    good, noise = Hits.empty(NUM_QUERIES, DEPTH), Hits.empty(NUM_QUERIES, DEPTH)
    for i in range(NUM_QUERIES):
        scores = rng.random(NUM_ITEMS) + np.isin(np.arange(NUM_ITEMS), truth[i]) * 0.4
        for hits, by in ((good, scores), (noise, rng.random(NUM_ITEMS))):
            hits.positions[i] = np.argsort(-by)[:DEPTH]
            hits.scores[i] = by[hits.positions[i]]
    return {"good": good, "noise": noise}, np.arange(0, 2 * NUM_QUERIES + 1, 2), truth.ravel()


def naive_ndcg(hits: dict[str, Hits], config: FusionConfig, truth: np.ndarray, k: int) -> float:
    lists = stacked(list(hits.values()))
    by_channel = np.array([config.weight(name) for name in hits], np.float32)[:, None, None]
    fused = fuse(lists, config.calibrate(list(hits), lists) * by_channel, k)
    values = []
    for positions, true in zip(fused.positions, truth.reshape(-1, 2), strict=True):
        gains = [1 / np.log2(rank + 2) for rank, p in enumerate(positions) if p in true]
        values.append(sum(gains) / (1 + 1 / np.log2(3)))
    return float(np.mean(values))


@pytest.mark.parametrize("method", ["rrf", "score"])
def test_noise_loses_its_weight(method: str) -> None:
    hits, indptr, truth = planted()
    fitted = fit_weights(hits, indptr, truth, config=FusionConfig(method=method), k=5)  # type: ignore[arg-type]
    assert fitted.config.weights["good"] == 1
    assert fitted.config.weights["noise"] < 0.5
    assert fitted.value > fitted.equal_weights


def test_the_value_is_that_of_the_fused_list() -> None:
    hits, indptr, truth = planted(1)
    config = FusionConfig(method="score")
    fitted = fit_weights(hits, indptr, truth, config=config, k=5)
    assert fitted.equal_weights == pytest.approx(naive_ndcg(hits, config, truth, 5), abs=1e-6)
    assert fitted.value == pytest.approx(naive_ndcg(hits, fitted.config, truth, 5), abs=1e-6)


def test_the_same_lists_give_the_same_weights() -> None:
    first, again = fit_weights(*planted(2)), fit_weights(*planted(2))
    assert first.config == again.config
    assert first.values.tolist() == again.values.tolist()


def test_an_uncertain_gain_is_not_followed() -> None:
    fitted = fit_weights(*planted(), k=5, caution=1000)
    assert fitted.config.weights == {"good": 1, "noise": 1}
    assert fitted.value == fitted.equal_weights


def test_recall_as_the_measure() -> None:
    hits, _, _ = planted()
    head = hits["good"].positions[:, 0].astype(np.int64)  # the only true item of each query is its first hit
    fitted = fit_weights(hits, np.arange(NUM_QUERIES + 1), head, measure="recall", k=1)
    assert fitted.value == 1


def test_queries_without_truth_are_left_out() -> None:
    hits, indptr, truth = planted()
    none_for_the_last = np.append(indptr[:-1], indptr[-2])
    fitted = fit_weights(hits, none_for_the_last, truth[:-2], k=5)
    fewer = {name: Hits(h.positions[:-1], h.scores[:-1]) for name, h in hits.items()}
    assert fitted.value == fit_weights(fewer, indptr[:-1], truth[:-2], k=5).value


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(ConfigError, match="held-out"):
        fit_weights({"a": Hits.empty(2, 3)}, np.array([0, 0, 0]), np.zeros(0, np.int64))
