"""Validation never sees the future, and chooses what is better by construction."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from kgrecall.errors import ShapeError
from kgrecall.graph.split import new_pairs
from kgrecall.jobs import choices as choices_module
from kgrecall.jobs import folds as folds_module
from kgrecall.jobs.choices import Validation
from kgrecall.jobs.folds import timed
from kgrecall.kernels import tier
from kgrecall.recall.channels.popularity import PopularityChannel, item_popularity
from kgrecall.types import FloatArray, Interactions

DAY = 86_400_000


def drifting(num_users: int = 40, num_items: int = 30, days: int = 60) -> Interactions:
    """Everyone chooses the items of the season: item i is in demand around day 2 i."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(num_users), days // 3)
    day = rng.integers(0, days, len(user))
    item = np.clip(day // 2 + rng.integers(-2, 3, len(user)), 0, num_items - 1)
    return Interactions(user, item, np.ones(len(user), np.float32), day * DAY + np.arange(len(user)), num_users, num_items)


def test_folds_are_later_than_their_training_events_and_do_not_overlap() -> None:
    folds = Validation.carve(drifting(), 0.1, seed=0).folds
    assert len(folds) == 4  # forty users are few: earlier folds are added
    for fold in folds:
        assert fold.train.time is not None
        assert fold.truth.time is not None
        assert fold.train.time.max() < fold.truth.time.min()
        seen = set(zip(fold.train.user_pos.tolist(), fold.train.item_pos.tolist(), strict=True))
        assert not seen & set(zip(fold.truth.user_pos.tolist(), fold.truth.item_pos.tolist(), strict=True))
        assert set(fold.users.tolist()) == set(fold.truth.user_pos.tolist()) <= set(fold.train.user_pos.tolist())
    for newer, older in pairwise(folds):
        assert older.truth.time is not None
        assert newer.train.time is not None
        assert older.truth.time.max() <= newer.train.time.max()


def test_a_cut_by_user_goes_through_the_middle_of_every_history() -> None:
    fold = Validation.carve(drifting(), 0.1, seed=0, cut="user").folds[0]
    assert fold.train.time is not None
    assert fold.truth.time is not None
    assert fold.train.time.max() > fold.truth.time.min(), "others go on in the meantime"
    for user in fold.users:
        learned, asked = fold.train.time[fold.train.user_pos == user], fold.truth.time[fold.truth.user_pos == user]
        assert learned.max() < asked.min()
        assert len(learned) == 18


def test_where_demand_drifts_recent_popularity_is_chosen() -> None:
    validation = Validation.carve(drifting(), 0.1, seed=0)
    chosen = validation.choose(
        (None, 2.0), lambda events, days: PopularityChannel(item_popularity(events, half_life_days=days))
    )
    assert chosen == 2.0


def test_one_setting_needs_no_measuring() -> None:
    def never(events: Interactions, setting: str) -> PopularityChannel:
        raise AssertionError("a single setting was measured")

    assert Validation.carve(drifting(), 0.1, seed=0).choose(("only",), never) == "only"


def test_settings_are_chosen_on_the_newest_folds_and_fusion_learns_from_all() -> None:
    few, many = (Validation.carve(drifting(num_users), 0.1, seed=0) for num_users in (300, 1000))
    assert len(few.folds) == len(many.folds) == 4
    assert few.judges == few.folds[:3], "two of them ask fewer than 500"
    assert many.judges == many.folds[:1]
    learned: list[Interactions] = []

    def make(events: Interactions, setting: int) -> PopularityChannel:
        learned.append(events)
        return PopularityChannel(item_popularity(events))

    many.choose((1, 2), make)
    assert all(events is many.folds[0].train for events in learned)
    assert many.num_users == sum(len(fold.users) for fold in many.folds)


def test_what_is_built_for_a_choice_is_built_once_and_handed_on() -> None:
    validation = Validation.carve(drifting(300), 0.1, seed=0)
    built: list[tuple[int, float]] = []

    def build(events: Interactions, days: float) -> FloatArray:
        built.append((id(events), days))
        return item_popularity(events, half_life_days=days)

    days = (3000.0, 3.0, 300.0)
    chosen, part = validation.choose_built(days, build, lambda _, counts: PopularityChannel(counts))
    assert chosen == 3.0
    assert chosen == validation.choose(days, lambda e, d: PopularityChannel(item_popularity(e, half_life_days=d)))
    judges = [fold.train for fold in validation.judges]
    for events in judges:
        assert np.array_equal(part(events), item_popularity(events, half_life_days=3.0))
    assert sorted(built) == sorted((id(events), day) for events in judges for day in days)
    only, later = validation.choose_built((7.0,), build, lambda _, counts: PopularityChannel(counts))
    assert (only, len(built)) == (7.0, 9)
    assert later(judges[0]) is later(judges[0])
    assert len(built) == 10


def test_settings_of_large_data_are_chosen_on_the_events_of_some_users(monkeypatch: pytest.MonkeyPatch) -> None:
    validation = Validation.carve(drifting(3000), 0.1, seed=0)
    assert validation.sample.folds == validation.judges, "as long as they are few enough"
    monkeypatch.setattr(choices_module, "MOST_EVENTS", 45_000)
    whole, sample = validation.judges[0], Validation(validation.folds).sample.folds[0]
    assert 44_900 < len(sample.train) <= 45_000 < len(whole.train)
    assert sample.users.tolist() == whole.users.tolist()
    counts = [np.bincount(fold.train.user_pos, minlength=3000) for fold in (sample, whole)]
    assert (counts[0][sample.users] == counts[1][sample.users]).all(), "who judges has a whole history"
    assert np.isin(counts[0] / np.maximum(counts[1], 1), (0, 1)).all(), "and so have all others"
    channel = PopularityChannel(item_popularity(whole.train))
    assert sample.ndcg(channel) == whole.ndcg(channel), "the same users are asked the same"


def test_a_crowd_is_asked_in_one_fold_by_some_of_it_and_taught_by_more() -> None:
    validation = Validation.carve(drifting(8000), 0.1, seed=0, new_items=0.2)
    assert [len(fold.users) for fold in validation.folds] == [4000]
    fold = validation.folds[0]
    crowd = np.unique(fold.crowd.user_pos)
    assert len(crowd) > 500
    assert not np.isin(crowd, np.concatenate([fold.users, fold.visitors])).any()
    assert not fold.new[fold.crowd.item_pos].any()
    assert len(new_pairs(fold.crowd, fold.train)) == len(fold.crowd)


def test_events_kept_apart_are_told_by_a_crowd_too() -> None:
    events = drifting(8000)
    assert events.time is not None
    late = events.time > 54 * DAY
    fold = Validation.carve(events.take(~late), 0.1, seed=0, kept=events.take(late)).folds[0]
    assert len(fold.users) == 4000
    assert len(np.unique(fold.crowd.user_pos)) > 500


def test_the_crowd_is_no_larger_than_twelve_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds_module, "_MOST_USERS", 10)
    monkeypatch.setattr(folds_module, "_MOST_CROWD", 20)
    fold = Validation.carve(drifting(), 0.1, seed=0).folds[0]
    assert (len(fold.users), len(np.unique(fold.crowd.user_pos))) == (10, 20)


