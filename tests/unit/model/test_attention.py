"""The encoder in torch and in numpy are one function; windows hold every event."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kgrecall.errors import ConfigError, CorruptArtifact, ShapeError
from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.model.attention import AttentionConfig, AttentionEncoder
from kgrecall.model.attention_trainer import train_attention
from kgrecall.model.losses import next_items
from kgrecall.model.sequences import Negatives, Sequences, Windows, WindowSampler
from kgrecall.recall.base import QueryBatch, Ragged
from kgrecall.recall.channels.history_encoder import HistoryEncoder

torch.set_num_threads(1)
NUM_ITEMS, DIM, CODES = 40, 16, 7
LENGTHS = (1, 3, 8, 6, 8)


def _encoder(num_layers: int) -> AttentionEncoder:
    """With every array away from where training begins."""
    vectors = np.random.default_rng(0).standard_normal((NUM_ITEMS, DIM)).astype(np.float32)
    config = AttentionConfig(length=8, num_layers=num_layers, inner=12, time_tokens=num_layers == 2)
    encoder = AttentionEncoder(vectors, config, num_moments=CODES, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return encoder.eval()


def _queries() -> QueryBatch:
    rng = np.random.default_rng(3)
    times = [np.sort(rng.integers(0, 10**10, length)) for length in LENGTHS]
    times[1][0] = MISSING_TIME
    items = np.concatenate([rng.choice(NUM_ITEMS, length, replace=False) for length in LENGTHS]).astype(np.int32)
    return QueryBatch(
        num_items=NUM_ITEMS,
        user_pos=np.full(len(LENGTHS), -1),
        history_indptr=np.cumsum([0, *LENGTHS]),
        history_pos=items,
        history_weight=np.ones(len(items), np.float32),
        exclude_indptr=np.zeros(len(LENGTHS) + 1, np.int64),
        exclude_pos=np.zeros(0, np.int32),
        moment=Ragged.of([rng.choice(CODES, 2, replace=False).astype(np.int32) for _ in LENGTHS]),
        history_time=np.concatenate(times),
    )


def _as_windows(queries: QueryBatch) -> Windows:
    assert queries.history_time is not None
    assert queries.moment is not None
    sequences = Sequences(queries.history_indptr, queries.history_pos, queries.history_time)
    items, gaps = np.zeros((2, len(queries), max(LENGTHS)), np.int64)
    moments = np.full((len(queries), max(LENGTHS), 2), -1)
    for i, length in enumerate(LENGTHS):
        part = slice(queries.history_indptr[i], queries.history_indptr[i + 1])
        items[i, :length], gaps[i, :length] = queries.history_pos[part], sequences.gaps()[part]
        moments[i, length - 1] = queries.moment.row(i)
    there = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    return Windows(*(torch.from_numpy(array) for array in (items, gaps, there, moments)))


@pytest.mark.parametrize("num_layers", [1, 2])
def test_numpy_serves_what_torch_learned(num_layers: int) -> None:
    encoder, queries = _encoder(num_layers), _queries()
    served = HistoryEncoder.of(encoder.export()).users(queries)
    with torch.no_grad():
        trained = (encoder(_as_windows(queries)) / encoder.sharpness.exp()).numpy()
    np.testing.assert_allclose(served, trained[np.arange(len(LENGTHS)), np.array(LENGTHS) - 1], atol=1e-5)


def test_no_place_sees_what_comes_after_it() -> None:
    encoder, windows = _encoder(2), _as_windows(_queries())
    changed = Windows(windows.items.clone(), windows.gaps, windows.there, windows.moments)
    changed.items[4, 5:] = 0
    with torch.no_grad():
        before, after = encoder(windows)[4], encoder(changed)[4]
    torch.testing.assert_close(before[:5], after[:5])
    assert (before[5:] - after[5:]).abs().max() > 0.01


def test_arrays_of_another_encoder_are_refused() -> None:
    arrays = _encoder(1).export()
    del arrays["0.up"]
    with pytest.raises(CorruptArtifact, match=r"0\.up"):
        HistoryEncoder.of(arrays)


def _sequences(counts: list[int]) -> Sequences:
    total = sum(counts)
    moments = np.arange(total, dtype=np.int32)[:, None]
    return Sequences(np.cumsum([0, *counts]), np.arange(total, dtype=np.int32), np.arange(total) * 1000, moments)


def test_every_event_is_in_one_window_beside_its_neighbours() -> None:
    counts = [23, 0, 8, 2, 1, 9]
    sampler = WindowSampler(_sequences(counts), length=8, batch_events=20)
    for epoch in range(5):
        seen = list[int]()
        for windows in sampler.epoch(7, epoch):
            assert windows.items.shape[1] <= 8
            assert windows.moments is not None
            for items, there, after in zip(windows.items.numpy(), windows.there.numpy(), windows.moments.numpy(), strict=True):
                row = items[there]
                assert (np.diff(row) == 1).all()
                np.testing.assert_array_equal(after[there][:-1, 0], row[1:])
                assert (after[there.sum() - 1 :] == -1).all()
                seen += row.tolist()
        assert len(seen) == len(set(seen))
        missing = set(range(sum(counts))) - set(seen)
        assert 33 in missing  # a history of one
        assert len(missing) <= 1 + 2 * 2  # and what is cut off alone at either end of the two long ones


def test_batches_follow_from_seed_and_epoch() -> None:
    sampler = WindowSampler(_sequences([23, 40, 9]), length=8, batch_events=20)
    first, again, other = ([w.items.tolist() for w in sampler.epoch(seed, 1)] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_negatives_know_how_likely_they_were() -> None:
    degree = np.array([0, 1, 4, 100, 2500])
    negatives, rng = Negatives(degree, count=4, power=0.5), np.random.default_rng(0)
    drawn, rarity = np.zeros(5), np.zeros(5)
    for _ in range(4000):
        items, values = negatives.draw(rng)
        drawn[items] += 1 / 4000
        rarity[items] = values
    assert drawn[0] == 0
    np.testing.assert_allclose(drawn[1:], np.exp(-rarity[1:]), atol=0.03)
    assert Negatives(degree, count=9, power=0.5).draw(rng)[0].tolist() == [0, 1, 2, 3, 4]


def test_the_loss_is_that_of_its_formula() -> None:
    rng = np.random.default_rng(1)
    own, share, negative, rarity = (
        rng.random((3, 4)),
        np.array([[0, 2, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]),
        rng.random((3, 5)),
        rng.random(5),
    )
    expected = 0.0
    for i in range(3):
        w = share[i] / share[i].sum()
        expected += np.log(w @ np.exp(own[i]) + np.exp(negative[i] + rarity).sum()) - w @ own[i]
    found = next_items(*(torch.tensor(a, dtype=torch.float64) for a in (own, share, negative, rarity)))
    assert float(found) == pytest.approx(expected / 3)


def test_what_does_not_fit_is_refused() -> None:
    vectors = np.ones((NUM_ITEMS, DIM), np.float32)
    with pytest.raises(ConfigError, match="divisor of the dimension 16"):
        train_attention(_sequences([3]), vectors, vectors, AttentionConfig(heads=3))
    with pytest.raises(ShapeError, match="one shape"):
        train_attention(_sequences([3]), vectors, vectors[:5])


def test_nothing_to_predict_leaves_the_start() -> None:
    vectors = np.random.default_rng(0).standard_normal((NUM_ITEMS, DIM)).astype(np.float32)
    trained = train_attention(_sequences([1, 1]), vectors, vectors)
    assert trained.losses == ()
    np.testing.assert_array_equal(trained.arrays["0.value"], np.eye(DIM))
