"""From a graph to an artifact: encode, choose on validation, train on everything, publish."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from kgrecall.encode.cache import encode_cached
from kgrecall.errors import ConfigError, Shown
from kgrecall.graph.knowledge import item_knowledge
from kgrecall.graph.own_vectors import all_told, own_vectors
from kgrecall.graph.pagerank import checked_weights
from kgrecall.graph.snapshot import GraphSnapshot, take_snapshot
from kgrecall.index.faiss import FaissIndex
from kgrecall.jobs.artifact import ArtifactWriter
from kgrecall.jobs.asked import Asked
from kgrecall.jobs.audience_part import AudiencePart
from kgrecall.jobs.auto import plan_within
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.build_report import BuildReport
from kgrecall.jobs.chosen import Chosen, choose_settings, learn_behaviour, prior
from kgrecall.jobs.content_part import ContentPart
from kgrecall.jobs.encoders import open_encoder
from kgrecall.jobs.folds import Fold
from kgrecall.jobs.ingredients import Ingredients, save
from kgrecall.jobs.item_graph_part import ItemGraphPart
from kgrecall.jobs.learned import Learner
from kgrecall.jobs.serve import assemble
from kgrecall.model.trainer import TrainedModel, TrainingRun
from kgrecall.recall.base import Naming
from kgrecall.recall.channels.attributes import build_attribute_similarity
from kgrecall.recall.channels.item_knn import build_item_knn
from kgrecall.recall.channels.node_space import NodeSpaceConfig, build_node_space
from kgrecall.recall.channels.popularity import item_popularity
from kgrecall.recall.engine import RecallEngine
from kgrecall.recall.fusion.fusion_weights import FittedFusion
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.schema import GraphSchema
from kgrecall.sources.cache_folder import cache_folder
from kgrecall.store.base import GraphStore
from kgrecall.types import FloatArray, Interactions, Progress, no_progress


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
    with ArtifactWriter(out) as writer:
        snapshot = take_snapshot(store, schema, progress=progress)
        return _run(snapshot, config or BuildConfig(), seed, device, cache, progress, writer)


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
        ConfigError: impossible settings, no such vectors, no interactions, or ``out`` cannot be written.
        BudgetExceeded: ``ease`` was asked for by name, and the catalogue is too large for its memory.
        ShapeError: ``valid`` is of other users or items.
    """
    with ArtifactWriter(out) as writer:
        return _run(snapshot, config or BuildConfig(), seed, device, cache, progress, writer, valid)