def test_a_default_date_of_most_events_can_be_built_on() -> None:
    events = drifting()
    assert events.time is not None
    rng = np.random.default_rng(0)
    events.time[rng.random(len(events)) < 0.95] = events.time.min()
    folds = Validation.carve(events, 0.1, seed=0).folds
    assert folds
    assert folds[0].train.time is not None
    assert set(folds[0].train.time.tolist()) == {events.time.min()}


def test_events_without_times_are_drawn_at_random() -> None:
    events = drifting()
    timeless = Interactions(events.user_pos, events.item_pos, events.weight, None, 40, 30)
    assert not timed(timeless)
    first, again = (Validation.carve(timeless, 0.1, seed=3) for _ in range(2))
    assert len(first.folds) == 4
    assert [f.truth.item_pos.tolist() for f in first.folds] == [f.truth.item_pos.tolist() for f in again.folds]
    assert first.folds[0].truth.item_pos.tolist() != first.folds[1].truth.item_pos.tolist()


def test_what_is_tried_on_many_users_is_tried_with_compiled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[int]()
    monkeypatch.setattr(tier, "answering", told.append)
    validation = Validation.carve(drifting(1000), 0.1, seed=0)
    validation.choose((None, 2.0), lambda events, _: PopularityChannel(item_popularity(events)))
    assert told == [len(fold.users) for _ in range(2) for fold in validation.judges]


def test_too_little_data_gives_no_fold_and_the_first_setting() -> None:
    one = Interactions(np.array([0]), np.array([0]), np.ones(1, np.float32), np.array([5]), 1, 3)
    validation = Validation.carve(one, 0.1, seed=0)
    assert validation.folds == ()
    assert validation.choose((7, 8), lambda events, setting: PopularityChannel(item_popularity(events))) == 7


def test_hidden_items_are_new_to_the_training_part_and_asked_for_apart() -> None:
    events = drifting()
    fold, plain = (Validation.carve(events, 0.1, seed=0, cut="user", new_items=share).folds[0] for share in (0.2, 0.0))
    assert 6 <= fold.new.sum() <= 8
    assert not fold.new[fold.train.item_pos].any()
    assert fold.new[fold.fresh.item_pos].all()
    assert not fold.new[fold.truth.item_pos].any()
    hidden = events.take(fold.new[events.item_pos])
    pairs = {*zip(hidden.user_pos.tolist(), hidden.item_pos.tolist(), strict=True)}
    after, before = ({*zip(part.user_pos.tolist(), part.item_pos.tolist(), strict=True)} for part in (fold.fresh, fold.earlier))
    assert after | before == pairs
    assert not after & before
    assert len(after) < 0.3 * len(before), "only what came after the cut competes with known items"
    assert plain.fresh.item_pos.tolist() == [] or not plain.new[plain.train.item_pos].any()


