"""Settings of slim are tried one kind after the other, each from the best so far."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from kgrecall.graph.knowledge import Incidence
from kgrecall.jobs.choices import Validation
from kgrecall.jobs.slim_choice import SlimChoice
from kgrecall.recall.channels.item_knn import ItemKnnChannel
from kgrecall.recall.channels.slim import SlimConfig, build_slim
from kgrecall.recall.channels.sparse_rows import Matrix
from kgrecall.types import Interactions

USERS, ITEMS, STYLES = 120, 240, 12
CHOICE = SlimChoice(penalties=(SlimConfig(k=8, l2=1), SlimConfig(k=8, l2=8)), neighbours=(30, 2), knowledge=(4.0,))


def styled(seed: int = 0) -> tuple[Interactions, Incidence, Incidence]:
    """People choose few items, all of one style; another relation of the graph says nothing."""
    rng = np.random.default_rng(seed)
    style = rng.integers(0, STYLES, ITEMS)
    users, items = [], []
    for user in range(USERS):
        own = np.flatnonzero(style == rng.integers(0, STYLES))
        chosen = rng.choice(own, min(4, len(own)), replace=False)
        users += [user] * len(chosen)
        items += chosen.tolist()
    events = Interactions(np.array(users), np.array(items), np.ones(len(users), np.float32), None, USERS, ITEMS)
    return events, _incidence("IN_STYLE", style), _incidence("IN_BOX", rng.integers(0, STYLES, ITEMS))


def _incidence(relation: str, node: np.ndarray) -> Incidence:
    matrix = sp.csr_array((np.ones(ITEMS, np.float32), (np.arange(ITEMS), node)), shape=(ITEMS, STYLES))
    return Incidence(relation, relation.title(), matrix, reverse=False)


def _best(choice: SlimChoice, events: Interactions, *knowledge: Incidence) -> SlimConfig:
    folds = Validation.carve(events, 0.2, seed=0)
    found, similarity = choice.best(folds, lambda _: knowledge, lambda _, learned: ItemKnnChannel(learned))
    for fold in folds.folds:
        assert (similarity(fold.train) != build_slim(fold.train, found, knowledge)).nnz == 0
    return found


def _value(events: Interactions, setting: SlimConfig, *knowledge: Incidence) -> float:
    folds = Validation.carve(events, 0.2, seed=0).folds
    return sum(len(f.users) * f.ndcg(ItemKnnChannel(build_slim(f.train, setting, knowledge))) for f in folds)


def test_knowledge_that_tells_is_used_and_the_relation_that_says_nothing_is_left_out() -> None:
    events, style, box = styled()
    found = _best(CHOICE, events, style, box)
    assert found.knowledge == 4.0
    assert found.weights.get("IN_BOX") == 0.0
    assert found.weights.get("IN_STYLE") != 0.0


def test_each_stage_is_no_worse_than_what_it_began_from() -> None:
    events, style, box = styled(1)
    found, knowledge = _best(CHOICE, events, style, box), (style, box)
    first = max(_value(events, setting, *knowledge) for setting in CHOICE.penalties)
    assert _value(events, found, *knowledge) >= first
    assert found.k in {8, 2, 30}


def test_a_trial_that_takes_too_much_work_is_left_out() -> None:
    choice = CHOICE.model_copy(update={"most_work": ITEMS * 20**3 / 3})
    assert _best(CHOICE, styled()[0]).k == 30
    assert _best(choice, styled()[0]).k in {8, 2}


def test_without_knowledge_only_behaviour_is_weighed() -> None:
    found = _best(CHOICE, styled()[0])
    assert (found.knowledge, found.weights) == (0.0, {})


def test_no_setting_is_learned_twice() -> None:
    events, style, box = styled(1)
    learned: list[Matrix] = []

    def serve(_: Interactions, similarity: Matrix) -> ItemKnnChannel:
        learned.append(similarity)
        return ItemKnnChannel(similarity)

    folds = Validation.carve(events, 0.2, seed=0)
    CHOICE.best(folds, lambda _: (style, box), serve)
    assert len({similarity.data.tobytes() for similarity in learned}) == len(learned)


def test_the_first_setting_alone_is_taken_without_measuring() -> None:
    events, style, box = styled()
    assert _best(CHOICE.first(), events, style, box) == CHOICE.penalties[0]
