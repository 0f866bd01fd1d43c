"""The schema in the database: constraints, what was ever declared, and the identity of the store."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kgrecall.errors import ConstraintViolated, KGRecallError, NotBuilt, SchemaError, Shown, StoreUnavailable
from kgrecall.schema import GraphSchema, PropertyType
from kgrecall.sources.tables import ARROW_TYPES
from kgrecall.store.neo4j import statements as cypher
from kgrecall.store.neo4j.connection import Connection, Run

FORMAT = 1
"""Version of the way a graph lies in the database."""
Catalog = dict[str, dict[str, Any]]
"""Every label (``:Label``) and relation that was ever declared, with its Arrow types, ends and key."""


@dataclass(frozen=True, slots=True)
class Meta:
    """What the database says about itself. ``store`` tells two databases apart."""

    store: str
    schema: str
    catalog: Catalog


def read_meta(run: Run, url: str) -> Meta | None:
    """None when no schema was applied.

    Raises:
        StoreUnavailable: a newer version of this package wrote it.
    """
    rows = run(cypher.READ_META)
    if not rows or rows[0][2] is None:
        return None
    store, form, schema, catalog = rows[0]
    if form != FORMAT:
        raise StoreUnavailable(
            url, expected=f"a kgrecall graph of format {FORMAT}", got=form, remedy="Use the version of kgrecall that wrote it."
        )
    return Meta(store, schema, json.loads(catalog))


def apply(connection: Connection, schema: GraphSchema) -> bool:
    """Create the constraints, wait for them, then declare the schema; whether that changed anything.

    Raises:
        SchemaError: the database holds a property with another type, or a relation with other ends or another key.
        ConstraintViolated: nodes of a label share an id; names some.
    """
    held = connection.read_for_write(lambda run: read_meta(run, connection.url))
    catalog = _merged(held.catalog if held else {}, schema)
    create_constraints(connection, schema.nodes)
    if held and held.schema == schema.to_json() and held.catalog == catalog:
        return False
    connection.write(lambda run: _declare(run, schema, catalog))
    return True


def _declare(run: Run, schema: GraphSchema, catalog: Catalog) -> None:
    run(cypher.MAKE_META, store=uuid.uuid4().hex[:12], format=FORMAT)
    run(cypher.WRITE_META, schema=schema.to_json(), catalog=json.dumps(catalog))
    run(cypher.MAKE_LANES)
    number = run(cypher.TAKE_LANE, lane=0)[0][0] + 1
    run(cypher.ADVANCE_LANE, lane=0, number=number)


def create_constraints(connection: Connection, labels: Iterable[str]) -> None:
    """Uniqueness of every label's ``id``; repeatable; returns when they are online."""
    held = unique_labels(connection)
    missing = [label for label in (*cypher.META_LABELS, *labels) if label not in held]
    for label in missing:
        try:
            connection.execute(cypher.create_unique(label))
        except KGRecallError as error:
            if label in cypher.META_LABELS:
                raise
            raise _explained(connection, label, error) from error
    if missing:
        connection.execute(cypher.AWAIT_INDEXES)


def unique_labels(connection: Connection) -> frozenset[str]:
    """The labels whose ``id`` is unique by a constraint."""
    rows = connection.read_for_write(lambda run: run(cypher.SHOW_UNIQUE))
    return frozenset(labels[0] for labels, properties in rows if properties == ["id"])


def require_unique(connection: Connection, labels: Iterable[str]) -> None:
    """Raises NotBuilt when a label lacks its constraint: without it an import would be slow and could double nodes."""
    missing = sorted(set(labels) - unique_labels(connection))
    if missing:
        raise NotBuilt(
            connection.url,
            expected=f"a uniqueness constraint on id of {', '.join(missing)}",
            got=Shown("none"),
            remedy="Call apply_schema(schema), or run graph_schema/constraints.cypher.",
        )


def _explained(connection: Connection, label: str, error: KGRecallError) -> KGRecallError:
    """The constraint's failure with examples of what is in its way."""
    doubled = connection.read_for_write(lambda run: run(cypher.repeated_ids(label)))
    if not doubled:
        return error
    examples = ", ".join(f"{key!r} ({count} nodes)" for key, count in doubled)
    return ConstraintViolated(
        f"constraint on {label}.id",
        expected="one node per id",
        got=Shown(examples),
        remedy="Merge or delete the doubled nodes, then apply the schema again.",
    )


def _merged(held: Catalog, schema: GraphSchema) -> Catalog:
    """What is declared with a new schema on top; refuses what contradicts the data."""
    catalog = {name: dict(entry) for name, entry in held.items()}
    for label, node in schema.nodes.items():
        _declare_properties(catalog, f":{label}", node.properties)
    for name, edge in schema.edges.items():
        shape = {"ends": [edge.source, edge.target], "key": list(edge.edge_key)}
        known = catalog.get(name, {}).get("shape", shape)
        if known != shape:
            raise SchemaError(
                f"relation {name}",
                expected=Shown(f"{' -> '.join(known['ends'])} with the key {known['key']}, as the database holds it"),
                got=Shown(f"{' -> '.join(shape['ends'])} with the key {shape['key']}"),
                remedy="Give the changed relation a new name, or import into a new database.",
            )
        _declare_properties(catalog, name, edge.properties)
        catalog[name]["shape"] = shape
    return catalog


def _declare_properties(catalog: Catalog, owner: str, properties: Mapping[str, PropertyType]) -> None:
    types = dict(catalog.get(owner, {}).get("types", {}))
    for name, kind in properties.items():
        declared = str(ARROW_TYPES[kind])
        if types.setdefault(name, declared) != declared:
            raise SchemaError(
                f"{owner.lstrip(':')}.{name}",
                expected=f"the type that the database holds ({types[name]})",
                got=f"{kind} ({declared})",
                remedy="Give the changed property a new name, or import into a new database.",
            )
    catalog[owner] = {**catalog.get(owner, {}), "types": types}
