"""A mapping file written from classified tables, with comments for the people who will edit it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kgrecall.schema import RESERVED
from kgrecall.sources.profile import Column, words_of
from kgrecall.sources.roles import WEIGHT_WORDS, Table, is_context, singular

_EVENT_NAMES = {
    **{"rating": "RATED", "review": "REVIEWED", "view": "VIEWED", "click": "CLICKED", "purchase": "PURCHASED"},
    **{"order": "ORDERED", "play": "PLAYED", "listen": "LISTENED_TO", "like": "LIKED", "tag": "TAGGED", "cart": "PUT_IN_CART"},
}


@dataclass
class _Type:
    """One label or relation as it grows over the files."""

    role: str | None = None
    ends: tuple[str, str] | None = None
    properties: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str | list[str]] = field(default_factory=dict)
    described: list[str] = field(default_factory=list)


class Draft:
    """Collects labels, relations and files, then writes them.

    Args:
        name: of the graph.
        item_label: label of the items.
        known: noun -> label, for nouns that have a table of their own.
    """

    def __init__(self, name: str, item_label: str, known: dict[str, str]) -> None:
        self._name, self._item, self._known = name, item_label, known
        self._nodes = {"User": _Type("user"), item_label: _Type("item")}
        self._edges: dict[str, _Type] = {}
        self._files: list[str] = []

    def nodes(self, table: Table, label: str) -> list[str]:
        """Add a file of nodes; returns the relations that were made of its columns."""
        kind = self._nodes.setdefault(label, _Type())
        properties = _properties(kind, table.others)
        title = next((name for name in properties if set(words_of(name)) & {"title", "name"}), None)
        if title and kind.properties[title] in ("string", "text"):
            kind.properties[title] = "text"
            kind.settings.setdefault("title", title)
        if kind.role == "item":
            kind.described += [name for name, column in properties.items() if column.kind == "strings"]
        lines = ["[[files.nodes]]", f"label = {_text(label)}", f"id = {_text(table.keys[0])}", *_mapped(properties)]
        relations = self._references(table, label)
        for relation, column in relations.items():
            lines += _edge(relation, _text(table.keys[0]), _cell(column), ["target"])
        self._file(table, lines)
        return list(relations)

    def _references(self, table: Table, label: str) -> dict[str, Column]:
        """Columns whose values come again in other rows: nodes of their own that similar rows share."""
        relations: dict[str, Column] = {}
        for column in table.others:
            noun = table.nouns.get(column.name) or noun_of(column)
            listed = column.kind == "strings" and column.distinct_elements > 1
            shared = column.kind == "string" and column.worded and 3 <= column.distinct <= 0.5 * column.filled
            known = noun in self._known and table.nouns.get(column.name) == noun
            if not (listed or shared or known) or not noun.isascii() or noun in ("user", table.noun):
                continue
            target = self._known.get(noun, _pascal(noun))
            relation = f"HAS_{_snake(noun).upper()}"
            if self._edges.get(relation, _Type(ends=(label, target))).ends != (label, target):
                relation = f"{label.upper()}_{relation}"
            self._nodes.setdefault(target, _Type())
            self._edges.setdefault(relation, _Type(ends=(label, target)))
            relations[relation] = column
        return relations

    def interactions(self, table: Table, create: Sequence[str] = ()) -> str:
        """Add a file of events between users and items; returns the relation. ``create``: ends that no file lists."""
        weight = _weight(table)
        relation = _event_name(table, weight)
        kind = self._edges.setdefault(relation, _Type("interaction", ("User", self._item)))
        properties = _properties(kind, [column for column in table.others if column.distinct > 1 and column.kind != "numbers"])
        for setting, found in (("time", _time(table)), ("weight", weight)):
            name = next((name for name, column in properties.items() if column is found), None)
            if name is not None:
                kind.settings.setdefault(setting, name)
        context = [name for name, column in properties.items() if is_context(column) and kind.properties[name] != "text"]
        if context := list(dict.fromkeys([*self.contexts(relation), *context])):
            kind.settings["context"] = context
        self._file(table, _edge(relation, _text(table.keys[0]), _text(table.keys[1]), create, properties))
        return relation

    def contexts(self, relation: str) -> list[str]:
        """Properties of a relation that say where or how its events happened."""
        return list(self._edges[relation].settings.get("context", ()))

    def shared_by_items(self, table: Table, item: str, column: Column) -> None:
        """Make the values of an event's column (a tag) nodes that the items share."""
        noun = noun_of(column)
        label, relation = self._known.get(noun, _pascal(noun)), f"HAS_{_snake(noun).upper()}"
        self._nodes.setdefault(label, _Type())
        self._edges.setdefault(relation, _Type(ends=(self._item, label)))
        self._file(table, _edge(relation, _text(item), _text(column.name), ["target"]))

    def events_repeat(self, relation: str) -> None:
        """Keep every event of a pair: its time belongs to the key."""
        kind = self._edges[relation]
        time = kind.settings.get("time")
        if isinstance(time, str):
            kind.settings["key"] = [time]

    def edges(self, table: Table, relation: str, role: str, ends: tuple[str, str], create: Sequence[str] = ()) -> None:
        """Add a file of edges: of triples when the table has three keys, with properties when they are social."""
        kind = self._edges.setdefault(relation, _Type(role, ends))
        for label in ends:
            self._nodes.setdefault(label, _Type())
        properties: dict[str, Column] = {}
        if role == "social":
            properties = _properties(kind, table.others)
            since = next((name for name, column in properties.items() if column.kind == "time"), None)
            kind.settings.update({"time": since} if since else {})
        if len(table.keys) == 3:
            properties = {"relation": table.column(table.keys[1])}
            kind.properties["relation"] = "string"
            kind.settings["relation"] = "relation"
        self._file(table, _edge(relation, _text(table.keys[0]), _text(table.keys[-1]), create, properties))

    def _file(self, table: Table, lines: list[str]) -> None:
        mapping = table.sample.mapping
        head = ["[[files]]", f"path = {_text(table.sample.name)}"]
        if mapping.format != "delimited":
            head.append(f"format = {_text(mapping.format)}")
        elif mapping.delimiter:
            head.append(f"delimiter = {_text(mapping.delimiter)}")
        if mapping.format == "delimited" and mapping.quote is None:
            head.append('quote = ""                           # quotes are ordinary text here')
        if not mapping.header:
            head.append("header = false")
        if mapping.encoding:
            head.append(f"encoding = {_text(mapping.encoding)}")
        nulls = sorted({text for column in table.columns for text in column.nulls if _is_null(column, text)} | _odd(table))
        if nulls:
            head.append(f"null_values = {json.dumps(['', *nulls])}")
        if self._files and self._files[-1].startswith("\n".join(head)):
            lines = [self._files.pop(), *lines]
            head = []
        self._files.append("\n".join([*head, *lines]))

    def to_toml(self, remarks: Sequence[str]) -> str:
        parts = ["\n".join(["# Proposed from the data; check the doubts and edit freely. All keys: graph_schema/README.md."])]
        parts[0] += "".join(f"\n# Unsure: {' '.join(remark.split())}" for remark in remarks)
        parts[0] += f"\nformat_version = 1\nname = {_text(self._name)}"
        for section, table in (("nodes", self._nodes), ("edges", self._edges)):
            for name, kind in table.items():
                parts.append("\n".join([f"[{section}.{name}]", *_type_lines(kind)]))
        return "\n\n".join([*parts, *self._files]) + "\n"


