"""What a gate found, in numbers and in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kgrecall.evaluate.measures import Values
from kgrecall.evaluate.significance import PairedDifference, paired_bootstrap
from kgrecall.evaluate.tables import plain_table

ERRORS = 2.0
"""Paired standard errors by which a difference must leave zero before it counts as more than luck."""
Subject = Literal["graph", "text", "vectors"]


@dataclass(frozen=True, slots=True)
class Worth:
    """What the graph (or the texts, or the vectors) are worth to one question.

    ``without``, ``real``: means over the users; ``shuffled``: one mean per shuffle. ``gain``: real above without;
    ``placebo``: the mean of the shuffles above without; ``over_placebo``: real above the mean of the shuffles.
    """

    question: str
    num_users: int
    without: float
    real: float
    shuffled: tuple[float, ...]
    gain: PairedDifference
    placebo: PairedDifference
    over_placebo: PairedDifference

    @classmethod
    def of(cls, question: str, without: Values, real: Values, shuffled: Sequence[Values], *, seed: int) -> Worth:
        """From one value per user and arm, float64 (n,) each, of the same users."""
        mean: Values = np.mean(shuffled, axis=0)
        return cls(
            question,
            len(real),
            float(without.mean()),
            float(real.mean()),
            tuple(float(values.mean()) for values in shuffled),
            paired_bootstrap(real, without, seed=seed),
            paired_bootstrap(mean, without, seed=seed),
            paired_bootstrap(real, mean, seed=seed),
        )

    @property
    def proven(self) -> bool:
        """The real one wins by more than two paired standard errors, over nothing and over what is shuffled; the shuffled one
        does not win over nothing."""
        return surely_above(self.gain) and surely_above(self.over_placebo) and not surely_above(self.placebo)

    def sentence(self, subject: Subject, measure: str) -> str:
        """For instance ``+5.9 % Recall@20 on 1,872 warm users (.1688 -> .1789, p = 0.0002)``."""
        change = f"{self.gain.difference / self.without:+.1%}" if self.without > 0 else f"{self.gain.difference:+.4f}"
        facts = f"{self.without:.4f} -> {self.real:.4f}, shuffled {np.mean(self.shuffled):.4f}, p = {self.gain.p_value:.2g}"
        return f"{change} {measure} for {self.num_users:,} {_people(self.question)} ({facts}): {self._meaning(subject)}"

    def _meaning(self, subject: Subject) -> str:
        what = "set of vectors" if subject == "vectors" else subject
        if self.proven:
            return f"the {what} helps."
        if surely_above(self.gain) and not surely_above(self.over_placebo):
            return f"a shuffled {what} gains as much, so it is not what the {what} says."
        if surely_above(self.gain):
            return f"the {what} helps, but a shuffled one gains a part of it."
        if surely_above(negative(self.gain)):
            return f"the {what} harms."
        return "not told from luck."


def surely_above(difference: PairedDifference) -> bool:
    return difference.difference > ERRORS * difference.standard_error and difference.difference > 0


def negative(d: PairedDifference) -> PairedDifference:
    """The difference the other way round."""
    return PairedDifference(-d.difference, -d.high, -d.low, d.p_value, d.standard_error, d.confidence)


def _people(question: str) -> str:
    return question if question.endswith("users") else f"users asked for {question}"


@dataclass(frozen=True, slots=True)
class RelationWorth:
    """One relation, by question: ``alone`` above no graph, ``lost`` by the whole graph when it is taken away."""

    relation: str
    num_edges: int
    alone: Mapping[str, PairedDifference]
    lost: Mapping[str, PairedDifference]

    @property
    def verdict(self) -> Literal["carries", "replaceable", "harms", "noise"]:
        """``carries``: the graph loses without it. ``replaceable``: it helps alone, but the others say the same. ``harms``: the
        graph gains without it. ``noise``: none of these, to any question."""
        if any(map(surely_above, self.lost.values())):
            return "carries"
        if any(surely_above(negative(lost)) for lost in self.lost.values()):
            return "harms"
        return "replaceable" if any(map(surely_above, self.alone.values())) else "noise"


@dataclass(frozen=True, slots=True)
class GateReport:
    """Everything a gate measured. ``str()`` is the verdict in sentences, :meth:`table` the numbers."""

    measure: str
    pipeline: str
    graph: tuple[Worth, ...]
    text: tuple[Worth, ...]
    vectors: tuple[Worth, ...]
    relations: tuple[RelationWorth, ...]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @property
    def subjects(self) -> dict[Subject, tuple[Worth, ...]]:
        """What was judged, and found of it."""
        found: dict[Subject, tuple[Worth, ...]] = {"graph": self.graph, "text": self.text, "vectors": self.vectors}
        return {subject: worths for subject, worths in found.items() if worths}

    @property
    def graph_proven(self) -> bool:
        """Whether the graph is proven to help with at least one question."""
        return any(worth.proven for worth in self.graph)

    def __str__(self) -> str:
        lines = []
        for subject, worths in self.subjects.items():
            lines.append(f"Your {_ARE[subject]} worth")
            lines += [f"  {worth.sentence(subject, self.measure)}" for worth in worths]
        for verdict, words in _VERDICTS.items():
            found = [r.relation for r in self.relations if r.verdict == verdict]
            if found:
                lines.append(f"{words}: {', '.join(found)}.")
        return "\n".join([*lines, *self.notes])

    def table(self) -> str:
        """A line per question and subject: none, real, shuffled, the gain with its interval and p."""
        rows = [
            [
                f"{subject}: {w.question}",
                f"{w.num_users:,}",
                f"{w.without:.4f}",
                f"{w.real:.4f}",
                " ".join(f"{value:.4f}" for value in w.shuffled),
                str(w.gain),
                "yes" if w.proven else "no",
            ]
            for subject, worths in self.subjects.items()
            for w in worths
        ]
        return plain_table([self.measure, "users", "none", "real", "shuffled", "real - none", "proven"], rows)

    def relation_table(self) -> str:
        """A line per relation: its edges, and for each question what it gains alone and what is lost without it."""
        questions = list(self.relations[0].lost) if self.relations else []
        header = ["relation", "edges", *(f"{what}: {q}" for q in questions for what in ("alone", "lost without")), "verdict"]
        rows = [
            [
                r.relation,
                f"{r.num_edges:,}",
                *(f"{d.difference:+.4f}" for q in questions for d in (r.alone[q], r.lost[q])),
                r.verdict,
            ]
            for r in self.relations
        ]
        return plain_table(header, rows)

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {
            "measure": self.measure,
            "pipeline": self.pipeline,
            "verdict": str(self),
            "graph": [_plain(worth) for worth in self.graph],
            "text": [_plain(worth) for worth in self.text],
            "vectors": [_plain(worth) for worth in self.vectors],
            "relations": [{"relation": r.relation, "edges": r.num_edges, "verdict": r.verdict} for r in self.relations],
            "seconds": dict(self.seconds),
            "notes": list(self.notes),
        }


_ARE: dict[Subject, str] = {"graph": "graph is", "text": "texts are", "vectors": "vectors are"}
_VERDICTS = {
    "carries": "These relations carry it",
    "replaceable": "These help alone, but the others say the same",
    "harms": "These do harm",
    "noise": "These are noise",
}


def _plain(worth: Worth) -> dict[str, object]:
    return {
        "question": worth.question,
        "users": worth.num_users,
        "none": worth.without,
        "real": worth.real,
        "shuffled": list(worth.shuffled),
        "gain": worth.gain.difference,
        "low": worth.gain.low,
        "high": worth.gain.high,
        "p": worth.gain.p_value,
        "proven": worth.proven,
    }
