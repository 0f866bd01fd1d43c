from __future__ import annotations

import subprocess
import sys

import pytest

from kgrecall.kernels import tier

ASK = f"""
import os, sys
from kgrecall.kernels import tier
tier.answering({tier.AFTER - 1})
before = 'numba' in sys.modules
tier.answering(1)
print(before, 'numba' in sys.modules, tier.compiled() is not None)
"""


@pytest.mark.parametrize(("switch", "expected"), [("", "False True True"), ("0", "False False False"), ("1", "True True True")])
def test_loops_are_loaded_when_they_pay(switch: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="the extra 'fast' is not installed")
    monkeypatch.setenv(tier.SWITCH, switch)
    done = subprocess.run([sys.executable, "-c", ASK], check=False, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr


def test_without_numba_numpy_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tier._Tier()
    bare.available = False
    monkeypatch.setattr(tier, "_TIER", bare)
    monkeypatch.setenv(tier.SWITCH, "1")
    tier.answering(10 * tier.AFTER)
    assert tier.compiled() is None
    assert not tier.load()
