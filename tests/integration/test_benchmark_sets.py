"""The real benchmark sets, where ``KGRECALL_BENCH_DATA`` names a folder with them: read whole, split as released."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.quality.tasks import SETS, load

COUNTS = {
    "lightkg-lastfm": (1_872, 3_846, 17_350, 1_907, 1_916),
    "hetrec-lastfm": (1_858, 1_425, 44_327, 4_799, 7_219),
    "amazon-beauty": (22_363, 12_101, 153_776, 22_363, 22_363),
    "ml1m-kg": (6_040, 2_983, 556_989, 190_063, 185_241),
}
"""users, items, events in train, validation and test, as published."""


@pytest.mark.parametrize("name", COUNTS)
def test_a_set_is_read_whole_and_split_as_released(name):
    root = os.environ.get("KGRECALL_BENCH_DATA")
    folder = SETS[name].folder or name
    if not root or not (Path(root) / folder).is_dir():
        pytest.skip(f"KGRECALL_BENCH_DATA={root!r} holds no folder {folder!r}: unpack the set there to check it")
    task = load(name)
    parts = task.split
    found = (len(task.snapshot.users), len(task.snapshot.items), len(parts.train), len(parts.valid), len(parts.test))
    assert found == COUNTS[name]
    keys = [part.user_pos * part.num_items + part.item_pos for part in (parts.train, parts.valid, parts.test)]
    assert len(np.unique(np.concatenate(keys))) == sum(map(len, keys))
