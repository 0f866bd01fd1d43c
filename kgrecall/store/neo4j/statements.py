"""Every Cypher statement of the store.

Names come from a validated schema through :func:`quote_identifier`; values are parameters, and parameters are columns:
``$id[k]`` is the key of record k, ``$a_rating[k]`` its property ``rating``. Edges name their ends by position in two lists of
distinct ids (``$us``, ``$vs``; record k goes from ``$us[$s[k]]`` to ``$vs[$t[k]]``), so that the server looks up every node
once, or by the internal numbers that such a lookup returned. What is read and what is written are different statements of
one transaction: no plan has to hold all rows back before the first write (Neo4j's ``Eager``).

Names of our own begin with an underscore, which no name of a schema does: the labels ``_KGRecall`` (one node:
schema and identity of the store), ``_KGRecallLane`` (write counters) and ``_KGRecallNote`` (what the next import must know),
and on relationships the property ``_seq``.

A transaction takes one lane, locks it, and gives its relationships ``_seq = number * LANES + lane``; lanes let transactions
commit side by side while the numbers of each stay in the order of commits, which is what "written since" needs.
"""

from __future__ import annotations

from collections.abc import Sequence

from kgrecall.schema import EdgeTypeSpec, GraphSchema, quote_identifier
from kgrecall.store.base import Direction

LANES = 16

READ_META = "MATCH (m:_KGRecall {id: 'meta'}) RETURN m.store, m.format, m.schema, m.catalog"
MAKE_META = "MERGE (m:_KGRecall {id: 'meta'}) ON CREATE SET m.store = $store, m.format = $format"
WRITE_META = "MATCH (m:_KGRecall {id: 'meta'}) SET m.schema = $schema, m.catalog = $catalog"
MAKE_LANES = (
    f"UNWIND range(0, {LANES - 1}) AS lane MERGE (l:_KGRecallLane {{id: lane}}) ON CREATE SET l.number = 0, l._lock = 0"
)
READ_NOTE = "MATCH (n:_KGRecallNote {id: $name}) RETURN n.text"
KEEP_NOTE = "MATCH (m:_KGRecall {id: 'meta'}) REMOVE m._lock MERGE (n:_KGRecallNote {id: $name}) SET n.text = $text"
TAKE_LANE = "MATCH (l:_KGRecallLane {id: $lane}) REMOVE l._lock RETURN l.number"
ADVANCE_LANE = "MATCH (l:_KGRecallLane {id: $lane}) SET l.number = $number"
READ_LANES = "MATCH (l:_KGRecallLane) RETURN l.id, l.number ORDER BY l.id"
"""Removing a property locks its node even when it has none; reading after it sees what the last holder committed."""

SHOW_UNIQUE = (
    "SHOW CONSTRAINTS YIELD type, entityType, labelsOrTypes, properties"
    " WHERE entityType = 'NODE' AND type IN ['UNIQUENESS', 'NODE_KEY', 'NODE_PROPERTY_UNIQUENESS']"
    " RETURN labelsOrTypes, properties"
)
SHOW_INDEXES = (
    "SHOW INDEXES YIELD name, type, labelsOrTypes, properties, options"
    " RETURN name, type, labelsOrTypes, properties, options.indexConfig['vector.dimensions']"
)
AWAIT_INDEXES = "CALL db.awaitIndexes(300)"
META_LABELS = ("_KGRecall", "_KGRecallLane")


def quoted(name: str) -> str:
    return quote_identifier(name, "`")


def create_unique(label: str) -> str:
    """The uniqueness constraint of a label's key, and with it the index of every lookup."""
    name = label if label in META_LABELS else quoted(label)
    return f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{name}) REQUIRE n.id IS UNIQUE"


def repeated_ids(label: str) -> str:
    """Examples of keys that several nodes share."""
    return f"MATCH (n:{quoted(label)}) WITH n.id AS id, count(*) AS c WHERE id IS NOT NULL AND c > 1 RETURN id, c LIMIT 5"


