"""What a table is about: users, items, what users did with items, or facts; told from names first, from values second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kgrecall.sources.profile import Column, words_of
from kgrecall.sources.sniff import Sample

TableKind = Literal["users", "items", "interactions", "social", "triples", "link", "entities", "unknown"]

USER_NOUNS = frozenset({"user", "customer", "client", "member", "reader", "reviewer", "account", "visitor", "buyer", "person"})
ITEM_NOUNS = frozenset(
    {"item", "product", "movie", "film", "book", "song", "track", "artist", "article", "video", "game", "business", "poi"}
    | {"recipe", "restaurant", "hotel", "course", "app", "news", "listing", "podcast", "show", "album", "venue", "job"}
)
PEER_NOUNS = frozenset(
    {"friend", "follower", "followee", "follow", "followed", "trustee", "trustor", "trust", "contact", "peer"}
)
_ALIASES = {
    **{"uid": "user", "iid": "item", "pid": "product", "mid": "movie", "bid": "book", "eid": "entity", "tid": "tag"},
    **{"kunde": "customer", "kunden": "customer", "kundennr": "customer", "kundennummer": "customer", "cliente": "customer"},
    **{"nutzer": "user", "benutzer": "user", "utilisateur": "user", "usuario": "user", "用户": "user"},
    **{"artikel": "product", "artikelnr": "product", "artikelnummer": "product", "produkt": "product", "produktnr": "product"},
    **{"produit": "product", "producto": "product", "produto": "product", "商品": "product", "物品": "item"},
    **{"asin": "product", "sku": "product", "isbn": "book", "parent": "", "inter": "interaction"},
}
WEIGHT_WORDS = frozenset({"rating", "score", "star", "stars", "weight", "count", "plays", "quantity", "qty", "amount"})
_CONTEXT_WORDS = frozenset(
    {"device", "platform", "os", "browser", "mobile", "channel", "surface", "context"}
    | {"place", "location", "city", "region", "country", "store", "shop", "branch"}
)
_CONTEXT_ENDINGS = frozenset({"type", "name", "category", "class", "kind", "code", "id"})
_MOST_CONTEXTS = 200
"""A column of more values than this names single devices or spots: too few events each to learn from."""
_ID_WORDS = frozenset({"id", "ids", "key", "code", "uuid", "guid", "no", "nr", "number", "idx", "index", "nummer", "numero"})
_ROLE_OF_TRIPLE = ({"head", "subject", "subj", "h"}, {"relation", "predicate", "rel", "r"}, {"tail", "object", "obj", "t"})


@dataclass(frozen=True, slots=True)
class Table:
    """One file and what it is taken for.

    ``keys``: the columns that make it so: (id,) of nodes, (user, item), (user, user), (item, entity), (head, relation, tail).
    ``noun``: what it is about, singular ("movie"); ``nouns``: the noun of every column that refers to something.
    """

    sample: Sample
    columns: tuple[Column, ...]
    kind: TableKind
    keys: tuple[str, ...]
    noun: str
    nouns: dict[str, str]

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def others(self) -> tuple[Column, ...]:
        """The columns beside the keys that hold anything."""
        return tuple(column for column in self.columns if column.name not in self.keys and column.filled)


def classify(sample: Sample, columns: Sequence[Column]) -> Table:
    """Decide what a table is. Tables without a header are judged by the file's name and the places of columns."""
    about = _file_noun(sample.name)
    if sample.mapping.format == "delimited" and not sample.mapping.header:
        kind, keys = _by_place(sample.name, columns, about)
        nouns: dict[str, str] = {}
    else:
        nouns = {column.name: noun for column in columns if (noun := _reference(column)) is not None}
        kind, keys = _by_name(columns, nouns, about)
    noun = nouns.get(keys[0], about) if keys else about
    settled = tuple(_settled(column, sample, column.name in nouns) for column in columns)
    return Table(sample, settled, kind, keys, noun or about, nouns)


def _settled(column: Column, sample: Sample, reference: bool) -> Column:
    """Ids stay text, and whole numbers may turn out to have fractions further on."""
    if column.kind != "integer":
        return column
    if reference:
        return replace(column, kind="string")
    return column if sample.whole and not set(column.words) & WEIGHT_WORDS else replace(column, kind="number")


def singular(word: str) -> str:
    """``movies`` -> ``movie``, ``categories`` -> ``category``."""
    if word.endswith("ies") and word not in ("movies", "series"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "series", "news")) else word


