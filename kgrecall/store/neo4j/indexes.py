"""What indexes the database has, and those of ``graph_schema/indexes.cypher``, for people who query the graph by hand.

The server makes one index of a kind over the same properties: ``CREATE ... IF NOT EXISTS`` under another name does nothing and
reports success. Whoever is going to search an index by its name has to ask which name it has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from kgrecall.errors import NotBuilt, SchemaError, Shown
from kgrecall.schema import GraphSchema
from kgrecall.sources.mappings import graph_schema_folder
from kgrecall.store.neo4j.connection import Connection
from kgrecall.store.neo4j.statements import AWAIT_INDEXES, SHOW_INDEXES
from kgrecall.store.neo4j.store import Neo4jStore

Kind = Literal["FULLTEXT", "RANGE", "VECTOR"]

_CREATE = re.compile(r"CREATE (FULLTEXT )?INDEX (\w+) IF NOT EXISTS FOR \(.*?:(\w+)\W.* ON .*?\.(\w+)")


@dataclass(frozen=True, slots=True)
class Index:
    """One of the database's; ``over`` is a label or a relation, ``dim`` the length of the vectors of one over vectors."""

    name: str
    kind: str
    over: tuple[str, ...]
    properties: tuple[str, ...]
    dim: int | None = None


def indexes_of(connection: Connection) -> list[Index]:
    """All that the database has, in no order."""
    rows = connection.read(lambda run: run(SHOW_INDEXES))
    return [Index(name, kind, tuple(over or ()), tuple(fields or ()), dim) for name, kind, over, fields, dim in rows]


def index_over(connection: Connection, kind: Kind, owner: str, *properties: str) -> Index:
    """The one over these properties of this owner, in this order, whatever its name.

    Raises:
        NotBuilt: there is none.
    """
    for index in indexes_of(connection):
        if (index.kind, index.over, index.properties) == (kind, (owner,), properties):
            return index
    what = f"{kind.lower()} index over {owner}({', '.join(properties)})"
    raise NotBuilt(
        what, expected="one in the database", got=Shown("none"), remedy="Make it: `kgrecall publish --model FOLDER`."
    )


@dataclass(frozen=True, slots=True)
class ShippedIndex:
    """One statement of the file; ``owner`` is a label or a relation."""

    name: str
    kind: Kind
    owner: str
    property: str
    statement: str

    def served(self) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """What it is an index of: kind, owners, properties."""
        return self.kind, (self.owner,), (self.property,)

    def fits(self, schema: GraphSchema) -> bool:
        owners = {name: spec.properties for name, spec in schema.nodes.items()}
        owners |= {name: spec.properties for name, spec in schema.edges.items()}
        return self.property in owners.get(self.owner, {})


def shipped_indexes() -> list[ShippedIndex]:
    """Those of the file, in its order."""
    lines = (graph_schema_folder() / "indexes.cypher").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("//"))
    statements = [statement.strip() for statement in text.split(";")]
    found = [(_CREATE.match(statement), statement) for statement in statements]
    return [
        ShippedIndex(match[2], "FULLTEXT" if match[1] else "RANGE", match[3], match[4], statement)
        for match, statement in found
        if match
    ]


def apply_indexes(store: Neo4jStore) -> dict[str, str]:
    """Create those that the store's schema has a use for; repeatable.

    Returns:
        When all are online: their names in the file -> their names in the database. These differ where the database had one
        over the same property before, say that of :func:`kgrecall.jobs.database.publish`.

    Raises:
        NotBuilt: no schema was applied to the store.
        SchemaError: the database has an index of this name over something else.
    """
    schema, connection = store.schema, store.connection
    chosen = [index for index in shipped_indexes() if index.fits(schema)]
    for index in chosen:
        connection.execute(index.statement)
    connection.execute(AWAIT_INDEXES)
    there = {index.name: index for index in indexes_of(connection)}
    names = {(index.kind, index.over, index.properties): name for name, index in there.items()}
    for index in chosen:
        if index.served() not in names:
            other = there[index.name]
            raise SchemaError(
                f"index {index.name}",
                expected=f"one over {index.owner}({index.property})",
                got=Shown(f"one of this name over {', '.join(other.over)}({', '.join(other.properties)})"),
                remedy=f"Drop or rename it: DROP INDEX {index.name}",
            )
    return {index.name: names[index.served()] for index in chosen}
