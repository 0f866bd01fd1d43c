"""A trial builds on the past alone and compares like with like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.trial import COSINE, FUSED, POPULARITY, TUNED, Trial, run_trial


@pytest.fixture(scope="module")
def trial(shop_snapshot: GraphSnapshot, quick_config: BuildConfig, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    root = tmp_path_factory.mktemp("trial")
    return run_trial(shop_snapshot, quick_config, out=root / "model", ks=(5, 10), cache=root / "texts")


def test_the_engine_knows_nothing_of_the_test_part(trial: Trial, shop_snapshot: GraphSnapshot) -> None:
    assert trial.split.train.time is not None
    assert trial.split.test.time is not None
    assert trial.split.train.time.max() < trial.split.test.time.min()
    histories = trial.engine.histories
    for user, item in zip(trial.truth.user_pos.tolist(), trial.truth.item_pos.tolist(), strict=True):
        assert item not in histories.row(user)[0]
    assert len(trial.split.train) + len(trial.split.test) == len(shop_snapshot.interactions())


def test_all_systems_answer_the_same_users(trial: Trial) -> None:
    assert list(trial.warm.evaluations)[:3] == [POPULARITY, COSINE, TUNED]
    assert list(trial.warm.evaluations)[3:] == [*trial.engine.channel_names, FUSED]
    users = trial.warm[FUSED].users
    assert all(np.array_equal(e.users, users) for e in trial.warm.evaluations.values())
    assert set(users.tolist()) <= set(trial.split.train.user_pos.tolist())


def test_planted_taste_is_found(trial: Trial) -> None:
    assert trial.warm[FUSED]["recall@10"] > 1.3 * trial.warm[POPULARITY]["recall@10"]


def test_overlap_is_a_share_of_the_row_channel(trial: Trial) -> None:
    assert trial.overlap.shape == (len(trial.engine.channel_names),) * 2
    assert np.allclose(np.diag(trial.overlap), 1)
    assert ((trial.overlap >= 0) & (trial.overlap <= 1)).all()


def test_nothing_lies_beside_the_artifact(trial: Trial) -> None:
    folder = Path(trial.report.out)
    assert sorted(p.name for p in folder.iterdir()) == sorted([trial.report.build, "current"])


@pytest.mark.parametrize(("ks", "test"), [((0,), 0.1), ((10,), 0.0)])
def test_what_cannot_be_measured_is_said_before_the_build(
    shop_snapshot: GraphSnapshot, quick_config: BuildConfig, tmp_path: Path, ks: tuple[int, ...], test: float
) -> None:
    with pytest.raises(ConfigError):
        run_trial(shop_snapshot, quick_config, out=tmp_path / "model", ks=ks, test=test)
    assert not (tmp_path / "model").exists()
