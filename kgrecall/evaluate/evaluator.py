"""Full-ranking evaluation in blocks of users: memory is never users x items.

Protocol: the whole catalogue is ranked except the user's own training items (that is the ranker's duty), without sampled
negatives; users without relevant items are skipped; a relevant item counts once however often it occurs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from kgrecall.errors import ConfigError, NotBuilt, ShapeError, Shown
from kgrecall.evaluate.measures import (
    AUC,
    Catalogue,
    Coverage,
    Features,
    ListMeasure,
    Lists,
    Measure,
    Values,
    parse_measure,
    row_squares,
)
from kgrecall.evaluate.ranking import Rank, Score, cells, check_scores, incidence, listed_in, ranked_blocks
from kgrecall.evaluate.tables import plain_table
from kgrecall.types import IntArray, Interactions, PosArray, Progress, no_progress


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out for one system.

    Shapes: ``users`` int64 (m,), sorted: the users with relevant items; ``per_user`` float64 (m,) for every measure that has
    a value per user (all but Coverage); ``values`` their means. ``seconds`` CPU seconds (all threads) spent in the ranker.
    """

    values: Mapping[Measure, float]
    per_user: Mapping[Measure, Values]
    users: IntArray
    seconds: float

    @property
    def num_users(self) -> int:
        return len(self.users)

    def __getitem__(self, measure: Measure | str) -> float:
        """The value of a measure, also by its text: ``evaluation["ndcg@10"]``."""
        return self.values[as_measure(measure)]

    def among(self, users: IntArray) -> Evaluation:
        """The same evaluation over some of its users; without the measures that have no value per user.

        Raises:
            ConfigError: none of them was evaluated.
        """
        rows = np.flatnonzero(np.isin(self.users, users))
        if not len(rows):
            raise ConfigError("users", expected="evaluated users", got=users[:5].tolist(), remedy="Check the segment.")
        per_user = {measure: values[rows] for measure, values in self.per_user.items()}
        return Evaluation(_means(per_user), per_user, self.users[rows], self.seconds * len(rows) / len(self.users))

    def to_dict(self) -> dict[str, object]:
        """Ready for JSON."""
        measures = {str(measure): value for measure, value in self.values.items()}
        return {"num_users": self.num_users, "seconds": self.seconds, "measures": measures}

    def table(self) -> str:
        """Measures and values as plain text."""
        return plain_table(["measure", "value"], [[str(measure), f"{value:.4f}"] for measure, value in self.values.items()])


def evaluate(
    rank: Rank,
    truth: Interactions,
    measures: Sequence[Measure | str],
    *,
    users: IntArray | None = None,
    history: Interactions | None = None,
    features: Features | None = None,
    score: Score | None = None,
    block: int = 1024,
    progress: Progress = no_progress,
) -> Evaluation:
    """Rank for every user of ``truth`` and measure.

    Args:
        rank: called once per block with the longest cut of all measures.
        truth: the relevant items.
        measures: values or texts, ``[Recall(20), "ndcg@20"]``.
        users: only these; None means all users of ``truth``. Those without relevant items are skipped either way.
        history: what the system was built from; needed by Novelty, and by AUC to leave out each user's own items.
        features: float32 (num_items, d) vectors or a sparse item x attribute matrix; needed by Diversity.
        score: scores of the whole catalogue for a block of users; needed by AUC.
        block: users ranked at a time.

    Raises:
        ConfigError: no measure, an unknown one, or no user with relevant items.
        NotBuilt: a measure needs an argument that was not given.
        ShapeError: the ranker broke its contract, or the sizes of two arguments do not fit.
    """
    wanted = _distinct(measures)
    tally = _Tally(wanted, Catalogue(truth.num_items, _self_information(history, truth), _unit_rows(features, truth.num_items)))
    relevant = incidence(truth)
    chosen = _users_with_truth(relevant, users)
    seconds = 0.0
    if tally.longest:
        for part in ranked_blocks(rank, chosen, tally.longest, block=block, num_items=truth.num_items, progress=progress):
            tally.add(part.positions, relevant[part.users])
            seconds += part.seconds
    per_user = tally.per_user()
    if AUC() in wanted:
        per_user[AUC()] = _auc(score, history, relevant, chosen, block)
    values = _means(per_user) | tally.over_all()
    return Evaluation({measure: values[measure] for measure in wanted}, per_user, chosen, seconds)


def as_measure(measure: Measure | str) -> Measure:
    """The measure itself, or the one that the text names."""
    return parse_measure(measure) if isinstance(measure, str) else measure


