"""Each channel's settings are its own, and what needs times is chosen only where there are some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from kgrecall.graph.knowledge import Incidence
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.choices import Validation
from kgrecall.jobs.chosen import Chosen, choose_settings
from kgrecall.recall.channels.ease import EaseConfig
from kgrecall.recall.channels.factors import FactorsConfig
from kgrecall.recall.channels.item_graph import ItemGraphConfig, build_item_graph
from kgrecall.recall.channels.item_knn import ItemKnnChannel
from kgrecall.recall.channels.sequence import SequenceConfig
from kgrecall.recall.channels.user_knn import UserKnnConfig
from kgrecall.types import Interactions

USERS, ITEMS, STEPS = 60, 40, 24
CONFIG = BuildConfig(
    channels=("item_knn", "user_knn", "sequence", "ease", "factors"),
    item_knn=BuildConfig().item_knn[:1],
    trends=(None,),
    history_half_lives=(None, 1.0),
    user_knn=(UserKnnConfig(k=10),),
    sequence=(SequenceConfig(half_life=None), SequenceConfig(window=2, half_life=1.0)),
    ease=(EaseConfig(l2=1),),
    factors=(FactorsConfig(dim=4, regularization=100.0), FactorsConfig(dim=8)),
)


def wandering() -> Interactions:
    """Everyone walks along a ring of items in small steps: what was chosen last tells what comes next."""
    rng = np.random.default_rng(0)
    steps = rng.integers(1, 3, (USERS, STEPS)).cumsum(axis=1) + rng.integers(0, ITEMS, (USERS, 1))
    user = np.repeat(np.arange(USERS), STEPS)
    time = np.tile(np.arange(STEPS) * 1000, USERS) + user
    return Interactions(user, steps.ravel() % ITEMS, np.ones(len(user), np.float32), time, USERS, ITEMS)


def chosen(events: Interactions) -> Chosen:
    return choose_settings(CONFIG, Validation.carve(events, 0.1, seed=0), events, CONFIG.channels, seed=0)


def test_where_the_last_choice_tells_the_next_old_ones_fade_in_every_channel() -> None:
    found = chosen(wandering())
    assert found.history_half_life == 1.0
    assert found.ease is not None
    assert found.user_knn is not None
    assert found.sequence is not None
    assert (found.ease.half_life, found.user_knn.half_life, found.sequence.window) == (1.0, 1.0, 2)


def test_factors_that_say_nothing_are_not_chosen() -> None:
    assert chosen(wandering()).factors == FactorsConfig(dim=8)


def test_without_times_nothing_fades_and_nothing_follows() -> None:
    found = chosen(replace(wandering(), time=None))
    assert found.ease is not None
    assert found.user_knn is not None
    assert (found.history_half_life, found.ease.half_life, found.user_knn.half_life) == (None, None, None)
    assert found.sequence is None


def test_channels_that_were_not_asked_for_are_not_tried() -> None:
    events = wandering()
    found = choose_settings(CONFIG, Validation.carve(events, 0.1, seed=0), events, ("item_knn",), seed=0)
    assert (found.ease, found.user_knn, found.sequence, found.factors) == (None, None, None, None)


def test_the_weight_of_knowledge_is_what_validation_likes_best() -> None:
    beside = csr_array(np.repeat(np.eye(ITEMS // 4, dtype=np.float32), 4, axis=0))
    known = (Incidence("DISTRICT", "District", beside, reverse=False),)
    settings = tuple(ItemGraphConfig(knowledge=weight, hub_share=1.0) for weight in (0.01, 1.0, 100.0))
    config, events = CONFIG.model_copy(update={"item_graph": settings}), wandering()
    folds = Validation.carve(events, 0.1, seed=0)

    def value(setting: ItemGraphConfig) -> float:
        return sum(len(f.users) * f.ndcg(ItemKnnChannel(build_item_graph(f.train, known, setting)[0])) for f in folds.folds)

    values = [value(setting) for setting in settings]
    assert len(set(values)) == 3
    found = choose_settings(config, folds, events, ("item_graph",), knowledge=lambda _: known, seed=0)
    assert found.item_graph == settings[int(np.argmax(values))]
    asked: list[int] = []

    def then(seen: Interactions) -> tuple[Incidence, ...]:
        asked.append(len(seen))
        return known

    choose_settings(config, folds, events, ("item_graph",), knowledge=then, seed=0)
    assert set(asked[1:]) == {len(fold.train) for fold in folds.judges}, "no fold looks at what came after it"
    assert choose_settings(config, folds, events, ("item_graph",), seed=0).item_graph is None
