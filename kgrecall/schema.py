"""The property graph's shape: labels, relations, keys, typed properties, and the files that fill it.

A :class:`GraphSchema` is read from a TOML mapping file and is wholly validated on load, so that every later stage may rely
on it: labels and relations are safe identifiers, every name that is referred to exists, exactly one label holds the users
and one the items. :func:`quote_identifier` is the only place where a name becomes part of a query text.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from kgrecall.errors import ConfigError, SchemaError, Shown, nearest
from kgrecall.graph_types import RESERVED as RESERVED
from kgrecall.graph_types import EdgeRole as EdgeRole
from kgrecall.graph_types import EdgeTypeSpec as EdgeTypeSpec
from kgrecall.graph_types import Identifier as Identifier
from kgrecall.graph_types import NodeRole as NodeRole
from kgrecall.graph_types import NodeType as NodeType
from kgrecall.graph_types import PropertyType as PropertyType
from kgrecall.graph_types import quote_identifier as quote_identifier
from kgrecall.mapping import EdgeMapping, FileMapping, NodeMapping

_Spec = TypeVar("_Spec")


class GraphSchema(BaseModel):
    """A validated mapping file.

    Raises (on construction through :meth:`load` or :meth:`parse`):
        SchemaError: with the file, the key and the nearest known name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    name: str = "graph"
    nodes: dict[Identifier, NodeType]
    edges: dict[Identifier, EdgeTypeSpec]
    files: tuple[FileMapping, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> GraphSchema:
        """Read and validate a mapping file (TOML).

        Raises:
            ConfigError: the file does not exist.
            SchemaError: it is not TOML, or does not hold together.
        """
        path = Path(path)
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise ConfigError(
                "mapping file",
                expected="a readable TOML file",
                got=str(path),
                remedy=f"{error.strerror}. Check the path.",
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SchemaError(str(path), expected="valid TOML in UTF-8", got=Shown(error), remedy="Mend that line.") from error
        return cls.parse(data, origin=str(path))

    @classmethod
    def parse(cls, data: dict[str, Any], *, origin: str = "schema") -> GraphSchema:
        """Validate an already parsed mapping; ``origin`` names it in errors."""
        try:
            schema = cls.model_validate(data)
        except ValidationError as error:
            raise _readable(error, data, origin) from error
        except SchemaError as error:
            raise SchemaError(f"{origin}: {error.what}", expected=error.expected, got=error.got, remedy=error.remedy) from error
        _check_references(schema, origin)
        return schema

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> GraphSchema:
        return cls.model_validate_json(text)

    def label_of(self, role: Literal["user", "item"]) -> str:
        """The one label with this role."""
        return next(label for label, spec in self.nodes.items() if spec.role == role)

    @property
    def user_label(self) -> str:
        return self.label_of("user")

    @property
    def item_label(self) -> str:
        return self.label_of("item")

    def edges_with_role(self, role: EdgeRole) -> dict[str, EdgeTypeSpec]:
        return {name: spec for name, spec in self.edges.items() if spec.role == role}

    def node(self, label: str) -> NodeType:
        """The type of a label.

        Raises:
            SchemaError: no such label; names the nearest one.
        """
        return _lookup(self.nodes, label, "label")

    def edge(self, name: str) -> EdgeTypeSpec:
        """The type of a relation.

        Raises:
            SchemaError: no such relation; names the nearest one.
        """
        return _lookup(self.edges, name, "relation")


def _lookup(table: dict[str, _Spec], name: str, what: str) -> _Spec:
    if name not in table:
        raise SchemaError(what, expected=f"a {what} of the schema", got=name, remedy=nearest(name, table))
    return table[name]


def _readable(error: ValidationError, data: dict[str, Any], origin: str) -> SchemaError:
    """The first problem of pydantic's list, with its key path and the nearest known key."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "extra_forbidden":
        model = _model_at(problem["loc"][:-1])
        known = list(model.model_fields) if model else []
        return SchemaError(
            f"{origin}: {where}",
            expected="a known key",
            got=str(problem["loc"][-1]),
            remedy=nearest(str(problem["loc"][-1]), known),
        )
    message = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    got = Shown("nothing") if problem["type"] == "missing" else problem["input"]
    expected = "this key" if problem["type"] == "missing" else message
    remedy = f"See graph_schema/README.md. {len(error.errors())} problem(s) in all."
    return SchemaError(f"{origin}: {where}", expected=expected, got=got, remedy=remedy)


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    names = [part for part in loc if isinstance(part, str)]
    if not names:
        return GraphSchema
    if names[0] == "files":
        from_key: dict[str, type[BaseModel]] = {"nodes": NodeMapping, "edges": EdgeMapping}
        return from_key.get(names[1]) if len(names) > 1 else FileMapping
    by_section: dict[str, type[BaseModel]] = {"nodes": NodeType, "edges": EdgeTypeSpec}
    return by_section.get(names[0]) if len(names) == 2 else None


def _check_references(schema: GraphSchema, origin: str) -> None:
    for role in ("user", "item"):
        found = [label for label, spec in schema.nodes.items() if spec.role == role]
        if len(found) != 1:
            raise SchemaError(
                f"{origin}: nodes",
                expected=f'exactly one label with role = "{role}"',
                got=found,
                remedy=f'Set role = "{role}" on one label.',
            )
    for label, spec in schema.nodes.items():
        if spec.title is not None:
            _must_know(spec.title, spec.properties, f"{origin}: nodes.{label}.title", "a property of this label")
        for prop in spec.described_by:
            words = {name: kind for name, kind in spec.properties.items() if kind in ("string", "strings")}
            _must_know(prop, words, f"{origin}: nodes.{label}.described_by", "a string or strings property of this label")
    for name, edge in schema.edges.items():
        _check_edge(schema, name, edge, origin)
    for i, file in enumerate(schema.files):
        _check_file(schema, file, f"{origin}: files[{i}] ({file.path})")


_KINDS: dict[str, tuple[PropertyType, ...]] = {
    "weight": ("integer", "number"),
    "time": ("time",),
    "relation": ("string",),
}


def _check_edge(schema: GraphSchema, name: str, edge: EdgeTypeSpec, origin: str) -> None:
    where = f"{origin}: edges.{name}"
    for side in ("source", "target"):
        _must_know(getattr(edge, side), schema.nodes, f"{where}.{side}", "a label under [nodes]")
    for field, kinds in _KINDS.items():
        value = getattr(edge, field)
        if value is not None:
            fitting = {prop: kind for prop, kind in edge.properties.items() if kind in kinds}
            _must_know(value, fitting, f"{where}.{field}", f"a property of this relation of type {' or '.join(kinds)}")
    _check_context(edge, f"{where}.context")
    for prop in edge.key:
        _must_know(prop, edge.properties, f"{where}.key", "a property of this relation")
    ends = (edge.source, edge.target)
    if edge.role == "interaction" and ends != (schema.user_label, schema.item_label):
        raise SchemaError(
            where,
            expected=f"an interaction from {schema.user_label} to {schema.item_label}",
            got=ends,
            remedy='Turn it round, or use role = "knowledge".',
        )
    if edge.role == "social" and ends != (schema.user_label, schema.user_label):
        raise SchemaError(
            where,
            expected=f"a social relation between {schema.user_label}s",
            got=ends,
            remedy='Use role = "knowledge".',
        )
    if edge.inverse_of and not edge.relation:
        raise SchemaError(
            where,
            expected="relation beside inverse_of",
            got=Shown("no relation"),
            remedy="Name the property that holds the relation.",
        )
    for name in sorted(edge.inverse_of.keys() & set(edge.inverse_of.values())):
        raise SchemaError(
            f"{where}.inverse_of",
            expected="relations that are turned round on the left, and relations that stay on the right",
            got=name,
            remedy="Keep it on one side.",
        )


def _check_context(edge: EdgeTypeSpec, where: str) -> None:
    named = {prop: kind for prop, kind in edge.properties.items() if kind in ("string", "boolean", "integer")}
    for prop in edge.context:
        _must_know(prop, named, where, "a string, boolean or integer property of this relation")
    if edge.context and edge.role != "interaction":
        raise SchemaError(where, expected='role = "interaction"', got=edge.role, remedy="Leave context out of other relations.")


def _check_file(schema: GraphSchema, file: FileMapping, where: str) -> None:
    for node in file.nodes:
        _must_know(node.label, schema.nodes, f"{where}.nodes.label", "a label under [nodes]")
        for prop in node.properties:
            _must_know(
                prop,
                schema.nodes[node.label].properties,
                f"{where}.nodes.{node.label}.properties",
                "a property of this label",
            )
    for edge in file.edges:
        _must_know(edge.type, schema.edges, f"{where}.edges.type", "a relation under [edges]")
        spec = schema.edges[edge.type]
        for prop in edge.properties:
            _must_know(prop, spec.properties, f"{where}.edges.{edge.type}.properties", "a property of this relation")
        absent = [prop for prop in spec.edge_key if prop not in edge.properties]
        if absent and file.format != "kgat":
            raise SchemaError(
                f"{where}.edges.{edge.type}",
                expected="a column for each property of the key",
                got=Shown(f"none for {absent}"),
                remedy="Map them under properties.",
            )


def _must_know(name: str, known: dict[str, Any], where: str, expected: str) -> None:
    if name not in known:
        raise SchemaError(where, expected=expected, got=name, remedy=nearest(name, known))
