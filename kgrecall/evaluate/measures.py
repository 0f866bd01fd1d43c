"""Measures as values: ``NDCG(10)`` is compared, hashed and printed (``NDCG@10``) as what it is, and parsed from text.

Notation: the ranked list of user u is cut at k; ``rel(i)`` is 1 when the item at rank i (from 1) is among the n relevant
items of u, else 0. Every measure is computed per user over blocks of users and averaged over the users that have at least
one relevant item. Higher is better for each of them.

What a measure needs decides its kind: a :class:`ListMeasure` looks at the lists of some users, :class:`Coverage` at all
items that were shown to anyone, :class:`AUC` at the scores of the whole catalogue.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kgrecall.errors import ConfigError, NotBuilt, Shown, nearest
from kgrecall.types import BoolArray, FloatArray, IntArray, PosArray

Values = NDArray[np.float64]
Features = FloatArray | sparse.csr_array


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is known of the items beyond a list.

    Shapes: ``self_information`` float64 (num_items,) in bits; ``unit_features`` (num_items, d), rows of length 1 or 0, dense
    or sparse. Each is None when the evaluation was not given what it is made of.
    """

    num_items: int
    self_information: Values | None = None
    unit_features: Features | None = None


@dataclass(frozen=True, slots=True)
class Lists:
    """The ranked lists of q users.

    Shapes: ``positions`` int32 (q, k), -1 where there is no item; ``hits`` bool (q, k), the relevant ones among them;
    ``num_relevant`` int64 (q,), at least 1.
    """

    positions: PosArray
    hits: BoolArray
    num_relevant: IntArray
    catalogue: Catalogue

    def top(self, k: int) -> Lists:
        """The same lists cut at k."""
        return Lists(self.positions[:, :k], self.hits[:, :k], self.num_relevant, self.catalogue)


@dataclass(frozen=True)
class ListMeasure(ABC):
    """A measure of one user's list, cut at rank ``k``.

    Raises:
        ConfigError: k is not an integer >= 1.
    """

    k: int
    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_k(type(self).__name__, self.k)

    def __str__(self) -> str:
        return f"{type(self).__name__}@{self.k}"

    @abstractmethod
    def of_lists(self, lists: Lists) -> Values:
        """One value per user, float64 (q,); the lists are at least ``k`` long and may be longer."""


class Recall(ListMeasure):
    """hits(k) / n: how many of the relevant items are in the list. He et al., LightGCN, SIGIR 2020."""

    def of_lists(self, lists: Lists) -> Values:
        return _num_hits(lists, self.k) / lists.num_relevant


class Precision(ListMeasure):
    """hits(k) / k, also where the list is shorter than k: how much of the list is relevant."""

    def of_lists(self, lists: Lists) -> Values:
        return _num_hits(lists, self.k) / self.k


class F1(ListMeasure):
    """2 P R / (P + R) = 2 hits(k) / (k + n), the harmonic mean of precision and recall. van Rijsbergen, 1979."""

    def of_lists(self, lists: Lists) -> Values:
        return 2.0 * _num_hits(lists, self.k) / (self.k + lists.num_relevant)


class HitRate(ListMeasure):
    """1 when at least one relevant item is in the list, else 0."""

    def of_lists(self, lists: Lists) -> Values:
        return np.where(_num_hits(lists, self.k) > 0, 1.0, 0.0)


class NDCG(ListMeasure):
    """sum_i rel(i) / log2(i + 1), divided by the same sum of the best possible list: min(k, n) hits from rank 1.

    Järvelin & Kekäläinen, 2002, with binary gain, as in LightGCN and KGIN. (KGAT divides by the hits it found instead of
    those possible; its figures read 30 to 80 % higher and cannot be compared.)
    """

    def of_lists(self, lists: Lists) -> Values:
        discount = 1.0 / np.log2(np.arange(2, self.k + 2))
        best: Values = np.cumsum(discount)[np.minimum(lists.num_relevant, self.k) - 1]
        gain: Values = lists.hits[:, : self.k] @ discount
        return gain / best


class MAP(ListMeasure):
    """Average precision: sum_i rel(i) Precision(i) / min(k, n), averaged over users.

    trec_eval's ``map_cut`` divides by n instead, so that a list of k could never reach 1 for a user with more than k
    relevant items.
    """

    def of_lists(self, lists: Lists) -> Values:
        hits = lists.hits[:, : self.k]
        precision = np.cumsum(hits, axis=1) / np.arange(1, self.k + 1)
        total: Values = (precision * hits).sum(axis=1)
        return total / np.minimum(lists.num_relevant, self.k)


class MRR(ListMeasure):
    """1 / rank of the first relevant item, 0 when none is in the list. Voorhees, TREC-8, 1999."""

    def of_lists(self, lists: Lists) -> Values:
        hits = lists.hits[:, : self.k]
        return np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0)


class Novelty(ListMeasure):
    """Mean self-information of the list, in bits: -log2 p(item), p = share of the users of the history that have the item.

    Zhou et al., PNAS 2010. An item that nobody has counts as held by one user; an empty list has novelty 0.
    Needs the evaluation's ``history``.
    """

    def of_lists(self, lists: Lists) -> Values:
        bits = lists.catalogue.self_information
        if bits is None:
            raise _missing(self, "history", "the interactions that the system was built from")
        positions = lists.positions[:, : self.k]
        shown = positions >= 0
        total: Values = np.where(shown, bits[positions], 0.0).sum(axis=1)
        count: IntArray = shown.sum(axis=1)
        return total / np.maximum(count, 1)


