"""Models that other projects publish, trained by their own code in an environment of its own: RecBole's LightGCN and KGIN."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from kgrecall.graph.knowledge import item_knowledge
from kgrecall.types import FloatArray, IntArray
from tests.benchmarks.quality.peers import run_peer
from tests.benchmarks.quality.systems import Fitted, Params, Problem, System, fitted_by_score


def fit_recbole(problem: Problem, params: Params, seed: int) -> Fitted:
    """A RecBole model whose score is the inner product of what its ``forward`` returns."""
    train = problem.train
    head, relation, tail = _triples(problem) if params["model"] != "LightGCN" else (np.zeros(0, np.int64),) * 3
    with tempfile.TemporaryDirectory() as folder:
        np.savez(
            Path(folder, "events.npz"),
            user=train.user_pos,
            item=train.item_pos,
            head=head,
            relation=relation,
            tail=tail,
            num_users=train.num_users,
            num_items=train.num_items,
        )
        Path(folder, "params.json").write_text(json.dumps({**params, "seed": seed}))
        run_peer("recbole_models", Path(folder))
        users, items = np.load(Path(folder, "users.npy")), np.load(Path(folder, "items.npy"))

    def score(user_pos: IntArray) -> FloatArray:
        return users[user_pos] @ items.T

    return fitted_by_score(problem, score, users.nbytes + items.nbytes)


def _triples(problem: Problem) -> tuple[IntArray, IntArray, IntArray]:
    """The knowledge about items as (head, relation, tail): items come first, then the nodes of each label."""
    offsets: dict[str, int] = {problem.snapshot.schema.item_label: 0}
    size, parts = problem.train.num_items, []
    for number, part in enumerate(item_knowledge(problem.snapshot)):
        if part.label not in offsets:
            offsets[part.label], size = size, size + part.matrix.shape[1]
        rows, columns = part.matrix.tocoo().coords
        parts.append((rows, np.full(len(rows), number), columns + offsets[part.label]))
    head, relation, tail = (np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True))
    return head, relation, tail


def _recbole(model: str, **start: Any) -> System:
    def suggest(trial: Any) -> dict[str, Any]:
        return {
            "model": trial.suggest_categorical("model", [model]),
            "learning_rate": trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
            "epochs": trial.suggest_int("epochs", 10, 120, log=True),
        } | {name: trial.suggest_categorical(name, [value]) for name, value in start.items()}

    return System(
        f"{model} (RecBole)", fit_recbole, suggest, {"model": model, "learning_rate": 5e-3, "epochs": 60, **start}, random=True
    )


LIGHTGCN = _recbole("LightGCN", embedding_size=64, n_layers=2, reg_weight=1e-5, train_batch_size=4096)
KGIN = _recbole("KGIN", embedding_size=64, context_hops=2, reg_weight=1e-5, train_batch_size=4096)