class _Tally:
    """What is kept of the blocks that have passed: a value per user and measure, and which items were shown."""

    def __init__(self, wanted: Sequence[Measure], catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._by_list: dict[ListMeasure, list[Values]] = {m: [] for m in wanted if isinstance(m, ListMeasure)}
        self._shown = {m: np.zeros(catalogue.num_items, np.bool_) for m in wanted if isinstance(m, Coverage)}
        self.longest = max((m.k for m in wanted if not isinstance(m, AUC)), default=0)

    def add(self, positions: PosArray, relevant: sparse.csr_array[np.bool_]) -> None:
        """Lists int32 (q, k) and the relevant items bool (q, num_items) of the same users."""
        lists = Lists(positions, listed_in(positions, relevant), np.diff(relevant.indptr).astype(np.int64), self._catalogue)
        for measure, parts in self._by_list.items():
            parts.append(measure.of_lists(lists))
        for coverage, shown in self._shown.items():
            top = positions[:, : coverage.k]
            shown[top[top >= 0]] = True

    def per_user(self) -> dict[Measure, Values]:
        return {measure: np.concatenate(parts) for measure, parts in self._by_list.items()}

    def over_all(self) -> dict[Measure, float]:
        return {measure: measure.of_shown(shown) for measure, shown in self._shown.items()}


def _auc(
    score: Score | None, history: Interactions | None, relevant: sparse.csr_array[np.bool_], users: IntArray, block: int
) -> Values:
    if score is None:
        remedy = "Pass score= to the evaluation, or leave AUC out."
        raise NotBuilt("AUC", expected="score (a function that scores the whole catalogue)", got=Shown("none"), remedy=remedy)
    seen = None if history is None else incidence(history)
    values = []
    for start in range(0, len(users), block):
        part = users[start : start + block]
        scores = score(part)
        check_scores(scores, len(part), relevant.shape[1])
        eligible, wanted = np.ones(scores.shape, np.bool_), np.zeros(scores.shape, np.bool_)
        wanted[cells(relevant, part)] = True
        if seen is not None:
            eligible[cells(seen, part)] = False
        values += [AUC().of_scores(s[e], w[e]) for s, e, w in zip(scores, eligible, wanted, strict=True)]
    return np.array(values, np.float64)


def _distinct(measures: Sequence[Measure | str]) -> list[Measure]:
    if not measures or isinstance(measures, str):
        remedy = 'Pass ["recall@20", "ndcg@20"].'
        raise ConfigError("measures", expected="a list of at least one measure", got=measures, remedy=remedy)
    return list(dict.fromkeys(as_measure(measure) for measure in measures))


def _means(per_user: Mapping[Measure, Values]) -> dict[Measure, float]:
    return {measure: float(values.mean()) for measure, values in per_user.items()}


def _users_with_truth(relevant: sparse.csr_array[np.bool_], users: IntArray | None) -> IntArray:
    with_truth = np.flatnonzero(np.diff(relevant.indptr))
    chosen = with_truth if users is None else np.intersect1d(users, with_truth)
    if not len(chosen):
        got = Shown(f"{len(with_truth)} users with relevant items, none of them asked for")
        remedy = "Check that truth and users come from the same snapshot."
        raise ConfigError("users", expected="at least one user with relevant items", got=got, remedy=remedy)
    return chosen.astype(np.int64)


def _self_information(history: Interactions | None, truth: Interactions) -> Values | None:
    """Bits by which an item surprises: -log2 of the share of the history's users that have it, float64 (num_items,)."""
    if history is None:
        return None
    sizes = (history.num_users, history.num_items)
    if sizes != (truth.num_users, truth.num_items):
        remedy = "Take history and truth from one split."
        raise ShapeError("history", expected=f"{truth.num_users} users and {truth.num_items} items", got=sizes, remedy=remedy)
    held = incidence(history)
    holders = np.bincount(held.indices, minlength=history.num_items)
    num_active = max(1, int((np.diff(held.indptr) > 0).sum()))
    bits: Values = np.log2(num_active / np.maximum(holders, 1))
    return bits


def _unit_rows(features: Features | None, num_items: int) -> Features | None:
    if features is None:
        return None
    if features.ndim != 2 or features.shape[0] != num_items:
        remedy = "Pass one row of features per item position."
        raise ShapeError("features", expected=f"shape ({num_items}, d)", got=features.shape, remedy=remedy)
    length = np.sqrt(row_squares(features))
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    if isinstance(features, np.ndarray):
        return (features * scale[:, None]).astype(np.float32)
    return sparse.csr_array(sparse.diags_array(scale) @ features)