def _properties(kind: _Type, columns: Sequence[Column]) -> dict[str, Column]:
    """A property for each column; columns of one name and kind in several files share it."""
    chosen: dict[str, Column] = {}
    for column in columns:
        base = _snake(column.name) or "value"
        base = name = f"{base}_value" if base in RESERVED else base
        number = 2
        while name in chosen or not _alike(kind.properties.get(name, column.kind), column.kind):
            name, number = f"{base}_{number}", number + 1
        kind.properties.setdefault(name, column.kind)
        chosen[name] = column
    return chosen


def _alike(one: str, other: str) -> bool:
    return one == other or {one, other} <= {"string", "text"}


def _edge(
    relation: str, source: str, target: str, create: Sequence[str], properties: dict[str, Column] | None = None
) -> list[str]:
    lines = ["[[files.edges]]", f"type = {_text(relation)}", f"source = {source}", f"target = {target}"]
    lines += _mapped(properties or {})
    return lines + ([f"create = {json.dumps(list(create))}"] if create else [])


def _odd(table: Table) -> set[str]:
    """Cells that say "unknown" in a column of numbers or times, as long as they are few."""
    return {text for column in table.others for text in column.odd if len(column.odd) <= 5}


def _is_null(column: Column, text: str) -> bool:
    """A dash or "None" may be a title; in a column of numbers or times it is none."""
    return column.kind not in ("string", "text", "strings") or text in ("NULL", "\\N", "#N/A", "NA", "N/A")


