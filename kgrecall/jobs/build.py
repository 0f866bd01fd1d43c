"""From a graph to an artifact: encode, choose on validation, train on everything, publish."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from kgrecall.encode.cache import Encoded, encode_cached, encoding_seconds
from kgrecall.errors import ConfigError, Shown
from kgrecall.graph.knowledge import knowledge_then
from kgrecall.graph.own_vectors import own_vectors
from kgrecall.graph.pagerank import checked_weights
from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.jobs.artifact import ArtifactWriter
from kgrecall.jobs.asked import Asked
from kgrecall.jobs.audience_part import AudiencePart
from kgrecall.jobs.auto import plan_within
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.build_report import BuildReport
from kgrecall.jobs.chosen import Chosen, choose_settings
from kgrecall.jobs.clock import Budget, Stopwatch
from kgrecall.jobs.encoders import open_encoder
from kgrecall.jobs.folds import Fold
from kgrecall.jobs.ingredients import save
from kgrecall.jobs.maker import Maker
from kgrecall.jobs.serve import assemble
from kgrecall.model.trainer import TrainingRun
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.fusion.fusion_weights import FittedFusion
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.schema import GraphSchema
from kgrecall.sources.cache_folder import cache_folder
from kgrecall.store.base import GraphStore
from kgrecall.types import FloatArray, Interactions, Progress, no_progress

_TRAINED = ("vector", "attention")
"""Channels whose cost is that of training."""
_LOOK_AT_TEXTS = {"vector", "attention", "text", "content"}
_ENCODING = 0.4
"""At most this share of the time goes into encoding texts."""


def build(
    store: GraphStore,
    schema: GraphSchema,
    config: BuildConfig | None = None,
    *,
    out: str | Path,
    seed: int = 0,
    device: str = "cpu",
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> BuildReport:
    """Build an engine from everything in the store. Arguments and errors as in :func:`build_snapshot`."""
    config = config or BuildConfig()
    _check(seed, device)
    with ArtifactWriter(out) as writer:
        clock = _clock(config)
        snapshot = take_snapshot(store, schema, progress=progress)
        return _Build(snapshot, config, seed, device, cache, progress, clock).run(writer)


def build_snapshot(
    snapshot: GraphSnapshot,
    config: BuildConfig | None = None,
    *,
    out: str | Path,
    seed: int = 0,
    device: str = "cpu",
    cache: Path | None = None,
    progress: Progress = no_progress,
    valid: Interactions | None = None,
) -> BuildReport:
    """Build an engine from a snapshot, such as one that was cut to what training may see.

    Args:
        out: the artifact folder; the new build replaces the old one at the end, or not at all.
        device: where the encoder and the model compute: ``cpu``, ``cuda``, ...
        cache: folder of encoded texts; None: below the user's cache folder.
        valid: events beside those of the snapshot, of the same users and items, that are for validation alone: settings and
            fusion are chosen on them first. The engine does not know them.

    Raises:
        ConfigError: impossible settings, a negative seed, no such device or vectors, no interactions, or ``out`` cannot be
            written.
        BudgetExceeded: ``ease`` was asked for by name, and the catalogue is too large for its memory.
        ShapeError: ``valid`` is of other users or items.
    """
    config = config or BuildConfig()
    _check(seed, device)
    with ArtifactWriter(out) as writer:
        return _Build(snapshot, config, seed, device, cache, progress, _clock(config), valid).run(writer)


def _check(seed: int, device: str) -> None:
    """Raises ConfigError on a negative seed, or a device that does not exist, before the graph is read."""
    if seed < 0:
        raise ConfigError("seed", expected="an integer of 0 or more", got=seed, remedy="Any will do, for example 0.")
    if device != "cpu":
        from kgrecall.encode.device import usable_device  # brings torch

        usable_device(device)


def _clock(config: BuildConfig) -> Budget | None:
    return None if config.budget_seconds is None else Budget(config.budget_seconds)


class _Build:
    """One run; each method is a stage."""

    def __init__(
        self,
        snapshot: GraphSnapshot,
        config: BuildConfig,
        seed: int,
        device: str,
        cache: Path | None,
        progress: Progress,
        budget: Budget | None,
        valid: Interactions | None = None,
    ) -> None:
        self.snapshot, self.config, self.seed, self.device = snapshot, config, seed, device
        self.cache = cache or cache_folder() / "texts"
        self.progress, self.budget = progress, budget
        self.watch = Stopwatch()
        self.events = snapshot.interactions()
        if not len(self.events):
            raise ConfigError(
                "interactions",
                expected="at least one event",
                got=Shown("none"),
                remedy='Import a relation with role = "interaction" first.',
            )
        checked_weights(snapshot, config.pagerank.relation_weights)
        self.channels, left_out = config.affordable(len(snapshot.items))
        self.vectors, no_vectors = own_vectors(snapshot, config.vectors)
        self.notes = (*left_out, *no_vectors)
        self.validation = config.carve(self.events, seed, valid)

    def run(self, writer: ArtifactWriter) -> BuildReport:
        texts = self._texts()
        maker = self._maker(None if texts is None else texts.vectors)
        if self.budget is not None:
            maker = self._within(maker, self.budget)
        config = maker.config
        with self.watch("choose"):
            known = knowledge_then(self.snapshot)
            chosen = choose_settings(config, self.validation, self.events, maker.channels, knowledge=known, seed=self.seed)
        fusion, fitted, runs = self._fuse(maker, chosen)
        maker = replace(maker, channels=self.channels)
        epochs = round(float(np.median([run.best_epoch for run in runs]))) if runs else None
        final, model = maker.ingredients(self.snapshot, self.events, chosen, epochs=epochs)
        final = replace(final, audience=AudiencePart.of(self.snapshot, self.events))
        served = assemble(final, self.channels, fusion, encoder=config.encoder, config=config.engine)
        save(final, writer)
        report = BuildReport(
            out=writer.out,
            build=writer.name,
            seconds=self.watch.seconds,
            texts_encoded=texts.encoded if texts else 0,
            texts_cached=texts.hits if texts else 0,
            curve=runs[0].curve if runs else model.curve if model else (),
            epochs=len(model.curve) if model else 0,
            relation_weights=dict(model.relation_weights) if model else {},
            worth=dict(model.worth) if model else {},
            chosen={name: _plain(value) for name, value in asdict(chosen).items()},
            fusion=fusion.method,
            weights={name: fusion.weight(name) for name in served.channel_names},
            validation_ndcg=fitted.value if fitted else None,
            validation_ndcg_equal_weights=fitted.equal_weights if fitted else None,
            validation_users=self.validation.num_users,
            notes=self.notes,
        )
        self._describe(writer, report, config, fusion, served.channel_names)
        return report

    def _maker(self, texts: FloatArray | None) -> Maker:
        return Maker(self.config, self.channels, texts, self.vectors, self.seed, self.device, self.progress, self.watch)

    def _texts(self) -> Encoded | None:
        """Item texts as vectors; None where there are none, no channel looks at them, or the budget does not allow it."""
        texts = self.snapshot.texts(self.snapshot.schema.item_label)
        if self.config.encoder is None or not any(texts) or not _LOOK_AT_TEXTS.intersection(self.channels):
            return None
        with self.watch("encode"):
            encoder = open_encoder(self.config.encoder, device=self.device)
            if self.budget is not None:
                seconds = encoding_seconds(encoder, texts, self.cache)
                if seconds > _ENCODING * self.budget.left:
                    self.notes += (f"Texts were left out: to encode them would take about {seconds:.0f} s.",)
                    return None
            return encode_cached(encoder, texts, self.cache, self.progress)

    def _within(self, maker: Maker, budget: Budget) -> Maker:
        """What fits into the time."""
        with self.watch("plan"):
            plan = plan_within(self.snapshot, self.events, maker, self.validation, budget)
        self.notes, self.channels = (*self.notes, *plan.notes), plan.config.channels
        return replace(maker, config=plan.config, channels=plan.config.channels)

    def _fuse(self, maker: Maker, chosen: Chosen) -> tuple[FusionConfig, FittedFusion | None, list[TrainingRun]]:
        """How channels are combined, from the answers of engines that were built from the training part of each fold alone; and
        how the model of each was trained. One engine is held at a time."""
        methods, folds, runs = maker.config.fusion, self.validation.folds, list[TrainingRun]()
        if not folds:
            return methods[-1], None, runs

        def engine_of(fold: Fold) -> RecallEngine:
            snapshot = self.snapshot.with_interactions(fold.train)
            ingredients, model = maker.ingredients(snapshot, fold.train, chosen, valid=fold.truth)
            runs.extend([model.run] if model else [])
            return maker.serve(ingredients)

        every = Asked.of(folds, engine_of, crowd=any(method.method == "learned" for method in methods))
        asked = every if self.budget is None else self._in_time(every, self.budget)
        with self.watch("choose"):
            keep = None if self.budget is None else self._always()
            fitted, dropped = asked.best(methods, keep=keep)
        self.channels = tuple(name for name in self.channels if name in fitted.config.weights or name not in every.hits)
        self.notes += dropped
        return fitted.config, fitted, runs

    def _in_time(self, asked: Asked, budget: Budget) -> Asked:
        """Without the trained channels where there is no time to train them once more, on everything."""
        seconds = {stage: self.watch.seconds[stage] / len(self.validation.folds) for stage in ("train", "channels")}
        left = budget.left - seconds["channels"]
        trained = [name for name in _TRAINED if name in asked.hits]
        if not trained or seconds["train"] <= left:
            return asked
        self.notes += tuple(
            f"The channel {name} was left out: to train it on everything would take about {seconds['train']:.0f} s, "
            f"and {max(left, 0):.0f} s are left."
            for name in trained
        )
        return asked.only(set(asked.hits) - set(trained))

    def _always(self) -> set[str]:
        """Channels that answer what validation does not ask: new users, query texts, and items that nobody has chosen."""
        new_items = len(np.unique(self.events.item_pos)) < len(self.snapshot.items)
        return {"popularity", "text"} | ({"attributes"} if new_items else set())

    def _describe(
        self, writer: ArtifactWriter, report: BuildReport, config: BuildConfig, fusion: FusionConfig, names: tuple[str, ...]
    ) -> None:
        writer.manifest.update(
            seed=self.seed,
            channels=list(names),
            encoder=config.encoder if "text" in names else None,
            engine=config.engine.model_dump(),
            fusion=fusion.model_dump(),
            config=config.model_dump(),
            schema=json.loads(self.snapshot.schema.to_json()),
            vocabulary=self.snapshot.items.fingerprint,
            snapshot=self.snapshot.fingerprint,
            report={name: _plain(value) for name, value in asdict(report).items() if name != "out"},
        )


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value
