"""What a batch holds: a history cut in two, candidates, and nothing that a user has already met."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from kgrecall.model.batches import Batch, BatchSampler, flat_rows


def history(seed: int, num_users: int = 20, num_items: int = 30) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    return sparse.csr_array((rng.random((num_users, num_items)) < 0.2) * rng.integers(1, 4, (num_users, num_items))).astype(
        np.float32
    )


def sampler(matrix: sparse.csr_array, *, num_negatives: int = 8, power: float = 0.5) -> BatchSampler:
    return BatchSampler(matrix, batch_size=7, target_share=0.4, num_negatives=num_negatives, negative_power=power)


def parts(batch: Batch) -> list[tuple[set[int], set[int], set[int]]]:
    """Visible items, targets and excluded candidates of each user."""
    ends = [*batch.offsets.tolist()[1:], len(batch.items)]
    return [
        (
            set(batch.items[start:end].tolist()),
            set(batch.candidates[batch.target_column[batch.target_row == row]].tolist()),
            set(batch.candidates[batch.seen_column[batch.seen_row == row]].tolist()),
        )
        for row, (start, end) in enumerate(zip(batch.offsets.tolist(), ends, strict=True))
    ]


@given(st.integers(0, 2**32 - 1))
def test_every_history_is_cut_into_visible_items_and_targets(seed: int) -> None:
    matrix = history(seed)
    whole = {
        frozenset(matrix.indices[a:b].tolist()) for a, b in zip(matrix.indptr, matrix.indptr[1:], strict=False) if b - a > 1
    }
    found = set()
    for batch in sampler(matrix).epoch(seed, 1):
        candidates = batch.candidates.tolist()
        assert candidates == sorted(set(candidates))
        for visible, targets, seen in parts(batch):
            assert visible
            assert targets
            assert not visible & targets
            assert seen == visible & set(candidates)
            found.add(frozenset(visible | targets))
    assert found == whole


def test_weights_go_with_their_items() -> None:
    matrix = history(3)
    users = np.flatnonzero(np.diff(matrix.indptr) >= 2)
    order = np.random.default_rng([9, 2]).permutation(users)[:7]
    batch = next(iter(sampler(matrix).epoch(9, 2)))
    row = np.searchsorted(batch.offsets.numpy(), np.arange(len(batch.items)), side="right") - 1
    assert np.array_equal(batch.weight.numpy(), matrix[order].toarray()[row, batch.items.numpy()])


def test_an_epoch_depends_on_seed_and_number_alone() -> None:
    matrix = history(1)
    one, again, other = (list(sampler(matrix).epoch(5, number)) for number in (2, 2, 3))
    assert all(
        np.array_equal(a.items, b.items) and np.array_equal(a.candidates, b.candidates) for a, b in zip(one, again, strict=True)
    )
    assert not all(np.array_equal(a.items, b.items) for a, b in zip(one, other, strict=True))


def test_of_many_users_others_are_drawn_for_each_epoch() -> None:
    whole = sampler(history(0))
    some = BatchSampler(whole.history, batch_size=7, target_share=0.4, num_negatives=8, negative_power=0.5, max_batches=2)
    assert len(whole) > 2
    assert len(some) == 2
    first, again, second = (list(some.epoch(0, number)) for number in (1, 1, 2))
    assert [len(batch.offsets) for batch in first] == [7, 7]
    assert [batch.items.tolist() for batch in first] == [batch.items.tolist() for batch in again]
    assert [batch.items.tolist() for batch in first] == [batch.items.tolist() for batch in list(whole.epoch(0, 1))[:2]]
    assert [batch.items.tolist() for batch in first] != [batch.items.tolist() for batch in second]


def test_a_small_catalogue_is_used_whole() -> None:
    batch = next(iter(sampler(history(0), num_negatives=30).epoch(0, 1)))
    assert batch.candidates.tolist() == list(range(30))


def test_negatives_follow_the_power_of_the_degree() -> None:
    matrix = sparse.csr_array(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]], np.float32).repeat(4, axis=0))
    rng, drawer = np.random.default_rng(0), sampler(matrix, num_negatives=1, power=1.0)
    drawn = np.concatenate([drawer._candidates(np.zeros(0, np.int64), rng) for _ in range(3000)])
    share = np.bincount(drawn, minlength=3) / 3000
    assert abs(share[0] - 2 / 3) < 0.03
    assert share[2] == 0  # met by nobody


def test_rarity_is_the_chance_to_be_a_candidate() -> None:
    matrix = history(4, num_users=60, num_items=40)
    drawer = sampler(matrix, num_negatives=6)
    counts, number = np.zeros(40), 0
    for epoch in range(200):
        for batch in drawer.epoch(0, epoch):
            counts[batch.candidates.numpy()] += 1
            number += len(batch.offsets) / 7
    whole = next(iter(sampler(matrix, num_negatives=40).epoch(0, 1)))
    assert not whole.rarity.any()
    assert np.exp(-drawer._rarity) == pytest.approx(counts / number, abs=0.12)


def test_endless_batches_go_on_with_new_cuts() -> None:
    drawer = sampler(history(1))
    batches = drawer.endless(0, 1)
    first, again = ([next(batches).items.numpy() for _ in range(len(drawer))] for _ in range(2))
    assert any(not np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_rows_end_to_end() -> None:
    matrix = sparse.csr_array(np.array([[0, 5, 0], [0, 0, 0], [7, 0, 8]], np.float32))
    flat, row, offsets = flat_rows(matrix, np.array([2, 1, 0]))
    assert matrix.data[flat].tolist() == [7, 8, 5]
    assert row.tolist() == [0, 0, 2]
    assert offsets.tolist() == [0, 2, 2]
