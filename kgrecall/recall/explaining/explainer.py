"""Why an item is there: paths, contributions, what the score is owed to, and what would be without some of the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgrecall.errors import ConfigError
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.recall.base import Evidence, QueryBatch
from kgrecall.recall.channels.popularity import POPULAR
from kgrecall.recall.explaining.attribution import owed_by
from kgrecall.recall.explaining.explain import Names, PathWriter, Start
from kgrecall.recall.explaining.explanation import REST, TEXT, Attribution, Counterfactual, Explanation
from kgrecall.recall.explaining.wording import wording_of
from kgrecall.recall.panel import Panel
from kgrecall.recall.variations import without_items
from kgrecall.types import Path, PosArray

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Question:
    """One item asked about: a batch of one that may return it, the channels asked, how many candidates were asked for, whether
    "more like this" was asked, and the items of the history that stand for a taste."""

    batch: QueryBatch
    channels: tuple[str, ...]
    item_pos: int
    k: int
    from_item: bool
    taste: PosArray

    def start_of(self, evidence: Evidence, item_label: str) -> Start:
        """What a path of such evidence begins with."""
        if self.from_item:
            return "item"
        label, pos = evidence.nodes[1]
        return "taste" if label == item_label and pos in self.taste else "choice"


class Explainer:
    """Explains from the same channels that answer.

    Args:
        panel: the channels of an engine.
        items: the vocabulary of items.
        names: of all nodes.
        writer: writes paths.
    """

    def __init__(self, panel: Panel, items: Vocabulary, names: Names, writer: PathWriter) -> None:
        self._panel, self._items, self._names, self._writer = panel, items, names, writer
        self._item_label = writer.naming.item

    def contributions(self, question: Question) -> dict[str, float]:
        """What each channel adds to the fused score; empty where none recalls the item."""
        return self._panel.contributions(question.batch, question.channels, question.item_pos, question.k)

    def paths(self, question: Question, limit: int, language: str) -> list[Path]:
        """The best path of each channel, in the order of what they add to the score, then second bests; popularity last."""
        if limit < 1:
            raise ConfigError("limit", expected="an integer >= 1", got=limit, remedy="Say how many paths you want.")
        added = self.contributions(question)
        ranked: list[tuple[bool, int, float, str, Evidence]] = []
        for name in question.channels:
            for place, evidence in enumerate(self._panel[name].evidence(question.batch, question.item_pos, limit)):
                last_resort = evidence.relations == (POPULAR,)
                ranked.append((last_resort, place, -added.get(name, 0.0) * evidence.share, name, evidence))
        ranked.sort(key=lambda entry: entry[:3])
        wording = wording_of(language)
        return [
            self._writer.path(name, evidence, start=question.start_of(evidence, self._item_label), wording=wording)
            for *_, name, evidence in ranked[:limit]
        ]

    def attribution(self, question: Question, *, seed: int = 0) -> Attribution:
        """Who the fused score is owed to; empty where no channel recalls the item."""
        added = self.contributions(question)
        ids = self._items.ids_at(question.batch.history_pos)
        table, exact = {}, []
        for name, part in added.items():
            owed = owed_by(self._panel[name], question.batch, question.item_pos, seed=seed)
            row = dict.fromkeys(ids, 0.0)
            shares = owed.scaled(part)
            for item_id, value in zip(ids, shares.items.tolist(), strict=True):
                row[item_id] += value
            for source, value in ((TEXT, shares.text), (REST, shares.rest)):  # an item may be called so, too
                row[source] = row.get(source, 0.0) + value
            table[name] = {source: value for source, value in row.items() if abs(value) > _ROUNDING * abs(part)}
            exact += [name] if owed.exact else []
        return Attribution(self._items.ids_at([question.item_pos])[0], sum(added.values()), table, tuple(exact))

    def without(self, question: Question, left_out: Sequence[PosArray], language: str) -> list[Counterfactual]:
        """The item's place when the history lacks these items, one answer per entry."""
        before = self._places(question, question.batch)[0]
        after = self._places(question, without_items(question.batch, list(left_out))) if left_out else []
        wording, item = wording_of(language), self._items.ids_at([question.item_pos])[0]
        found = []
        for positions, (rank, score) in zip(left_out, after, strict=True):
            named = wording.listed.join(wording.quoted(self._title(int(pos))) for pos in positions)
            title = wording.quoted(self._title(question.item_pos))
            sentence = wording.counterfactual(title, named, before[0], rank, lower=score < before[1])
            ids = tuple(self._items.ids_at(positions))
            found.append(Counterfactual(item, ids, before[0], rank, before[1], score, sentence))
        return found

    def strongest(self, question: Question, limit: int, language: str) -> list[Counterfactual]:
        """The single history items without which the item falls farthest in rank, then in score, farthest first.

        An item that rests on many may stay where it is without any one: then the answer says so of the one without which
        its score is lowest. Channels are weighed against their own lists, hence a score can rise when an item is left out.
        """
        items = np.unique(question.batch.history_pos)
        found = self.without(question, [items[i : i + 1] for i in range(len(items))], language)
        found.sort(key=lambda c: (-(c.rank or np.inf), c.score))
        return [c for c in found if c.fell][:limit] or found[: min(limit, 1)]

    def explanation(self, question: Question, *, limit: int, language: str, counterfactuals: int) -> Explanation:
        """All of it."""
        (rank, score), item = self._places(question, question.batch)[0], self._items.ids_at([question.item_pos])[0]
        return Explanation(
            item_id=item,
            title=self._names.node(self._item_label, question.item_pos).name,
            rank=rank,
            score=score,
            contributions=self.contributions(question),
            paths=tuple(self.paths(question, limit, language)),
            attribution=self.attribution(question),
            counterfactuals=tuple(self.strongest(question, counterfactuals, language) if counterfactuals else ()),
        )

    def _places(self, question: Question, batch: QueryBatch) -> list[tuple[int | None, float]]:
        """Rank and score of the item in the fused list of each query; None and 0 where no channel recalls it."""
        fused = self._panel.ask_all(batch, question.channels, question.k).fused
        places: list[tuple[int | None, float]] = []
        for positions, scores in zip(fused.positions, fused.scores, strict=True):
            at = np.flatnonzero(positions == question.item_pos)
            places.append((int(at[0]) + 1, float(scores[at[0]])) if len(at) else (None, 0.0))
        return places

    def _title(self, item_pos: int) -> str:
        return str(self._names.node(self._item_label, item_pos))