def _type_lines(kind: _Type) -> list[str]:
    lines = [f"role = {_text(kind.role)}"] if kind.role else []
    if kind.ends:
        lines += [f"source = {_text(kind.ends[0])}", f"target = {_text(kind.ends[1])}"]
    lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in kind.settings.items()]
    if kind.described:
        lines.append(f"described_by = {json.dumps(list(dict.fromkeys(kind.described)))}")
    return lines + _table("properties", {name: _text(value) for name, value in kind.properties.items()})


def _mapped(properties: dict[str, Column]) -> list[str]:
    return _table("properties", {name: _cell(column) for name, column in properties.items()})


def _table(key: str, entries: dict[str, str]) -> list[str]:
    return [f"{key} = {{ {', '.join(f'{name} = {value}' for name, value in entries.items())} }}"] if entries else []


def noun_of(column: Column) -> str:
    """What the values of a column are: its last word, or its number where the file has no header."""
    word = column.words[-1] if column.words else "value"
    return f"attribute {word}" if word.isdigit() else singular(word)


def _time(table: Table) -> Column | None:
    return next((column for column in table.others if column.kind == "time"), None)


def _cell(column: Column) -> str:
    parts = [f"column = {_text(column.name)}"]
    if column.separator:
        parts.append(f"separator = {_text(column.separator)}")
    if column.kind == "time" and column.unit:
        parts.append(f"unit = {_text(column.unit)}")
    if column.form:
        parts.append(f"format = {_text(column.form)}")
    if column.naive:
        parts.append('timezone = "UTC"')
    if column.decimal:
        parts.append(f"decimal = {_text(column.decimal)}")
    return _text(column.name) if len(parts) == 1 else f"{{ {', '.join(parts)} }}"


def _weight(table: Table) -> Column | None:
    numbers = [column for column in table.others if column.kind in ("integer", "number") and column.distinct > 1]
    named = [column for column in numbers if set(column.words) & WEIGHT_WORDS]
    if not named and not table.sample.mapping.header:
        named = numbers[:1]
    return next((column for column in named if column.positive), None)


def _event_name(table: Table, weight: Column | None) -> str:
    for word in (*words_of(table.sample.name), *(weight.words if weight else ())):
        if singular(word) in _EVENT_NAMES:
            return _EVENT_NAMES[singular(word)]
    return "INTERACTED"


def _snake(name: str) -> str:
    """A property name; "" when nothing of the name can stay."""
    joined = "_".join(re.sub(r"[^a-z0-9]", "", word) for word in words_of(name)).strip("_")
    joined = re.sub(r"_+", "_", joined)[:60]
    return f"c_{joined}" if joined[:1].isdigit() else joined


def _pascal(name: str) -> str:
    return "".join(word.title() for word in _snake(name).split("_")) or "Entity"


def label_of(noun: str) -> str:
    """``movie`` -> ``Movie``."""
    return _pascal(noun)


def _text(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