# Nodes -------------------------------------------------------------------------------------------------------------------


def compare_nodes(label: str, properties: Sequence[str]) -> str:
    """-> positions of the keys that are absent, and of those whose properties differ."""
    return (
        f"UNWIND range(0, size($id) - 1) AS k OPTIONAL MATCH (n:{quoted(label)} {{id: $id[k]}})"
        " RETURN collect(CASE WHEN n IS NULL THEN k END) AS absent,"
        f" collect(CASE WHEN n IS NOT NULL AND NOT {_same('n', properties)} THEN k END) AS changed"
    )


def merge_nodes(label: str, properties: Sequence[str]) -> str:
    """MERGE, since another session may create the same key meanwhile."""
    return f"UNWIND range(0, size($id) - 1) AS k MERGE (n:{quoted(label)} {{id: $id[k]}}){_set('n', properties)}"


def update_nodes(label: str, properties: Sequence[str]) -> str:
    return f"UNWIND range(0, size($id) - 1) AS k MATCH (n:{quoted(label)} {{id: $id[k]}}){_set('n', properties)}"


def delete_nodes(label: str) -> str:
    """-> how many nodes were there."""
    return (
        f"UNWIND $id AS id MATCH (n:{quoted(label)} {{id: id}}) WITH collect(n) AS ns"
        " FOREACH (n IN ns | DETACH DELETE n) RETURN size(ns)"
    )


def count_nodes(label: str) -> str:
    return f"MATCH (n:{quoted(label)}) RETURN count(n)"


def scan_nodes(label: str, properties: Sequence[str]) -> str:
    """Sorted by id: the order of the constraint's index, which compares UTF-8 bytes."""
    columns = "".join(f", n.{quoted(p)}" for p in properties)
    return f"MATCH (n:{quoted(label)}) WHERE n.id IS NOT NULL RETURN n.id{columns} ORDER BY n.id"


# Edges -------------------------------------------------------------------------------------------------------------------


def lock_sources(spec: EdgeTypeSpec) -> str:
    """Whoever writes edges of a source holds its lock, so what is read of them afterwards stays true until the commit."""
    return f"UNWIND $us AS id MATCH (u:{quoted(spec.source)} {{id: id}}) REMOVE u._lock"


def lock_and_count(edge_type: str, spec: EdgeTypeSpec) -> str:
    """Lock the sources -> the internal number of each, -1 for an absent one; and how many edges each has."""
    return (
        f"UNWIND $us AS id OPTIONAL MATCH (u:{quoted(spec.source)} {{id: id}}) REMOVE u._lock"
        f" WITH u, COUNT {{ (u)-[:{quoted(edge_type)}]->() }} AS edges"
        " RETURN collect(coalesce(id(u), -1)) AS numbers, collect(edges) AS edges"
    )


def read_sources(edge_type: str, properties: Sequence[str]) -> str:
    """-> per source, given by its internal number, its edges, ``[number of target, value, ...]``.

    Edges to other targets than ``$near[j]`` are left out, unless that is null.
    """
    values = "".join(f", r.{quoted(p)}" for p in properties)
    wanted = "WHERE $near[j] IS NULL OR id(v) IN $near[j]"
    return (
        "UNWIND range(0, size($u) - 1) AS j MATCH (u) WHERE id(u) = $u[j]"
        f" RETURN collect([(u)-[r:{quoted(edge_type)}]->(v) {wanted} | [id(v){values}]]) AS edges"
    )


def find_targets(spec: EdgeTypeSpec) -> str:
    """-> the internal number of each target, -1 for an absent one; after the transaction it may become another node's."""
    return (
        f"UNWIND $vs AS id OPTIONAL MATCH (v:{quoted(spec.target)} {{id: id}})"
        " RETURN collect(CASE WHEN v IS NULL THEN -1 ELSE id(v) END) AS numbers"
    )