def is_context(column: Column) -> bool:
    """Whether a column of events says where or how they happened, in a few values that come again."""
    words = [singular(word) for word in column.words]
    if len(words) > 1 and words[-1] in _CONTEXT_ENDINGS:
        words.pop()
    named = bool(words) and words[-1] in _CONTEXT_WORDS
    few = 2 <= column.distinct <= min(_MOST_CONTEXTS, column.filled // 2)
    return named and few and column.kind in ("string", "boolean", "integer")


def _file_noun(name: str) -> str:
    """The user or item noun in a file's name, else its first word."""
    words = [_ALIASES.get(singular(word), singular(word)) for word in words_of(name)]
    known = [word for word in words if word in USER_NOUNS | ITEM_NOUNS | PEER_NOUNS]
    return known[0] if known else (words[0] if words else "entity")


def _reference(column: Column) -> str | None:
    """The noun that an id column refers to; None when it is no reference. A bare ``id`` refers to the file's own noun."""
    if column.kind not in ("integer", "string", "strings") or not column.words:
        return None
    words = [singular(word) if word not in _ID_WORDS else word for word in column.words]
    rest = [_ALIASES.get(word, word) for word in words if word not in _ID_WORDS and not word.isdigit()]
    rest = [word for word in rest if word]
    known = [word for word in rest if word in USER_NOUNS | ITEM_NOUNS | PEER_NOUNS | {"entity"}]
    if len(rest) < len(words) or words[0] in _ALIASES:
        return known[0] if known else (rest[-1] if rest else "")
    return known[0] if len(rest) == 1 and known else None


def _by_name(columns: Sequence[Column], nouns: dict[str, str], about: str) -> tuple[TableKind, tuple[str, ...]]:
    triple = tuple(next((c.name for c in columns if set(c.words) & role), None) for role in _ROLE_OF_TRIPLE)
    if None not in triple and len(columns) <= 5:
        return "triples", tuple(name for name in triple if name)
    users = [name for name, noun in nouns.items() if noun in USER_NOUNS]
    peers = [name for name, noun in nouns.items() if noun in PEER_NOUNS] + users[1:]
    items = [name for name, noun in nouns.items() if noun in ITEM_NOUNS]
    entities = [name for name, noun in nouns.items() if noun == "entity"]
    by_name = {column.name: column for column in columns}
    if items and entities:
        return "link", (items[0], entities[0])
    if users and items:
        timed = any(column.kind == "time" for column in columns)
        about_items = by_name[items[0]].unique and not by_name[users[0]].unique and not timed
        return ("items", (items[0],)) if about_items else ("interactions", (users[0], items[0]))
    if users and peers:
        return "social", (users[0], peers[0])
    for kind, found in (("users", users), ("items", items)):
        if found:
            return (kind, (found[0],)) if by_name[found[0]].unique else ("unknown", (found[0],))  # type: ignore[return-value]
    return _by_own_id(columns, nouns, about)


def _by_own_id(columns: Sequence[Column], nouns: dict[str, str], about: str) -> tuple[TableKind, tuple[str, ...]]:
    key = next((column for column in columns if column.name in nouns and column.unique), columns[0])
    if not key.unique:
        return "unknown", ()
    noun = nouns.get(key.name) or about
    return "users" if noun in USER_NOUNS else "items" if noun in ITEM_NOUNS else "entities", (key.name,)


def _by_place(name: str, columns: Sequence[Column], about: str) -> tuple[TableKind, tuple[str, ...]]:
    words = {singular(word) for word in words_of(name)}
    first = columns[0]
    if first.unique:
        return "users" if about in USER_NOUNS else "items" if about in ITEM_NOUNS else "entities", (first.name,)
    ids = [column.name for column in columns if column.kind in ("integer", "string") and not column.unique][:3]
    if words & {"kg", "triple", "knowledge"} and len(ids) == 3:
        return "triples", tuple(ids)
    if len(ids) < 2:
        return "unknown", ()
    if words & (PEER_NOUNS | {"social"}):
        return "social", (ids[0], ids[1])
    return "interactions", (ids[0], ids[1])


def main_item_noun(tables: Sequence[Table]) -> str:
    """The noun of the items: that of the richest table of items, else the one that most interactions name."""
    described: Counter[str] = Counter()
    for table in tables:
        if table.kind == "items":
            described[table.noun] += len(table.columns)
    named = Counter(table.nouns.get(table.keys[1]) or "item" for table in tables if table.kind == "interactions")
    if set(named) <= {"item"} and described:  # "item" is what every kind of item is called
        return described.most_common(1)[0][0]
    return max((*named, *described), key=lambda noun: (named[noun] > 0, described[noun], named[noun]), default="item")
