from __future__ import annotations

import numpy as np

from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.gaps import NUM_GAPS, gap_codes
from kgrecall.recall.base import QueryBatch
from kgrecall.recall.channels.history_encoder import EncoderLayer, HistoryEncoder
from kgrecall.types import FloatArray

DIM, NUM_ITEMS, LENGTH = 4, 12, 3


def encoder(*, keep: float = 0.0) -> HistoryEncoder:
    """Attention is even, values pass unchanged, nothing else happens: a user is the mean of the newest three."""
    zero, eye, none = np.zeros((DIM, DIM), np.float32), np.eye(DIM, dtype=np.float32), np.zeros(DIM, np.float32)
    layer = EncoderLayer(
        ask=zero,
        ask_bias=none,
        key=zero,
        value=eye,
        out=eye,
        distance=np.zeros((2, LENGTH), np.float32),
        keep=np.array([keep], np.float32),
        up=zero,
        up_bias=none,
        down=zero,
        down_bias=none,
    )
    inputs = np.random.default_rng(0).standard_normal((NUM_ITEMS, DIM)).astype(np.float32)
    return HistoryEncoder((layer,), inputs, np.zeros((NUM_GAPS, DIM), np.float32), np.zeros((0, DIM), np.float32))


def asked(*histories: list[int], weights: list[float] | None = None) -> QueryBatch:
    items = np.array([item for history in histories for item in history], np.int32)
    return QueryBatch(
        num_items=NUM_ITEMS,
        user_pos=np.full(len(histories), -1),
        history_indptr=np.cumsum([0, *(len(history) for history in histories)]),
        history_pos=items,
        history_weight=np.ones(len(items), np.float32) if weights is None else np.array(weights, np.float32),
        exclude_indptr=np.zeros(len(histories) + 1, np.int64),
        exclude_pos=np.zeros(0, np.int32),
    )


def unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def test_only_the_newest_events_count() -> None:
    found = encoder().users(asked([1, 2, 3, 4, 5], [7]))
    inputs = encoder().inputs
    np.testing.assert_allclose(found, [unit(inputs[3:6].sum(axis=0)), unit(inputs[7])], atol=1e-6)


def test_a_weight_is_so_many_times_the_attention() -> None:
    found = encoder().users(asked([1, 2], weights=[3.0, 0.5]))
    inputs = encoder().inputs
    np.testing.assert_allclose(found[0], unit(3 * inputs[1] + 0.5 * inputs[2]), atol=1e-6)


def test_what_weighs_nothing_keeps_its_place_and_does_not_ask() -> None:
    found = encoder(keep=5.0).users(asked([1, 2, 3, 4], [1, 2], [5, 1, 2, 3], weights=[1, 1, 1, 0, 0, 0, 1, 0, 0, 0]))
    inputs = encoder().inputs
    np.testing.assert_allclose(found[0], unit(5 * inputs[3] + (inputs[2] + inputs[3]) / 2), atol=1e-6)
    assert not found[1:].any()  # nothing counts; what counts is too old


def test_many_histories_at_once_answer_like_one_after_the_other() -> None:
    rng = np.random.default_rng(1)
    queries = asked(*(rng.integers(0, NUM_ITEMS, rng.integers(0, 7)).tolist() for _ in range(300)))
    alone = np.concatenate([encoder().users(queries.rows(i, i + 1)) for i in range(300)])
    np.testing.assert_allclose(encoder().users(queries), alone, atol=1e-6)


def test_time_between_events_is_told_in_doubling_steps() -> None:
    seconds = np.array([0, 1, 2, 3, 4, 60, 86_400, 10**10])
    codes = gap_codes(seconds * 1000 + 5000, np.full(len(seconds), 5000))
    assert codes.tolist() == [1, 2, 3, 3, 4, 7, 18, NUM_GAPS - 1]
    assert gap_codes(np.array([MISSING_TIME, 7, 3]), np.array([7, MISSING_TIME, 9])).tolist() == [0, 0, 1]