def compare_pairs(edge_type: str, spec: EdgeTypeSpec, properties: Sequence[str]) -> str:
    """-> positions of the records whose edge is there, and of those that differ from it and may replace it.

    A record that is older than the edge it would change (by the relation's time property) may not. Every pair is looked up:
    for sources that have many more edges than there are records.
    """
    return f"{_pairs(spec)} MATCH (u)-[r:{quoted(edge_type)}]->(v){_where_key(spec)}{_found(spec, properties)}"


def _found(spec: EdgeTypeSpec, properties: Sequence[str]) -> str:
    values = [p for p in properties if p not in spec.edge_key]
    newer = ""
    if spec.time in values:
        stored, given = f"r.{quoted(spec.time or '')}", f"${column(spec.time or '')}[k]"
        newer = f" AND ({stored} IS NULL OR {given} >= {stored})"
    return f" RETURN collect(k) AS found, collect(CASE WHEN NOT {_same('r', values)}{newer} THEN k END) AS changed"


def create_edges(edge_type: str, spec: EdgeTypeSpec, properties: Sequence[str]) -> str:
    """-> how many were created; the caller compares, since an end node may have vanished.

    Ends are found by internal numbers: records ``$from[j]`` to ``$from[j + 1]`` leave the source ``$u[j]``, which this
    transaction has locked; record k goes to the target ``$v[$t[k]]``, which counts only while it has the id ``$vs[$t[k]]``.
    """
    values = "".join(f"{quoted(p)}: ${column(p)}[k], " for p in properties)
    return (
        "UNWIND range(0, size($v) - 1) AS i OPTIONAL MATCH (n) WHERE id(n) = $v[i]"
        f" WITH collect(CASE WHEN n:{quoted(spec.target)} AND n.id = $vs[i] THEN n ELSE false END) AS vs"
        " UNWIND range(0, size($u) - 1) AS j MATCH (u) WHERE id(u) = $u[j]"
        " UNWIND range($from[j], $from[j + 1] - 1) AS k WITH u, k, vs[$t[k]] AS v WHERE v <> false"
        f" CREATE (u)-[:{quoted(edge_type)} {{{values}_seq: $seq}}]->(v) RETURN count(*)"
    )


def update_edges(edge_type: str, spec: EdgeTypeSpec, properties: Sequence[str]) -> str:
    values = [p for p in properties if p not in spec.edge_key]
    return f"{_pairs(spec)} MATCH (u)-[r:{quoted(edge_type)}]->(v){_where_key(spec)}{_set('r', values)}, r._seq = $seq"


def delete_edges(edge_type: str, spec: EdgeTypeSpec) -> str:
    """-> how many were there."""
    return (
        f"{_pairs(spec)} MATCH (u)-[r:{quoted(edge_type)}]->(v) WITH collect(DISTINCT r) AS rs"
        " FOREACH (r IN rs | DELETE r) RETURN size(rs)"
    )


def count_edges(edge_type: str, spec: EdgeTypeSpec) -> str:
    return f"MATCH (:{quoted(spec.source)})-[r:{quoted(edge_type)}]->() RETURN count(r)"


def scan_edges(edge_type: str, spec: EdgeTypeSpec, properties: Sequence[str], *, since: bool) -> str:
    """One row per source, columns as lists: several times as fast as one row per edge.

    ``$since`` holds the number of each lane up to which edges are known.
    """
    newer = f" WHERE r._seq / {LANES} > $since[r._seq % {LANES}]" if since else ""
    columns = "".join(f", [r IN rs | r.{quoted(p)}]" for p in properties)
    return (
        f"MATCH (u:{quoted(spec.source)}) WHERE u.id IS NOT NULL"
        f" CALL {{ WITH u MATCH (u)-[r:{quoted(edge_type)}]->(v:{quoted(spec.target)}){newer}"
        " RETURN collect(v.id) AS ids, collect(r) AS rs }"
        f" WITH u, ids, rs WHERE size(ids) > 0 RETURN u.id, ids{columns}"
    )


