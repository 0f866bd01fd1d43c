"""The indexes of ``graph_schema/indexes.cypher``, for people who query the graph by hand; no import needs them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kgrecall.schema import GraphSchema
from kgrecall.sources.mappings import graph_schema_folder
from kgrecall.store.neo4j.statements import AWAIT_INDEXES
from kgrecall.store.neo4j.store import Neo4jStore

_CREATE = re.compile(r"CREATE (?:FULLTEXT )?INDEX (\w+) IF NOT EXISTS FOR \(.*?:(\w+)\W.* ON .*?\.(\w+)")


@dataclass(frozen=True, slots=True)
class ShippedIndex:
    """One statement of the file; ``owner`` is a label or a relation."""

    name: str
    owner: str
    property: str
    statement: str

    def fits(self, schema: GraphSchema) -> bool:
        owners = {name: spec.properties for name, spec in schema.nodes.items()}
        owners |= {name: spec.properties for name, spec in schema.edges.items()}
        return self.property in owners.get(self.owner, {})


def shipped_indexes() -> list[ShippedIndex]:
    """Those of the file, in its order."""
    lines = (graph_schema_folder() / "indexes.cypher").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("//"))
    statements = [statement.strip() for statement in text.split(";")]
    return [
        ShippedIndex(found[1], found[2], found[3], statement) for statement in statements if (found := _CREATE.match(statement))
    ]


def apply_indexes(store: Neo4jStore) -> list[str]:
    """Create those that the store's schema has a use for and return their names when all are online; repeatable.

    Raises:
        NotBuilt: no schema was applied to the store.
    """
    schema = store.schema
    chosen = [index for index in shipped_indexes() if index.fits(schema)]
    for index in chosen:
        store.connection.execute(index.statement)
    store.connection.execute(AWAIT_INDEXES)
    return [index.name for index in chosen]
