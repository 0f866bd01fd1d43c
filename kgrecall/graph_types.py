"""One label and one relation of the property graph, and the names they may have."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from kgrecall.errors import SchemaError

NodeRole = Literal["user", "item", "entity"]
EdgeRole = Literal["interaction", "knowledge", "social", "identity"]
PropertyType = Literal["string", "text", "integer", "number", "boolean", "time", "image", "strings", "numbers"]
"""``text`` is a string that is encoded by a language model; ``image`` the path of a picture; ``time`` int64 milliseconds
since 1970 UTC; ``strings`` and ``numbers`` are lists (a precomputed vector is ``numbers``)."""

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
RESERVED = frozenset({"id", "source", "target", "pos", "src", "dst", "seq"})
"""Property names that the stores use themselves."""


def quote_identifier(name: str, quote: Literal["`", '"']) -> str:
    """The name between quotes, ready for Cypher (backtick) or SQL (double quote).

    Raises:
        SchemaError: the name is not a letter followed by letters, digits or ``_`` (at most 63).
    """
    return f"{quote}{_checked_identifier(name)}{quote}"


def _checked_identifier(name: str) -> str:
    if not isinstance(name, str) or _IDENTIFIER.fullmatch(name) is None:
        raise SchemaError(
            "name",
            expected="a letter, then letters, digits or _ (at most 63)",
            got=name,
            remedy="Rename it in the mapping file.",
        )
    return name


def _checked_property(name: str) -> str:
    if name.lower() in RESERVED:
        raise SchemaError(
            "property name",
            expected=f"none of {sorted(RESERVED)}",
            got=name,
            remedy="Give it another name, e.g. item_" + name + ".",
        )
    return _checked_identifier(name)


Identifier = Annotated[str, AfterValidator(_checked_identifier)]
PropertyName = Annotated[str, AfterValidator(_checked_property)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeType(_Strict):
    """One label of the graph. Its unique key is the property ``id``, a string of the user's own."""

    role: NodeRole = "entity"
    title: str | None = None
    """The property that people read as the node's name."""
    described_by: tuple[str, ...] = ()
    """Properties of type string or strings (genres, tags) that are encoded together with those of type text."""
    properties: dict[PropertyName, PropertyType] = Field(default_factory=dict)

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The properties that describe a node in words: those of type text, then ``described_by``."""
        return tuple(name for name, kind in self.properties.items() if kind == "text") + self.described_by


class EdgeTypeSpec(_Strict):
    """One relation of the graph, from one label to one label."""

    role: EdgeRole = "knowledge"
    source: Identifier
    target: Identifier
    properties: dict[PropertyName, PropertyType] = Field(default_factory=dict)
    key: tuple[str, ...] = ()
    """Properties that, beside source and target, tell two edges apart (``["time"]`` keeps every event of a pair).
    Without them there is one edge per pair and the latest write wins."""
    weight: str | None = None
    """The property that says how strong an edge is (play count, rating); 1 when not given."""
    time: str | None = None
    """The property that says when it happened."""
    context: tuple[str, ...] = ()
    """Only of interactions: properties that say where or how it happened (device, place). What is chosen under each value is
    learned, and may be asked for in ``Query.context``."""
    strength: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Multiplies the weight: how much one event of this kind counts (a purchase against a view)."""
    relation: str | None = None
    """The string property that names the actual relation of each edge. For knowledge graphs whose relations are data
    (Freebase triples): the store keeps one type, the snapshot splits it, and the property belongs to the key."""
    inverse_of: dict[str, str] = Field(default_factory=dict)
    """Only with ``relation``: relation names that say the same as another one backwards (``film.director.film`` =
    ``film.film.directed_by``); the snapshot turns and merges them."""

    @property
    def edge_key(self) -> tuple[str, ...]:
        """The properties of the key, ``relation`` first."""
        return tuple(dict.fromkeys((self.relation, *self.key) if self.relation else self.key))
