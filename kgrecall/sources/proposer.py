"""Tables put together: which of them describe the same nodes, and how they hang on each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl

from kgrecall.errors import Shown, SourceError
from kgrecall.sources.cells import as_text, list_cells, plain
from kgrecall.sources.draft import Draft, label_of, noun_of
from kgrecall.sources.profile import Column
from kgrecall.sources.roles import ITEM_NOUNS, Table, main_item_noun

_TAG_NOUNS = frozenset({"tag", "keyword", "genre", "category"})


class Proposer:
    """Puts classified tables into a draft, nodes before the edges that need them.

    Args:
        tables: one per readable file.
        name: of the graph.
        doubts: what the files left open.
    """

    def __init__(self, tables: Sequence[Table], name: str, doubts: Sequence[str]) -> None:
        self.findings: list[str] = []
        self.doubts = list(doubts)
        self._item = main_item_noun(tables)
        self._tables = [table for table in tables if not self._is_foreign(table, tables)]
        events = [table for table in self._tables if table.kind == "interactions"]
        self._tables = [t for t in self._tables if t.kind != "interactions" or not self._is_copy(t, events)]
        self._of_kind: Counter[str] = Counter(table.kind for table in self._tables)
        entities = [table for table in self._tables if table.kind == "entities"]
        self._known = {table.noun: label_of(table.noun) for table in entities if self._is_mentioned(table)}
        self._item_label = label_of(self._item)
        self._events: dict[str, list[Table]] = {}
        self._draft = Draft(name, self._item_label, self._known)

    def write(self) -> str:
        """The mapping file.

        Raises:
            SourceError: no table tells which user did something with which item.
        """
        if not self._of_kind["interactions"]:
            raise SourceError(
                "inspect",
                expected="a file that says which user did something with which item",
                got=Shown(", ".join(f"{table.sample.name} ({table.kind})" for table in self._tables) or "no table"),
                remedy="Call its columns user_id and item_id, or start from the shop mapping.",
            )
        add = {"users": self._users, "items": self._items, "entities": self._entities, "link": self._link}
        add |= {"triples": self._triples, "social": self._social, "interactions": self._interactions}
        for kind, method in add.items():
            for table in self._tables:
                if table.kind == kind:
                    method(table)
        for relation, events in self._events.items():
            if all(map(_timed, events)) and any(not table.sample.whole or _repeats(table) for table in events):
                self._draft.events_repeat(relation)
        for table in self._tables:
            if table.kind == "unknown":
                self.doubts.append(f"{table.sample.name} is left out: no column tells what its rows are.")
        return self._draft.to_toml(self.doubts)

    def _is_mentioned(self, table: Table) -> bool:
        """Whether another table refers to the nodes of this one."""
        if table.noun == "entity" and self._of_kind["triples"] + self._of_kind["link"]:
            return True
        others = (other for other in self._tables if other is not table)
        return any(table.noun == (other.nouns.get(c.name) or noun_of(c)) for other in others for c in other.others)

    def _is_foreign(self, table: Table, tables: Sequence[Table]) -> bool:
        """Whether it names items by another noun, and its ids are other ids too."""
        place = {"interactions": 1, "items": 0, "link": 0}.get(table.kind)
        if place is None:
            return False
        noun = table.nouns.get(table.keys[place])
        if noun is None or noun == self._item or noun not in ITEM_NOUNS:
            return False
        together = any({noun, self._item} <= set(other.nouns.values()) for other in tables)
        if not together and self._covered(table, table.keys[place], "items", tables) > 0.9:
            return False
        self.doubts.append(f"{table.sample.name} is left out: its {noun} ids are not the {self._item} ids of the other files.")
        return True

    def _is_copy(self, table: Table, events: Sequence[Table]) -> bool:
        """Whether it tells of other users and other items than the main events: mostly the same data under other ids."""
        main = next(iter(event for event in events if _speaking(event)), events[0])
        sides = zip(table.keys, main.keys, strict=True)
        if table is main or any(_ids(table, ours) & _ids(main, theirs) for ours, theirs in sides):
            return False
        name, keys = table.sample.name, " and no ".join(table.keys)
        self.doubts.append(f"{name} is left out: it shares no {keys} with {main.sample.name}; the same data under other ids?")
        return True

    def _covered(self, table: Table, column: str, kind: str, tables: Sequence[Table]) -> float:
        """The share of a column's ids that the tables of nodes of this kind list; 1 when these were not read to the end."""
        listed = [other for other in tables if other.kind == kind and other is not table]
        if not all(other.sample.whole for other in listed):
            return 1.0
        known = {value for other in listed for value in _ids(other, other.keys[0])}
        wanted = _ids(table, column)
        return len(wanted & known) / max(len(wanted), 1)

    def _absent_ends(self, table: Table, ends: Sequence[tuple[str, str, str]]) -> list[str]:
        """Ends (side, column, kind) that must be created, because the files of nodes do not list them all."""
        create = []
        for side, column, kind in ends:
            share = self._covered(table, column, kind, self._tables)
            if share < 1:
                create.append(side)
            if self._of_kind[kind] and share < 1:
                self.doubts.append(
                    f"{table.sample.name}: {1 - share:.1%} of {column} are in no file of {kind}; they are created."
                )
        return create

    def _users(self, table: Table) -> None:
        self._nodes(table, "User")

    def _items(self, table: Table) -> None:
        self._nodes(table, self._item_label)

    def _entities(self, table: Table) -> None:
        if table.noun in self._known:
            self._nodes(table, self._known[table.noun])
        else:
            self.doubts.append(f"{table.sample.name} is left out: no other file refers to its {table.noun} ids.")

    def _nodes(self, table: Table, label: str) -> None:
        relations = self._draft.nodes(table, label)
        made = f"; {', '.join(relations)}" if relations else ""
        self._found(table, f"{label} by {table.keys[0]}{made}")

    def _link(self, table: Table) -> None:
        create = self._absent_ends(table, (("source", table.keys[0], "items"),))
        self._draft.edges(table, "SAME_AS", "identity", (self._item_label, "Entity"), [*create, "target"])
        self._found(table, f"{table.keys[0]} is the {self._item_label}, {table.keys[1]} its entity")

    def _triples(self, table: Table) -> None:
        self._draft.edges(table, "RELATED", "knowledge", ("Entity", "Entity"), ["source", "target"])
        self._found(table, f"triples {', '.join(table.keys)}")
        if not self._of_kind["link"]:
            self.doubts.append(
                f'{table.sample.name}: no file links its entities to items; add a relation with role = "identity".'
            )

    def _social(self, table: Table) -> None:
        relation = "FRIEND_OF" if "friend" in table.nouns.values() else "FOLLOWS"
        create = self._absent_ends(table, (("source", table.keys[0], "users"), ("target", table.keys[1], "users")))
        self._draft.edges(table, relation, "social", ("User", "User"), create)
        self._found(table, f"{table.keys[0]} {relation} {table.keys[1]}")

    def _interactions(self, table: Table) -> None:
        user, item = table.keys
        create = self._absent_ends(table, (("source", user, "users"), ("target", item, "items")))
        relation = self._draft.interactions(table, create)
        self._events.setdefault(relation, []).append(table)
        for column in table.others:
            if table.nouns.get(column.name, column.name) in _TAG_NOUNS and column.kind == "string":
                self._draft.shared_by_items(table, item, column)
        if table.sample.mapping.format == "kgat":
            self.doubts.append(f"{table.sample.name}: only the order of items is known; it stands for the time.")
        elif not table.sample.mapping.header:
            self.doubts.append(f"{table.sample.name} has no header: {user} is taken for the user, {item} for the item.")
        contexts = ", ".join(self._draft.contexts(relation))
        self._found(table, f"{user} {relation} {item}{contexts and f' in the context of {contexts}'}")

    def _found(self, table: Table, what: str) -> None:
        sample, mapping = table.sample, table.sample.mapping
        shape = mapping.format if mapping.format != "delimited" else f"delimited by {mapping.delimiter!r}"
        count = f"{sample.rows:,}{'' if sample.whole else ' and more'} rows"
        rest = ", ".join(f"{column.name} {_how(column)}" for column in table.others)
        bad = f"; {sample.bad} rows fell apart" if sample.bad else ""
        for column in table.others:
            if column.naive:
                self.doubts.append(f"{sample.name}: times in {column.name} say no zone; UTC is assumed.")
            if column.doubt:
                self.doubts.append(f"{sample.name}: {column.doubt}.")
            if column.odd:
                fate = "read as no value" if len(column.odd) <= 5 else "will be quarantined"
                few = ", ".join(map(repr, column.odd[:5]))
                self.doubts.append(
                    f"{sample.name}: {few} in {column.name} {'is' if len(column.odd) == 1 else 'are'} no {column.kind}; {fate}."
                )
        self.findings.append(f"{sample.name} ({shape}, {count}): {what}{'; ' + rest if rest else ''}{bad}.")


