"""Is the graph worth it? The same pipeline with the real graph, with none and with shuffled ones; so the texts, the vectors."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from kgrecall.encode.cache import encode_cached
from kgrecall.errors import ConfigError, Shown
from kgrecall.evaluate.evaluator import as_measure, evaluate
from kgrecall.evaluate.measures import Measure, Values
from kgrecall.evaluate.significance import paired_bootstrap
from kgrecall.graph.ablation import (
    knowledge_edges,
    knowledge_relations,
    with_shuffled_knowledge,
    with_shuffled_texts,
    with_shuffled_vectors,
    without_knowledge,
    without_vectors,
)
from kgrecall.graph.knowledge import item_knowledge
from kgrecall.graph.own_vectors import all_told, own_vectors
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.build import build_snapshot
from kgrecall.jobs.build_config import BuildConfig
from kgrecall.jobs.clock import Budget, Stopwatch
from kgrecall.jobs.encoders import open_encoder
from kgrecall.jobs.gate_quick import QuickPipeline
from kgrecall.jobs.gate_report import GateReport, RelationWorth, Worth
from kgrecall.jobs.gate_split import NEW_IN_ALL, GateSplit
from kgrecall.jobs.serve import load_engine
from kgrecall.settings import Settings
from kgrecall.sources.cache_folder import cache_folder
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray, Progress, no_progress

QUICK = "quick (item-kNN + shared knowledge + alike texts and vectors, closed forms)"
BUILT = "build (the whole engine)"


class GateConfig(Settings):
    """How the gate asks."""

    pipeline: Literal["build", "quick"] = "build"
    """What is compared: the whole engine, built anew for every graph, or closed forms in seconds."""
    measure: str = "recall@20"
    test: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the events, the latest, that is held out."""
    new_items: float = Field(default=0.1, ge=0, lt=0.5)
    """Share of the items that is hidden from training and asked for; 0: no question about new items."""
    shuffles: int = Field(default=3, ge=1)
    max_users: int = Field(default=2000, ge=1)
    """Users in each question."""
    relations: bool = True
    """Whether each relation is tried alone and left out; always with the quick pipeline."""
    budget_seconds: float = Field(default=1800, gt=0)
    """When builds would take longer the quick pipeline is used for all; relations (those with the most edges first) are tried
    while time is left."""


class Ranker(Protocol):
    """A fitted pipeline: ranks for known users, their history left out, among all items or some."""

    def rank(self, user_pos: IntArray, k: int, *, among: BoolArray | None = None) -> PosArray: ...


Fit = Callable[[GraphSnapshot, bool], Ranker]
"""``fit(snapshot, with_texts)``; the snapshot is cut to what may be learned."""