def _run(
    snapshot: GraphSnapshot,
    config: BuildConfig,
    seed: int,
    device: str,
    cache: Path | None,
    progress: Progress,
    writer: ArtifactWriter,
    valid: Interactions | None = None,
) -> BuildReport:
    """Plan first, where time is limited."""
    notes: tuple[str, ...] = ()
    if config.budget_seconds is not None:

        def probe(part: GraphSnapshot, tried: BuildConfig) -> None:
            with tempfile.TemporaryDirectory() as folder, ArtifactWriter(Path(folder, "probe")) as scratch:
                _Build(part, tried, seed, device, cache, progress).run(scratch)

        plan = plan_within(snapshot, config, probe, budget=config.budget_seconds, seed=seed, device=device, valid=valid)
        config, notes = plan.config, plan.notes
    return _Build(snapshot, config, seed, device, cache, progress, notes, valid).run(writer)


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
        notes: tuple[str, ...] = (),
        valid: Interactions | None = None,
    ) -> None:
        self.snapshot, self.config, self.seed, self.device = snapshot, config, seed, device
        self.cache = cache or cache_folder() / "texts"
        self.progress = progress
        self.seconds: dict[str, float] = {}
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
        self.notes = (*notes, *left_out, *no_vectors)
        self.validation = config.carve(self.events, seed, valid)

    def run(self, writer: ArtifactWriter) -> BuildReport:
        config = self.config
        texts, encoded, cached = self._texts()
        with self._stage("choose"):
            known = item_knowledge(self.snapshot)
            chosen = choose_settings(config, self.validation, self.events, self.channels, knowledge=known, seed=self.seed)
        fusion, fitted, runs = self._fuse(texts, chosen)
        epochs = round(float(np.median([run.best_epoch for run in runs]))) if runs else None
        final, model = self._ingredients(self.snapshot, self.events, texts, chosen, epochs=epochs)
        final = replace(final, audience=AudiencePart.of(self.snapshot, self.events))
        served = assemble(final, self.channels, fusion, encoder=config.encoder, config=config.engine)
        save(final, writer)
        report = BuildReport(
            out=writer.out,
            build=writer.name,
            seconds=self.seconds,
            texts_encoded=encoded,
            texts_cached=cached,
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
        self._describe(writer, report, fusion, served.channel_names)
        return report

    def _texts(self) -> tuple[FloatArray | None, int, int]:
        """Item texts as vectors; how many were encoded and how many found in the cache."""
        texts = self.snapshot.texts(self.snapshot.schema.item_label)
        if self.config.encoder is None or not any(texts):
            return None, 0, 0
        with self._stage("encode"):
            encoder = open_encoder(self.config.encoder, device=self.device)
            found = encode_cached(encoder, texts, self.cache, self.progress)
        return found.vectors, found.encoded, found.hits

    def _fuse(self, texts: FloatArray | None, chosen: Chosen) -> tuple[FusionConfig, FittedFusion | None, list[TrainingRun]]:
        """How channels are combined, from the answers of engines that were built from the training part of each fold alone; and
        how the model of each was trained. One engine is held at a time."""
        config, folds, runs = self.config, self.validation.folds, list[TrainingRun]()
        if not folds:
            return config.fusion[-1], None, runs

        def engine_of(fold: Fold) -> RecallEngine:
            snapshot = self.snapshot.with_interactions(fold.train)
            ingredients, model = self._ingredients(snapshot, fold.train, texts, chosen, valid=fold.truth)
            runs.extend([model.run] if model else [])
            return assemble(ingredients, self.channels, config.fusion[0], encoder=None, config=config.engine)

        asked = Asked.of(folds, engine_of, crowd=any(fusion.method == "learned" for fusion in config.fusion))
        with self._stage("choose"):
            keep = None if config.budget_seconds is None else self._always()
            fitted, dropped = asked.best(config.fusion, keep=keep)
        self.channels = tuple(name for name in self.channels if name in fitted.config.weights or name not in asked.hits)
        self.notes += dropped
        return fitted.config, fitted, runs

    def _always(self) -> set[str]:
        """Channels that answer what validation does not ask: new users, query texts, and items that nobody has chosen."""
        new_items = len(np.unique(self.events.item_pos)) < len(self.snapshot.items)
        return {"popularity", "text"} | ({"attributes"} if new_items else set())

    def _ingredients(
        self,
        snapshot: GraphSnapshot,
        events: Interactions,
        texts: FloatArray | None,
        chosen: Chosen,
        *,
        epochs: int | None = None,
        valid: Interactions | None = None,
    ) -> tuple[Ingredients, TrainedModel | None]:
        """All arrays of one graph. The model trains for ``epochs``, or until ``valid`` is told no better."""
        config = self.config
        knowledge = item_knowledge(snapshot)
        learner = Learner(config, self.vectors, self.channels, self.seed, self.device, self.progress)
        with self._stage("train"):
            learned = learner.learn(snapshot, events, texts, epochs=epochs, valid=valid)
        with self._stage("channels"):
            naming = Naming(snapshot.schema.user_label, snapshot.schema.item_label)
            shared = NodeSpaceConfig(**config.attributes.model_dump(include=set(NodeSpaceConfig.model_fields)))
            space = build_node_space(knowledge, shared, naming)
            attributes = build_attribute_similarity(space, config.attributes, progress=self.progress) if knowledge else None
            similarity = build_item_knn(events, chosen.item_knn, progress=self.progress)
            behaviour = learn_behaviour(events, knowledge, chosen, config.index, seed=self.seed)
            popularity = item_popularity(events, half_life_days=chosen.popularity_half_life)
            content = None
            if "content" in self.channels:
                told = all_told(texts, self.vectors)
                content = ContentPart.of(events, space, told, config.content, config.index, seed=self.seed)
            item_graph = ItemGraphPart.of(events, knowledge, chosen.item_graph)
        embeddings = learned.embeddings
        with self._stage("index"):
            return Ingredients(
                snapshot=snapshot,
                popularity=popularity,
                item_knn=similarity,
                attributes=attributes,
                texts=texts,
                embeddings=embeddings,
                attention=learned.attention,
                item_index=self._index(embeddings.items if embeddings else None),
                text_index=self._index(texts),
                node_space=shared,
                neighbors=config.neighbors,
                pagerank=config.pagerank,
                prior=prior(events, chosen.trend),
                half_life=chosen.history_half_life,
                content=content,
                item_graph=item_graph,
                behaviour=behaviour,
            ), learned.model

    def _index(self, vectors: FloatArray | None) -> FaissIndex | None:
        return None if vectors is None else FaissIndex.build(vectors, self.config.index, seed=self.seed, progress=self.progress)

    def _describe(self, writer: ArtifactWriter, report: BuildReport, fusion: FusionConfig, names: tuple[str, ...]) -> None:
        writer.manifest.update(
            seed=self.seed,
            channels=list(names),
            encoder=self.config.encoder if "text" in names else None,
            engine=self.config.engine.model_dump(),
            fusion=fusion.model_dump(),
            config=self.config.model_dump(),
            schema=json.loads(self.snapshot.schema.to_json()),
            vocabulary=self.snapshot.items.fingerprint,
            snapshot=self.snapshot.fingerprint,
            report={name: _plain(value) for name, value in asdict(report).items() if name != "out"},
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value