def _how(column: Column) -> str:
    """A column's kind in words."""
    cut = f" cut at {column.separator!r}" if column.separator else ""
    unit = column.unit or column.form
    mark = f" with a decimal {'comma' if column.decimal == ',' else 'point'}" if column.decimal else ""
    return f"{column.kind}{cut}{mark}{f' in {unit}' if unit else ''}"


def _timed(table: Table) -> bool:
    """Whether nearly every event has a time."""
    return any(column.kind == "time" and column.filled >= 0.9 * column.rows for column in table.others)


def _repeats(table: Table) -> bool:
    """Whether a user does the same to an item more than once."""
    columns = {side: as_text(plain(table.sample.columns[key]).values) for side, key in zip("ui", table.keys, strict=True)}
    pairs = pl.DataFrame({side: pl.Series(values=pl.from_arrow(cells)) for side, cells in columns.items()}).drop_nulls()
    return pairs.n_unique() < len(pairs)


def _speaking(table: Table) -> bool:
    """Whether both ids are words of somebody's own, not mere numbers."""
    return not any(_texts(table, key).str.contains(r"^\d+$").all() for key in table.keys)


def _texts(table: Table, column: str) -> pl.Series:
    cells = list_cells(table.sample.columns[column], None)
    return pl.Series(values=pl.from_arrow(as_text(cells.flat)))


def _ids(table: Table, column: str) -> set[str]:
    return set(_texts(table, column).unique().to_list())
