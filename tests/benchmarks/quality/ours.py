"""What a user gets: ``build`` with its defaults, the fused engine and each of its channels alone."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kgrecall.errors import NotBuilt
from kgrecall.evaluate import Rank
from kgrecall.evaluate.ranking import incidence, listed_in
from kgrecall.jobs.ingredients import CHANNELS
from kgrecall.jobs.serve import load_engine
from kgrecall.recall.engine import RecallEngine
from kgrecall.types import IntArray, Interactions, PosArray
from tests.benchmarks.quality.systems import Fitted, Params, Problem, System

if TYPE_CHECKING:
    from kgrecall.jobs.build_config import BuildConfig


class Builder:
    """Builds once per problem and seed, however many systems ask for a part of the result."""

    def __init__(self, config: BuildConfig | None = None) -> None:
        self._config = config
        self._engines: list[tuple[Problem, int, RecallEngine, int]] = []

    def system(self, name: str, channel: str | None = None) -> System:
        """The fused engine, or one channel of it. Its settings are chosen by ``build`` itself, on the
        events that are kept for that, or inside of train."""

        def fit(problem: Problem, params: Params, seed: int) -> Fitted:
            known = self._find(problem, seed)
            engine, num_bytes = known or self._build(problem, seed)
            if channel is not None and channel not in engine.channel_names:
                remedy = "The graph has nothing for it; leave it out."
                raise NotBuilt(f"channel {channel}", expected="a channel", got=list(engine.channel_names), remedy=remedy)
            rank = _without(problem.exclude, partial(engine.rank, channel=channel))
            return Fitted(rank, num_bytes, shared=known is not None)

        return System(name, fit, random=True)

    def _find(self, problem: Problem, seed: int) -> tuple[RecallEngine, int] | None:
        return next((found[2:] for found in self._engines if found[0] is problem and found[1] == seed), None)

    def _build(self, problem: Problem, seed: int) -> tuple[RecallEngine, int]:
        """The engine, and the bytes of its artifact."""
        from kgrecall.jobs.build import build_snapshot  # brings torch: baselines are measured without it
        from kgrecall.jobs.build_config import BuildConfig

        config = self._config or BuildConfig(validation_cut=problem.cut)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "built")
            print(build_snapshot(problem.snapshot, config, out=out, seed=seed, valid=problem.valid))
            size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
            engine = load_engine(out)  # what is mapped stays readable after the folder is gone
        self._engines.append((problem, seed, engine, size))
        return engine, size


def _without(exclude: Interactions, rank: Rank) -> Rank:
    """The same lists without the excluded items of each user: the engine leaves out those that it has learned from."""
    known = incidence(exclude)

    def rank_others(users: IntArray, k: int) -> PosArray:
        part = known[users]
        longest = int(np.diff(part.indptr).max(initial=0))
        lists = rank(users, min(k + longest, exclude.num_items))
        hidden = (lists < 0) | listed_in(lists, part)
        order = np.argsort(hidden, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(np.where(hidden, np.int32(-1), lists), order, axis=1)
        return np.pad(kept, ((0, 0), (0, k - kept.shape[1])), constant_values=-1)

    return rank_others


DEFAULT = Builder()
FUSED = DEFAULT.system("kgrecall")
ALONE = tuple(DEFAULT.system(f"kgrecall, {channel} alone", channel) for channel in CHANNELS)