def run_gate(
    snapshot: GraphSnapshot,
    config: BuildConfig | None = None,
    gate: GateConfig | None = None,
    *,
    split: GateSplit | None = None,
    seed: int = 0,
    device: str = "cpu",
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> GateReport:
    """Compare the real graph with none and with shuffles of it, and the real texts with none and with texts dealt out anew; and
    so with the vectors that items bring along.

    All arms learn from the same events and answer the same users: warm users, the third of them with the fewest events, and
    users asked for items that were hidden from training (among themselves, and within the whole catalogue).

    Args:
        config: what is built in each arm; its encoder encodes the texts in either pipeline.
        split: what to learn from and to ask, instead of one that is carved from the snapshot's events.
        cache: folder of encoded texts; None: below the user's cache folder.

    Raises:
        ConfigError: neither knowledge, texts nor vectors to judge, or too few events to hold any out.
    """
    return _Gate(snapshot, config or BuildConfig(), gate or GateConfig(), split, seed, device, cache, progress).run()


class _Gate:
    """One run; each method is a stage."""

    def __init__(
        self,
        snapshot: GraphSnapshot,
        config: BuildConfig,
        gate: GateConfig,
        split: GateSplit | None,
        seed: int,
        device: str,
        cache: Path | None,
        progress: Progress,
    ) -> None:
        self.config, self.gate, self.seed, self.device, self.progress = config, gate, seed, device, progress
        self.cache = cache or cache_folder() / "texts"
        self.measure: Measure = as_measure(gate.measure)
        self.split = split or GateSplit.carve(
            snapshot.interactions(), test=gate.test, new_items=gate.new_items, max_users=gate.max_users, seed=seed
        )
        self.real = snapshot.with_interactions(self.split.train)
        self.relations = knowledge_relations(self.real)
        self.has_texts = config.encoder is not None and any(snapshot.texts(snapshot.schema.item_label))
        self.has_vectors = bool(own_vectors(snapshot, config.vectors)[0])
        if not (self.relations or self.has_texts or self.has_vectors):
            remedy = "Import knowledge relations, or name text fields or vectors in the mapping."
            raise ConfigError("gate", expected="a graph, texts or vectors to judge", got=Shown("none of them"), remedy=remedy)
        self.watch = Stopwatch()
        self.notes: list[str] = []
        self.budget = Budget(gate.budget_seconds)

    def run(self) -> GateReport:
        name, fit, real = self._pipeline()
        graph = self._worths(real, self._graph_arms(fit)) if self.relations else ()
        text = self._worths(real, self._text_arms(fit)) if self.has_texts else ()
        vectors = self._worths(real, self._vector_arms(fit)) if self.has_vectors else ()
        relations = tuple(self._relations()) if self.gate.relations and len(self.relations) > 1 else ()
        return GateReport(str(self.measure), name, graph, text, vectors, relations, self.watch.seconds, tuple(self.notes))

    def _pipeline(self) -> tuple[str, Fit, dict[str, Values]]:
        """The pipeline that fits into the budget, and what the real arm answers with it."""
        if self.gate.pipeline == "build":
            real = self._answers("real", partial(self._built, self.real, True))
            needed = self.watch.seconds["real"] * self._num_arms()
            if needed <= self.gate.budget_seconds:
                return BUILT, self._built, real
            self.notes.append(
                f"{self._num_arms()} builds would take about {needed:,.0f} s, more than the {self.gate.budget_seconds:,.0f} s "
                f"allowed: all arms use the {QUICK} pipeline."
            )
        return QUICK, self._quick, self._answers("real", partial(self._quick, self.real, True))

    def _num_arms(self) -> int:
        return 1 + (1 + self.gate.shuffles) * (bool(self.relations) + self.has_texts + self.has_vectors)

    def _graph_arms(self, fit: Fit) -> Iterator[tuple[str, Callable[[], Ranker]]]:
        yield "no graph", lambda: fit(without_knowledge(self.real), True)
        for i in range(self.gate.shuffles):
            yield f"shuffled graph {i + 1}", partial(self._shuffled, fit, with_shuffled_knowledge, i)

    def _text_arms(self, fit: Fit) -> Iterator[tuple[str, Callable[[], Ranker]]]:
        yield "no texts", lambda: fit(self.real, False)
        for i in range(self.gate.shuffles):
            yield f"shuffled texts {i + 1}", partial(self._shuffled, fit, with_shuffled_texts, i)

    def _vector_arms(self, fit: Fit) -> Iterator[tuple[str, Callable[[], Ranker]]]:
        yield "no vectors", lambda: fit(without_vectors(self.real), True)
        for i in range(self.gate.shuffles):
            yield f"shuffled vectors {i + 1}", partial(self._shuffled, fit, with_shuffled_vectors, i)

    def _shuffled(self, fit: Fit, shuffle: Callable[[GraphSnapshot, int], GraphSnapshot], number: int) -> Ranker:
        return fit(shuffle(self.real, self.seed + 1 + number), True)

    def _worths(self, real: Mapping[str, Values], arms: Iterator[tuple[str, Callable[[], Ranker]]]) -> tuple[Worth, ...]:
        without, *shuffled = [self._answers(name, make) for name, make in arms]
        return tuple(
            Worth.of(question, without[question], values, [one[question] for one in shuffled], seed=self.seed)
            for question, values in real.items()
        )

    def _relations(self) -> Iterator[RelationWorth]:
        """Each relation alone against no graph, and the whole graph against it without that relation."""
        fit = self._quick
        arms = [("relations: all", self.real), ("relations: none", without_knowledge(self.real))]
        whole, nothing = (self._answers(name, partial(fit, graph, True)) for name, graph in arms)
        of_items = {part.relation for part in item_knowledge(self.real)}
        tried = [name for name in self.relations if name in of_items]
        if others := [name for name in self.relations if name not in of_items]:
            self.notes.append(f"Not tried alone, since closed forms see only what items share: {', '.join(others)}.")
        for i, name in enumerate(tried):
            if self.budget.left < 0:
                self.notes.append(f"Not tried for lack of time: {', '.join(tried[i:])}.")
                return
            others = [other for other in self.relations if other != name]
            alone = self._answers(f"only {name}", partial(fit, without_knowledge(self.real, others), True))
            rest = self._answers(f"without {name}", partial(fit, without_knowledge(self.real, [name]), True))
            asked = [question for question in whole if question != NEW_IN_ALL]
            yield RelationWorth(
                name,
                knowledge_edges(self.real)[name],
                {q: paired_bootstrap(alone[q], nothing[q], seed=self.seed) for q in asked},
                {q: paired_bootstrap(whole[q], rest[q], seed=self.seed) for q in asked},
            )

    def _answers(self, arm: str, make: Callable[[], Ranker]) -> dict[str, Values]:
        """One value per user for each question."""
        with self.watch(arm):
            ranker, found = make(), {}
            for asked in self.split.asked:
                rank = partial(ranker.rank, among=asked.among)
                found[asked.name] = evaluate(rank, asked.truth, [self.measure], users=asked.users).per_user[self.measure]
        self.progress("gate", len(self.watch.seconds), self._num_arms())
        return found

    def _built(self, snapshot: GraphSnapshot, with_texts: bool) -> Ranker:
        config = self.config if with_texts else self.config.model_copy(update={"encoder": None})
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "engine")
            build_snapshot(snapshot, config, out=out, seed=self.seed, device=self.device, cache=self.cache)
            return load_engine(out)  # what is mapped stays readable after the folder is gone

    @cached_property
    def _pipeline_of_closed_forms(self) -> QuickPipeline:
        return QuickPipeline(self.split, self.measure, new_items=self.gate.new_items, seed=self.seed)

    def _quick(self, snapshot: GraphSnapshot, with_texts: bool) -> Ranker:
        texts = self._texts(snapshot) if with_texts else None
        vectors, _ = own_vectors(snapshot, self.config.vectors)
        return self._pipeline_of_closed_forms.fit(snapshot, all_told(texts, vectors))

    def _texts(self, snapshot: GraphSnapshot) -> FloatArray | None:
        if not self.has_texts or self.config.encoder is None:
            return None
        encoder = open_encoder(self.config.encoder, device=self.device)
        return encode_cached(encoder, snapshot.texts(snapshot.schema.item_label), self.cache, self.progress).vectors
