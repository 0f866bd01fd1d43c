"""What channels cost is measured on few users and carried over to all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.costs import Cost, Overhead, Probe, Work, carried
from kgrecall.jobs.maker import Maker
from kgrecall.model.trainer import ModelConfig
from kgrecall.types import Interactions, no_progress

Planted = Callable[..., GraphSnapshot]


def events(num_users: int, each: int) -> Interactions:
    users = np.repeat(np.arange(num_users), each)
    items = np.arange(num_users * each) % 50
    return Interactions(users, items, np.ones(len(users), np.float32), None, num_users, 50)


def test_the_work_is_what_training_does() -> None:
    model = ModelConfig(batch_size=100, min_steps=8, max_steps=20)
    assert Work.of(events(400, 3), model) == Work(1200, 400, 8)
    assert Work.of(events(1000, 3), model) == Work(3000, 1000, 10)
    assert Work.of(events(5000, 3), model) == Work(15000, 2000, 20)


@pytest.mark.parametrize("power", [0.0, 0.4, 1.0])
def test_learning_and_asking_grow_with_a_power_of_the_events(power: float) -> None:
    def measured(size: int) -> tuple[Work, Cost]:
        return Work(size, size, 1), Cost(2 * (size / 1000) ** power, 0, 0.01 * (size / 1000) ** power)

    found = carried([measured(1000), measured(20_000)], Work(1_000_000, 1_000_000, 1))
    assert found.learn == pytest.approx(2 * 1000**power)
    assert found.ask == pytest.approx(0.01 * 1000**power)


def test_nothing_shrinks_and_nothing_grows_faster_than_the_events() -> None:
    works = Work(1000, 10, 1), Work(10_000, 100, 1)
    shrinking = carried([(works[0], Cost(5, 0, 0)), (works[1], Cost(3, 0, 0))], Work(1_000_000, 100, 1))
    assert shrinking.learn == 3
    racing = carried([(works[0], Cost(1, 0, 0)), (works[1], Cost(50, 0, 0))], Work(100_000, 100, 1))
    assert racing.learn == pytest.approx(500)
    alone = carried([(works[1], Cost(3, 0, 0.1))], Work(100_000, 1000, 1))
    assert (alone.learn, alone.ask) == pytest.approx((30, 1))


def test_an_epoch_takes_so_much_a_step_and_so_much_a_user() -> None:
    def measured(users: int, steps: int) -> tuple[Work, Cost]:
        return Work(1, users, steps), Cost(0, 0.5 * steps + 0.001 * users, 0)

    found = carried([measured(300, 1), measured(3000, 8)], Work(1, 100_000, 100))
    assert found.epoch == pytest.approx(150)
    by_users = carried([(Work(1, 300, 3), Cost(0, 1, 0)), (Work(1, 3000, 3), Cost(0, 30, 0))], Work(1, 30_000, 30))
    assert by_users.epoch == pytest.approx(300)
    assert carried([measured(300, 1)], Work(1, 600, 4)).epoch == pytest.approx(4 * 0.8)


def test_fusing_grows_with_channels_and_queries() -> None:
    overhead = Overhead(weights=0.001, network=0.1, writing=1e-6)
    assert overhead.fusing(4, 100, 0) == pytest.approx(100 * 8 * 0.001 + 10 * 4 * 0.1)
    assert overhead.fusing(4, 100, 300) == pytest.approx(100 * 8 * 0.001 + 20 * 4 * 0.1)


@pytest.fixture
def maker() -> Maker:
    config = BuildConfig(encoder=None)
    return Maker(config, config.channels, None, {}, 0, "cpu", no_progress)


def test_a_probe_measures_what_a_build_does(planted: Planted, maker: Maker) -> None:
    snapshot = planted()
    probe = Probe(snapshot, snapshot.interactions(), maker, 200)
    assert 0 < probe.work.events < 0.8 * len(snapshot.interactions())
    cost, overhead = probe.essential
    assert min(cost.learn, cost.ask, overhead.weights, overhead.writing) > 0
    assert cost.epoch == 0
    assert probe.cost().learn > 0
    trained = probe.cost("vector")
    assert trained.epoch > 0
    assert trained.beside(cost).learn == pytest.approx(trained.learn - cost.learn)
    assert maker.watch.seconds == {}  # measuring is no stage of the build


def test_a_probe_measures_a_channel_for_which_there_is_nothing(planted: Planted, maker: Maker) -> None:
    snapshot = planted(tells=False)
    probe = Probe(snapshot, snapshot.interactions(), maker, 1000)
    assert probe.cost("attributes").learn > 0
    assert probe.cost("text").epoch == 0