class Diversity(ListMeasure):
    """Intra-list distance: the mean of 1 - cos(i, j) over all pairs of the list. Ziegler et al., WWW 2005.

    With item vectors it lies in 0..2. With attribute sets (a binary item x attribute matrix) the cosine is
    |A n B| / sqrt(|A| |B|) and it lies in 0..1. An item without features is at distance 1 from all others; a list of
    fewer than two items has diversity 0. Needs the evaluation's ``features``.
    """

    def of_lists(self, lists: Lists) -> Values:
        unit = lists.catalogue.unit_features
        if unit is None:
            raise _missing(self, "features", "item vectors or an item x attribute matrix")
        positions = lists.positions[:, : self.k]
        rows, columns = np.nonzero(positions >= 0)
        shown = sparse.csr_array(
            (np.ones(len(rows), np.float32), (rows, positions[rows, columns])),
            shape=(len(positions), lists.catalogue.num_items),
        )
        # sum over ordered pairs i != j of cos(i, j) = |sum_i x_i|^2 - sum_i |x_i|^2: linear in the length of the list
        cosines = row_squares(shown @ unit) - shown @ row_squares(unit)
        count: Values = shown.sum(axis=1, dtype=np.float64)
        pairs = count * (count - 1)
        return np.where(pairs > 0, 1.0 - cosines / np.maximum(pairs, 1), 0.0)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The share of the catalogue that is in the top k of at least one user. Herlocker et al., TOIS 2004.

    Raises:
        ConfigError: k is not an integer >= 1.
    """

    k: int
    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_k("Coverage", self.k)

    def __str__(self) -> str:
        return f"Coverage@{self.k}"

    def of_shown(self, shown: BoolArray) -> float:
        """``shown`` bool (num_items,): the items in the top k of anyone."""
        return float(shown.mean())


@dataclass(frozen=True, slots=True)
class AUC:
    """The chance that a relevant item scores above an irrelevant one; ties count half. Hanley & McNeil, 1982.

    Over the whole catalogue except the items of the user's history. A user without any pair to compare has 0.5.
    Needs the evaluation's ``score``.
    """

    higher_is_better: ClassVar[bool] = True

    def __str__(self) -> str:
        return "AUC"

    def of_scores(self, scores: FloatArray, relevant: BoolArray) -> float:
        """One user: ``scores`` float32 (m,) and ``relevant`` bool (m,) of the m eligible items."""
        positive = np.sort(scores[relevant])
        negative = np.sort(scores[~relevant])
        pairs = len(positive) * len(negative)
        if not pairs:
            return 0.5
        below = np.searchsorted(negative, positive, side="left").sum()
        not_above = np.searchsorted(negative, positive, side="right").sum()
        return float((below + not_above) / (2 * pairs))


Measure = ListMeasure | Coverage | AUC
CUT = (Recall, Precision, F1, HitRate, NDCG, MAP, MRR, Novelty, Diversity, Coverage)
"""Every measure that is cut at k."""

_TEXT = re.compile(r"\s*([A-Za-z0-9]+?)\s*(?:@\s*(\d+))?\s*")


def parse_measure(text: str) -> Measure:
    """``"ndcg@10"`` -> ``NDCG(10)``; case does not matter.

    Raises:
        ConfigError: no such measure (names the nearest), or the cut is missing, zero or unwanted.
    """
    by_name = {kind.__name__.lower(): kind for kind in CUT}
    match = _TEXT.fullmatch(text)
    name, cut = match.groups() if match else (text, None)
    if name.lower() == "auc" and cut is None:
        return AUC()
    kind = by_name.get(name.lower())
    if kind is None:
        remedy = nearest(name.lower(), [*by_name, "auc"])
        raise ConfigError("measure", expected="a measure such as NDCG@10", got=text, remedy=remedy)
    if cut is None:
        remedy = f"Write {kind.__name__}@20, for example."
        raise ConfigError("measure", expected=f"a cut after {kind.__name__}", got=text, remedy=remedy)
    return kind(int(cut))


def _check_k(name: str, k: object) -> None:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        remedy = "Give the length at which lists are cut."
        raise ConfigError(f"k of {name}", expected="an integer >= 1", got=k, remedy=remedy)


def _num_hits(lists: Lists, k: int) -> IntArray:
    hits: IntArray = lists.hits[:, :k].sum(axis=1)
    return hits


def row_squares(matrix: Features) -> Values:
    """The squared length of every row, float64."""
    squares: Values
    if isinstance(matrix, np.ndarray):
        squares = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    else:
        squares = matrix.multiply(matrix).sum(axis=1, dtype=np.float64)
    return squares


def _missing(measure: ListMeasure, argument: str, meaning: str) -> NotBuilt:
    return NotBuilt(
        str(measure), expected=f"{argument} ({meaning})", got=Shown("none"), remedy=f"Pass {argument}= to the evaluation."
    )
