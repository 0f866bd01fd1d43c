"""The graph store in a Neo4j database; the only room that speaks Cypher."""

from kgrecall.store.neo4j.connection import Neo4jConfig
from kgrecall.store.neo4j.store import Neo4jStore

__all__ = ["Neo4jConfig", "Neo4jStore"]
