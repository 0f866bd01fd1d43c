"""Ceiling, gains and overlap of channels whose hits are written down by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kgrecall.jobs.asked import Asked
from kgrecall.jobs.channel_report import ChannelReport
from kgrecall.recall.base import Hits
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.recall.fusion.surroundings import Surroundings


def hits(*rows: list[int]) -> Hits:
    positions = np.array(rows, np.int32)
    return Hits(positions, np.where(positions >= 0, np.arange(positions.shape[1], 0, -1), -np.inf).astype(np.float32))


@pytest.fixture
def asked() -> Asked:
    """Two queries; the first wants 1 and 9, the second 2 and 7. Nobody finds 7 and 9; a finds 1, b finds 2, c repeats a."""
    found = {"a": hits([1, 3], [4, 5]), "b": hits([3, 6], [2, 4]), "c": hits([1, 3], [4, -1])}
    around = Surroundings(np.zeros((1, 10), np.float32), np.zeros(2, np.int64), np.ones(2, np.float32), np.zeros(2, np.bool_))
    return Asked(found, np.array([0, 2, 4]), np.array([1, 9, 2, 7]), around, np.zeros((1, 10), np.bool_), np.zeros(2, np.int8))


def test_what_the_channels_hold(asked: Asked) -> None:
    report = ChannelReport.of(asked, FusionConfig(method="score"))
    assert report.ceiling == 0.5
    assert [part.holds for part in report.parts] == [0.25, 0.25, 0.25]
    assert [part.only for part in report.parts] == [0, 0.25, 0]
    assert (report.num_queries, report.depth) == (2, 2)


def test_the_gain_of_a_channel_is_what_the_fused_list_loses(asked: Asked) -> None:
    report = ChannelReport.of(asked, FusionConfig(method="score", weights={"a": 1.0, "b": 1.0, "c": 0.0}))
    a, b, c = report.parts
    ideal = 1 + 1 / np.log2(3)
    # first query: 3 has 2/1.5/2 + 2/1.5 = 2, 1 has 1.33; second: 4 has 1.33 + .67 = 2, 2 has 1.33
    assert report.fused == pytest.approx(1 / np.log2(3) / ideal)
    assert a.gain == pytest.approx((1 / np.log2(3) - (1 - 1 / np.log2(3))) / ideal / 2)
    assert b.gain == pytest.approx((1 / np.log2(3) - (1 - 1 / np.log2(3))) / ideal / 2)
    assert (c.gain, c.gain_error) == (0, 0)
    assert a.alone == pytest.approx(1 / ideal / 2)


def test_overlap_and_print(asked: Asked) -> None:
    report = ChannelReport.of(asked, FusionConfig(method="score"))
    assert report.overlap == ((1, 0.5, 0.75), (0.5, 1, 2 / 4), (1, 2 / 3, 1))
    assert "c 0.75" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["ceiling"] == 0.5
