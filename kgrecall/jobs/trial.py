"""How good is it on data it has not seen? Hold the latest events out, build on the rest, compare with simple baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrecall.errors import ConfigError
from kgrecall.evaluate.comparison import Comparison, compare
from kgrecall.evaluate.measures import MAP, MRR, NDCG, Coverage, ListMeasure, Measure, Novelty, Precision, Recall
from kgrecall.evaluate.ranking import Rank
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.split import Split, new_pairs, split_by_time, split_random
from kgrecall.jobs.asked import Asked
from kgrecall.jobs.build import build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.build_report import BuildReport
from kgrecall.jobs.channel_report import ChannelReport
from kgrecall.jobs.folds import Fold, a_few, timed
from kgrecall.jobs.serve import load_engine
from kgrecall.recall.base import Channel
from kgrecall.recall.channels.item_knn import ItemKnnChannel, ItemKnnConfig, build_item_knn
from kgrecall.recall.channels.popularity import PopularityChannel, item_popularity
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.histories import Histories
from kgrecall.recall.queries.batches import batch_of_users
from kgrecall.types import IntArray, Interactions, PosArray, Progress, no_progress

FUSED = "fused"
POPULARITY, COSINE, TUNED = "plain popularity", "plain item-kNN", "tuned item-kNN"
_COSINE = ItemKnnConfig(a=0.0, b=0.5, c=0.5)
_HISTORY = 500


@dataclass(frozen=True)
class Trial:
    """An engine that knows only the past, and how well it told the future.

    Attributes:
        split: train and validation together were used to build; test was read once, here.
        truth: the new user-item pairs of the test part.
        warm: comparison over the users that have a history.
        everyone: comparison of those systems that answer everyone, over all users of the test part.
        overlap: float64 (c, c): how much of channel i's top 50 channel j also found, over the warm users.
        channels: what they hold together, and what each is worth, over at most 2,000 warm users.
    """

    split: Split
    truth: Interactions
    report: BuildReport
    engine: RecallEngine
    warm: Comparison
    everyone: Comparison
    overlap: NDArray[np.float64]
    channels: ChannelReport


def run_trial(
    snapshot: GraphSnapshot,
    config: BuildConfig | None = None,
    *,
    out: str | Path,
    test: float = 0.1,
    ks: Sequence[int] = (10, 20, 50),
    seed: int = 0,
    device: str = "cpu",
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> Trial:
    """Cut the latest share ``test`` of all events off, build on the rest, and rank the whole catalogue for the users of the
    test part. Without times the share is drawn at random.

    Raises:
        ConfigError: too few events, a length of lists that is none, or nobody in the test part has a history; before anything
            is built.
    """
    measures = measures_at(ks)
    events = snapshot.interactions()
    split = split_by_time(events, valid=0, test=test) if timed(events) else split_random(events, valid=0, test=test, seed=seed)
    truth = new_pairs(split.test, split.train)
    warm = np.intersect1d(truth.user_pos, split.train.user_pos)
    if not len(warm):
        raise ConfigError(
            "test",
            expected="a part of the events that holds users who have others before it",
            got=test,
            remedy="Hold more events out, or import more of each user.",
        )
    past = snapshot.with_interactions(split.train)
    report = build_snapshot(past, config, out=out, seed=seed, device=device, cache=cache, progress=progress)
    engine = load_engine(out)
    systems = {**baselines(split.train, report), **rankers(engine)}
    some = a_few(warm, seed=seed)
    asked = Fold.of(split.train, truth, some)
    served = {name: rank for name, rank in systems.items() if name in (POPULARITY, FUSED)}
    return Trial(
        split=split,
        truth=truth,
        report=report,
        engine=engine,
        warm=compare(systems, truth, measures, users=warm, history=split.train, progress=progress),
        everyone=compare(served, truth, measures, history=split.train, progress=progress),
        overlap=channel_overlap(engine, warm),
        channels=ChannelReport.of(Asked.of([asked], lambda _: engine), engine.fusion),
    )


def measures_at(ks: Sequence[int]) -> list[Measure]:
    """The measures of the comparison at each list length."""
    kinds: tuple[type[ListMeasure] | type[Coverage], ...] = (Recall, NDCG, MAP, MRR, Precision, Coverage, Novelty)
    return [kind(k) for k in ks for kind in kinds]


def baselines(train: Interactions, report: BuildReport) -> dict[str, Rank]:
    """What every recommender must beat; the tuned one has the settings that won on validation."""
    histories = Histories.of(train)
    tuned = ItemKnnConfig(**report.chosen["item_knn"])
    channels: Mapping[str, Channel] = {
        POPULARITY: PopularityChannel(item_popularity(train)),
        COSINE: ItemKnnChannel(build_item_knn(train, _COSINE)),
        TUNED: ItemKnnChannel(build_item_knn(train, tuned), half_life=report.chosen["history_half_life"]),
    }
    return {name: partial(_rank, channel, histories) for name, channel in channels.items()}


def rankers(engine: RecallEngine) -> dict[str, Rank]:
    """Each channel of an engine alone, and all of them fused."""
    alone: dict[str, Rank] = {name: partial(engine.rank, channel=name) for name in engine.channel_names}
    return {**alone, FUSED: engine.rank}


def channel_overlap(engine: RecallEngine, users: IntArray, k: int = 50) -> NDArray[np.float64]:
    """Share of channel i's top k that channel j's top k also holds, over all users: float64 (channels, channels)."""
    hits = [hit.positions for hit in engine.channel_hits(users, k).values()]
    overlap = np.zeros((len(hits), len(hits)))
    for i, mine in enumerate(hits):
        held = [set(row[row >= 0].tolist()) for row in mine]
        total = max(1, sum(map(len, held)))
        for j, theirs in enumerate(hits):
            overlap[i, j] = sum(len(own.intersection(row.tolist())) for own, row in zip(held, theirs, strict=True)) / total
    return overlap


def _rank(channel: Channel, histories: Histories, users: IntArray, k: int) -> PosArray:
    return channel.recall(batch_of_users(users, histories, _HISTORY), k).positions