def test_earlier_folds_hide_other_items() -> None:
    folds = Validation.carve(drifting(), 0.1, seed=0, new_items=0.2).folds
    assert len(folds) == 4
    met = [set(fold.train.item_pos.tolist()) for fold in folds]
    assert met[1] - met[0], "an item that is hidden in the newest fold is known in an earlier one"
    for newer, older in pairwise(folds):
        assert newer.train.time is not None
        assert older.truth.time is not None
        assert older.train.time is not None
        assert older.train.time.max() < newer.train.time.max()


def test_the_curious_have_a_history_and_chose_new_items() -> None:
    fold = Validation.carve(drifting(), 0.1, seed=0, new_items=0.2).folds[0]
    had = {*fold.fresh.user_pos.tolist(), *fold.earlier.user_pos.tolist()}
    assert set(fold.curious.tolist()) == had & set(fold.train.user_pos.tolist())


def test_without_times_all_that_people_had_with_new_items_is_what_comes_next() -> None:
    events = drifting()
    timeless = Interactions(events.user_pos, events.item_pos, events.weight, None, 40, 30)
    fold = Validation.carve(timeless, 0.1, seed=0, new_items=0.2).folds[0]
    hidden = events.take(fold.new[events.item_pos])
    pairs = {*zip(hidden.user_pos.tolist(), hidden.item_pos.tolist(), strict=True)}
    assert {*zip(fold.fresh.user_pos.tolist(), fold.fresh.item_pos.tolist(), strict=True)} == pairs
    assert len(fold.earlier) == 0
    assert set(fold.truth.user_pos.tolist()) == set(fold.users.tolist())


def test_visitors_are_strangers_to_the_training_part_and_bring_their_first_events() -> None:
    events = drifting()
    fold = Validation.carve(events, 0.1, seed=0, new_items=0.2, visitors=0.25).folds[0]
    assert len(fold.visitors) == 10
    assert not np.isin(fold.visitors, fold.train.user_pos).any()
    assert not np.isin(fold.visitors, np.concatenate([fold.users, fold.curious])).any()
    assert not fold.new[fold.told.item_pos].any()
    assert fold.told.time is not None
    for visitor in fold.visitors:
        told = fold.told.user_pos == visitor
        assert 1 <= told.sum() <= 8
        rest = fold.truth.take(fold.truth.user_pos == visitor)
        assert rest.time is not None
        assert fold.told.time[told].max() < rest.time.min()
        met = {*fold.told.item_pos[told].tolist(), *rest.item_pos.tolist()}
        met |= set(fold.fresh.item_pos[fold.fresh.user_pos == visitor].tolist())
        assert met == set(events.item_pos[events.user_pos == visitor].tolist())


def test_events_that_are_kept_for_validation_make_the_first_fold() -> None:
    events = drifting()
    assert events.time is not None
    late = events.time > 50 * DAY
    train, kept = events.take(~late), events.take(late)
    first, *others = Validation.carve(train, 0.1, seed=0, kept=kept).folds
    assert len(first.train) == len(train), "beside everything that is learned from"
    asked = new_pairs(kept, train)
    assert len(first.truth) + len(first.fresh) == len(asked)
    assert set(first.users.tolist()) <= set(asked.user_pos.tolist())
    assert first.new.sum() == len(np.setdiff1d(kept.item_pos, train.item_pos)) > 0
    assert (
        [fold.train.time.max() for fold in others]
        == [  # type: ignore[union-attr]
            fold.train.time.max()  # type: ignore[union-attr]
            for fold in Validation.carve(train, 0.1, seed=0).folds[:3]
        ]
    )


def test_new_items_and_visitors_are_practised_beside_many_kept_events() -> None:
    events = drifting(8000)
    assert events.time is not None
    late = events.time > 50 * DAY
    folds = Validation.carve(events.take(~late), 0.1, seed=0, visitors=0.1, kept=events.take(late)).folds
    assert [len(fold.users) for fold in folds] == [4000, 4000]
    assert [len(fold.visitors) for fold in folds] == [0, 600]


def test_kept_events_of_other_users_are_refused() -> None:
    with pytest.raises(ShapeError, match="of 40 users and 30 items"):
        Validation.carve(drifting(), 0.1, seed=0, kept=drifting(50))
    assert len(Validation.carve(drifting(), 0.1, seed=0, kept=drifting()).folds) == 4, "what is known already asks nobody"