def neighbors(edge_type: str, spec: EdgeTypeSpec, *, direction: Direction, limited: bool, newest_first: bool) -> str:
    """-> position of the key, ids of its neighbours, one list per property of the relation."""
    near, far = (spec.target, spec.source) if direction == "in" else (spec.source, spec.target)
    left, right = {"out": ("", ">"), "in": ("<", ""), "both": ("", "")}[direction]
    order = ["v.id", *(f"r.{quoted(k)}" for k in spec.edge_key)]
    if newest_first:
        time = f"r.{quoted(spec.time or '')}"
        order = [f"{time} IS NULL", f"{time} DESC", *order]
    columns = "".join(f", [r IN rs | r.{quoted(p)}]" for p in spec.properties)
    return (
        f"UNWIND range(0, size($id) - 1) AS k MATCH (u:{quoted(near)} {{id: $id[k]}})"
        f" CALL {{ WITH u MATCH (u){left}-[r:{quoted(edge_type)}]-{right}(v:{quoted(far)})"
        f" WITH r, v ORDER BY {', '.join(order)}{' LIMIT $limit' if limited else ''}"
        " RETURN collect(v.id) AS ids, collect(r) AS rs }"
        f" RETURN k, ids{columns}"
    )


# Parts -------------------------------------------------------------------------------------------------------------------


def column(name: str) -> str:
    """The parameter that holds a property's column."""
    return f"a_{quoted(name)[1:-1]}"


def _pairs(spec: EdgeTypeSpec) -> str:
    """One row (k, u, v) per record, every distinct node looked up once."""
    return (
        f"UNWIND $us AS id OPTIONAL MATCH (n:{quoted(spec.source)} {{id: id}}) WITH collect(coalesce(n, false)) AS us"
        f" UNWIND $vs AS id OPTIONAL MATCH (n:{quoted(spec.target)} {{id: id}}) WITH us, collect(coalesce(n, false)) AS vs"
        " UNWIND range(0, size($s) - 1) AS k WITH k, us[$s[k]] AS u, vs[$t[k]] AS v WHERE u <> false AND v <> false"
    )


def _same(variable: str, properties: Sequence[str]) -> str:
    """Whether all given values are those stored; two nulls are the same."""
    if not properties:
        return "true"
    tests = []
    for p in properties:
        stored, given = f"{variable}.{quoted(p)}", f"${column(p)}[k]"
        tests.append(f"coalesce({stored} = {given}, {stored} IS NULL AND {given} IS NULL)")
    return f"({' AND '.join(tests)})"


def _set(variable: str, properties: Sequence[str]) -> str:
    values = ", ".join(f"{variable}.{quoted(p)} = ${column(p)}[k]" for p in properties)
    return f" SET {values}" if values else ""


def _where_key(spec: EdgeTypeSpec) -> str:
    tests = " AND ".join(f"r.{quoted(k)} = ${column(k)}[k]" for k in spec.edge_key)
    return f" WHERE {tests}" if tests else ""


def all_writes(schema: GraphSchema) -> list[str]:
    """Every statement that writes data of this schema, for the check of their plans."""
    statements = [MAKE_META, WRITE_META, MAKE_LANES, TAKE_LANE, ADVANCE_LANE]
    for label, node in schema.nodes.items():
        names = list(node.properties)
        statements += [merge_nodes(label, names), merge_nodes(label, []), delete_nodes(label)]
        statements += [update_nodes(label, names)] if names else []
    for name, spec in schema.edges.items():
        names = list(spec.properties)
        statements += [create_edges(name, spec, names), delete_edges(name, spec)]
        statements += [lock_sources(spec), lock_and_count(name, spec)]
        if set(names) - set(spec.edge_key):
            statements.append(update_edges(name, spec, names))
    return statements
