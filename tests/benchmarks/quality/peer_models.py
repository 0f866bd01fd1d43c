"""Models that other projects publish, trained by their own code in environments of their own: implicit, RecTools, RecBole."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from kgrecall.graph.knowledge import item_knowledge
from kgrecall.types import FloatArray, IntArray
from tests.benchmarks.quality.neighbourhood import matrix_of
from tests.benchmarks.quality.peers import run_peer
from tests.benchmarks.quality.systems import Fitted, Params, Problem, System, fitted_by_score


def fit_recbole(problem: Problem, params: Params, seed: int) -> Fitted:
    """A RecBole model whose score is the inner product of what its ``forward`` returns."""
    train = problem.train
    head, relation, tail = _triples(problem) if params["model"] != "LightGCN" else (np.zeros(0, np.int64),) * 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(
            folder / "events.npz",
            user=train.user_pos,
            item=train.item_pos,
            head=head,
            relation=relation,
            tail=tail,
            num_users=train.num_users,
            num_items=train.num_items,
        )
        return _by_factors("recbole_models", problem, params, seed, folder)


def fit_implicit(model: str, problem: Problem, params: Params, seed: int) -> Fitted:
    """iALS, confidence alpha where there is an event, else 1 (Hu, Koren & Volinsky, ICDM 2008), or BPR (Rendle et al., UAI
    2009)."""
    with tempfile.TemporaryDirectory() as folder:
        _write_matrix(problem, Path(folder))
        return _by_factors("implicit_models", problem, {"model": model, **params}, seed, Path(folder))


def fit_rectools(model: str, problem: Problem, params: Params, seed: int) -> Fitted:
    """A similarity of items; a user's score is the sum over the history."""
    with tempfile.TemporaryDirectory() as folder:
        _write_matrix(problem, Path(folder))
        _run("rectools_models", Path(folder), {"model": model, **params}, seed)
        weights = np.load(Path(folder, "weights.npy"))
    matrix = matrix_of(problem.train)
    return fitted_by_score(problem, lambda users: np.asarray(matrix[users] @ weights), weights.nbytes)


def _write_matrix(problem: Problem, folder: Path) -> None:
    sparse.save_npz(folder / "matrix.npz", sparse.csr_matrix(matrix_of(problem.train)), compressed=False)


def _run(peer: str, folder: Path, params: Params, seed: int) -> None:
    (folder / "params.json").write_text(json.dumps({**params, "seed": seed}))
    run_peer(peer, folder)


def _by_factors(peer: str, problem: Problem, params: Params, seed: int, folder: Path) -> Fitted:
    """Scores are inner products of what the peer writes."""
    _run(peer, folder, params, seed)
    users, items = np.load(folder / "users.npy"), np.load(folder / "items.npy")

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
KGAT = _recbole(
    "KGAT", embedding_size=64, kg_embedding_size=64, layers=[64, 32], mess_dropout=0.1, reg_weight=1e-5, train_batch_size=4096
)
IALS = System(
    "iALS (implicit)",
    partial(fit_implicit, "iALS"),
    lambda trial: {
        "factors": trial.suggest_int("factors", 16, 256, log=True),
        "regularization": trial.suggest_float("regularization", 1e-3, 100.0, log=True),
        "alpha": trial.suggest_float("alpha", 1.0, 100.0, log=True),
        "iterations": trial.suggest_int("iterations", 5, 30),
    },
    {"factors": 64, "regularization": 1.0, "alpha": 10.0, "iterations": 15},
    random=True,
)
BPR = System(
    "BPR (implicit)",
    partial(fit_implicit, "BPR"),
    lambda trial: {
        "factors": trial.suggest_int("factors", 16, 256, log=True),
        "regularization": trial.suggest_float("regularization", 1e-4, 0.1, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 0.3, log=True),
        "iterations": trial.suggest_int("iterations", 50, 500, log=True),
    },
    {"factors": 64, "regularization": 0.01, "learning_rate": 0.05, "iterations": 100},
    random=True,
)
RECTOOLS_EASE = System(
    "EASE (RecTools)",
    partial(fit_rectools, "EASE"),
    lambda trial: {
        "regularization": trial.suggest_float("regularization", 1.0, 10_000.0, log=True),
    },
    {"regularization": 500.0},
)
RECTOOLS_ITEM_KNN = System(
    "item-kNN (RecTools)",
    partial(fit_rectools, "item-kNN"),
    lambda trial: {
        "similarity": trial.suggest_categorical("similarity", ["BM25", "cosine", "TF-IDF"]),
        "k": trial.suggest_int("k", 20, 1000, log=True),
    },
    {"similarity": "TF-IDF", "k": 50},
)
