"""The property graph as arrays: contiguous positions, compressed rows both ways, times, weights and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from kgrecall import sealed
from kgrecall.errors import ConfigError, NotBuilt, SchemaError, Shown, nearest
from kgrecall.graph import events
from kgrecall.graph import snapshot_files as files
from kgrecall.graph.adjacency import Adjacency
from kgrecall.graph.fingerprint import add_column, add_numbers, add_text, new_digest
from kgrecall.graph.identity import Placement, place
from kgrecall.graph.relations import settle
from kgrecall.graph.scan import EdgeCounts, ScannedNodes, scan_edges, scan_nodes
from kgrecall.graph.vocabulary import Vocabulary
from kgrecall.schema import EdgeRole, GraphSchema
from kgrecall.store.base import GraphStore
from kgrecall.types import EdgeType, Interactions, Progress, no_progress


@dataclass(frozen=True, eq=False)
class GraphSnapshot:
    """One state of a graph, immutable and safe to share between threads. Two of them are compared by ``fingerprint``.

    Args:
        schema: the schema of the store.
        version: the store's ``version()`` before the first row was read: what was written later may be partly inside, and
            is wholly covered by ``scan_edges(since=version)``.
        vocabularies: per label, the ids of its positions.
        relations: per edge type, its edges. Edge types are sorted.
        origins: per edge type, the relation of the schema that it came from.
        properties: per label, a table with one column per property; row i belongs to position i.
        counts: per relation of the schema, what became of its edges.
    """

    schema: GraphSchema
    version: str
    vocabularies: Mapping[str, Vocabulary]
    relations: Mapping[EdgeType, Adjacency]
    origins: Mapping[EdgeType, str]
    properties: Mapping[str, pa.Table]
    counts: Mapping[str, EdgeCounts] = field(default_factory=dict)

    @property
    def users(self) -> Vocabulary:
        return self.vocabularies[self.schema.user_label]

    @property
    def items(self) -> Vocabulary:
        return self.vocabularies[self.schema.item_label]

    def num_nodes(self, label: str) -> int:
        """How many nodes a label has.

        Raises:
            SchemaError: no such label; names the nearest one.
        """
        self.schema.node(label)
        return len(self.vocabularies[label])

    def role(self, edge_type: EdgeType) -> EdgeRole:
        """The role of the relation that an edge type came from."""
        return self.schema.edge(self.origins[edge_type]).role

    def with_role(self, role: EdgeRole) -> dict[EdgeType, Adjacency]:
        return {edge_type: edges for edge_type, edges in self.relations.items() if self.role(edge_type) == role}

    def relation(self, edge_type: EdgeType) -> Adjacency:
        """The edges of one type.

        Raises:
            SchemaError: no such edge type; names the nearest one.
        """
        if edge_type not in self.relations:
            known = {" ".join(name): name for name in self.relations}
            raise SchemaError(
                "edge type", expected="an edge type of the snapshot", got=edge_type, remedy=nearest(" ".join(edge_type), known)
            )
        return self.relations[edge_type]

    def interactions(self) -> Interactions:
        """All events of all interaction relations, sorted by user, item, time and weight.

        The weight is the relation's strength times its weight property (1 where an edge has none). Edges that weigh nothing
        or less were left out when the snapshot was taken, and counted in ``counts``.
        """
        edges = list(self.with_role("interaction").values())
        return events.merge(edges, num_users=len(self.users), num_items=len(self.items))

    def with_interactions(self, interactions: Interactions) -> GraphSnapshot:
        """The graph as it may be seen in training: exactly these events, and nothing that came after them.

        Edges of other roles that carry a time are kept up to the time of the last event, so that a graph cut at a global time
        does not tell the future through its other relations; edges without a time are kept.

        Args:
            interactions: a part of :meth:`interactions`, in any order.

        Raises:
            ConfigError: an event is not in this snapshot.
        """
        sizes = len(self.users), len(self.items)
        if (interactions.num_users, interactions.num_items) != sizes:
            raise ConfigError(
                "interactions",
                expected=f"events of this snapshot's {sizes[0]} users and {sizes[1]} items",
                got=(interactions.num_users, interactions.num_items),
                remedy="Split snapshot.interactions(), and pass one of the parts.",
            )
        known = self.with_role("interaction")
        chosen = events.locate(list(known.values()), interactions)
        cut = {edge_type: edges.keep(kept) for (edge_type, edges), kept in zip(known.items(), chosen, strict=True)}
        whole = replace(self, relations={**self.relations, **cut})
        last = events.last_time(interactions)
        return whole if last is None else whole.cut_at(last + 1)

    def cut_at(self, time: int) -> GraphSnapshot:
        """The graph before a time (ms): edges of any role that happened then or later are left out."""
        relations = {
            edge_type: edges if edges.time is None else edges.keep(edges.time < time)
            for edge_type, edges in self.relations.items()
        }
        return replace(self, relations=relations)

    def titles(self, label: str) -> list[str | None]:
        """The title of each node of a label; None where there is none."""
        title = self.schema.node(label).title
        if title is None:
            return [None] * self.num_nodes(label)
        titles: list[str | None] = self.properties[label].column(title).to_pylist()
        return titles

    def texts(self, label: str) -> list[str]:
        """The text fields of each node of a label, one to a line; "" where there is none."""
        fields = self.schema.node(label).text_fields
        columns = [self.properties[label].column(name).to_pylist() for name in fields]
        return [_one_text(parts) for parts in zip(*columns, strict=True)] if columns else [""] * self.num_nodes(label)

    def text_of(self, label: str) -> Callable[[int], str]:
        """``text_of(label)(position)`` is ``texts(label)[position]``, read when it is asked for."""
        columns = [self.properties[label].column(name) for name in self.schema.node(label).text_fields]
        return lambda position: _one_text([column[position].as_py() for column in columns])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of ids, edges and properties: equal for the same input from any store, in any order of writing."""
        digest = new_digest("kgrecall snapshot 1")
        for label, vocabulary in sorted(self.vocabularies.items()):
            add_text(digest, label)
            add_column(digest, vocabulary.ids)
            for name, column in zip(self.properties[label].column_names, self.properties[label].columns, strict=True):
                add_text(digest, name)
                add_column(digest, column)
        for edge_type, edges in sorted(self.relations.items()):
            add_text(digest, "\0".join((*edge_type, self.origins[edge_type])))
            for array in (edges.indptr, edges.indices, edges.weight):
                add_numbers(digest, array)
            add_text(digest, "untimed" if edges.time is None else "timed")
            if edges.time is not None:
                add_numbers(digest, edges.time)
            if edges.context is not None:
                add_text(digest, "\0".join("\1".join(values) for values in edges.contexts))
                add_numbers(digest, edges.context)
        return digest.hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write the snapshot to a new folder, which appears whole or not at all.

        Raises:
            ConfigError: the folder exists already and is not empty, or cannot be written.
        """
        with sealed.new_folder(Path(folder)) as path:
            files.write_nodes(path, self.vocabularies, self.properties)
            relations = files.write_relations(path, self.relations)
            facts = {
                "fingerprint": self.fingerprint,
                "version": self.version,
                "schema": self.schema.to_json(),
                "labels": {label: ids.fingerprint for label, ids in self.vocabularies.items()},
                "relations": relations,
                "origins": [self.origins[edge_type] for edge_type in self.relations],
                "counts": {name: asdict(count) for name, count in self.counts.items()},
            }
            sealed.seal(path, files.FORMAT, files.FORMAT_VERSION, facts)

    @classmethod
    def load(cls, folder: str | Path, *, mmap: bool = True, verify: bool = True) -> GraphSnapshot:
        """Open what :meth:`save` wrote.

        Args:
            mmap: leave the arrays in the files and read what is used; otherwise read all into memory.
            verify: compare the sha256 of every file; turn it off only when somebody else has just done so.

        Raises:
            CorruptArtifact: a file is missing or differs from its checksum; names it.
            StaleArtifact: written by a version of kgrecall with another format.
        """
        path = Path(folder)
        facts = sealed.read_manifest(path, files.FORMAT, files.FORMAT_VERSION, verify=verify)
        vocabularies, properties = files.read_nodes(path, list(facts["labels"]))
        relations = files.read_relations(path, facts["relations"], mmap=mmap)
        snapshot = cls(
            GraphSchema.from_json(facts["schema"]),
            facts["version"],
            vocabularies,
            relations,
            dict(zip(relations, facts["origins"], strict=True)),
            properties,
            {name: EdgeCounts(**count) for name, count in facts["counts"].items()},
        )
        snapshot.__dict__["fingerprint"] = facts["fingerprint"]  # known: no need to hash everything again
        return snapshot


def take_snapshot(store: GraphStore, schema: GraphSchema, *, progress: Progress = no_progress) -> GraphSnapshot:
    """Read a whole store into arrays.

    Nodes joined by a relation with role "identity" become one, relations with a ``relation`` property are split into one edge
    type per value and pair of labels, and those named in ``inverse_of`` are turned round and merged. Positions are the ranks
    of ids in bytewise order, so the result depends on the content of the store alone.

    Raises:
        SchemaError: identity relations do not fit together.
        NotBuilt: the store holds no items.
        StoreError: the store failed.
    """
    version = store.version()
    nodes = {label: scan_nodes(store, schema, label, progress) for label in schema.nodes}
    if len(nodes[schema.item_label].vocabulary) == 0:
        raise NotBuilt(
            "snapshot", expected=f"nodes of {schema.item_label}", got=Shown("none"), remedy="Ingest data into the store first."
        )
    found = {label: scanned.vocabulary for label, scanned in nodes.items()}
    identities = {name: scan_edges(store, schema, name, found, progress) for name in schema.edges_with_role("identity")}
    placement = place(schema, {label: len(ids) for label, ids in found.items()}, identities)
    counts = {name: scanned.counts for name, scanned in identities.items()}
    relations: dict[EdgeType, Adjacency] = {}
    origins: dict[EdgeType, str] = {}
    for name, spec in schema.edges.items():
        if spec.role == "identity":
            continue
        scanned = scan_edges(store, schema, name, found, progress)
        taken = {*schema.edges, *(relation for _, relation, _ in relations)} - {name}
        parts, counts[name] = settle(name, spec, scanned, placement, taken)
        relations |= parts
        origins |= dict.fromkeys(parts, name)
    vocabularies, properties = _staying(nodes, placement)
    ordered = {edge_type: relations[edge_type] for edge_type in sorted(relations)}
    return GraphSnapshot(schema, version, vocabularies, ordered, origins, properties, counts)


def _staying(nodes: Mapping[str, ScannedNodes], placement: Placement) -> tuple[dict[str, Vocabulary], dict[str, pa.Table]]:
    vocabularies, properties = {}, {}
    for label, scanned in nodes.items():
        stays = placement.staying(label)
        if stays.all():
            vocabularies[label], properties[label] = scanned.vocabulary, scanned.properties
        else:
            chosen = pa.array(stays)
            vocabularies[label] = Vocabulary(scanned.vocabulary.ids.filter(chosen))
            properties[label] = scanned.properties.filter(chosen).combine_chunks()
    return vocabularies, properties


def _one_text(parts: Sequence[Any]) -> str:
    words = [", ".join(part) if isinstance(part, list) else part for part in parts]
    return "\n".join(part for part in words if part)
