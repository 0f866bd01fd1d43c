"""What is read of a file, and how often: its mapping compared with the columns that it has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kgrecall.errors import Shown, SourceError, nearest
from kgrecall.mapping import EdgeMapping, FileMapping, NodeMapping
from kgrecall.schema import GraphSchema
from kgrecall.sources.drift import Drift, without_lost
from kgrecall.sources.raw import TableSource

RecordMapping = NodeMapping | EdgeMapping


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file or table that will be read, and how; ``lost`` says which mapped properties it has no column for any more."""

    mapping: FileMapping
    source: TableSource
    lost: tuple[str, ...] = ()

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Its columns that the mapping does not mention, sorted."""
        return tuple(sorted(set(self.source.columns) - set(wanted(self.mapping))))


def plan_file(source: TableSource, mapping: FileMapping, schema: GraphSchema, drift: Drift) -> PlannedFile:
    """How a file is read.

    Raises:
        SourceError: it lacks a column that the mapping refers to (with ``drift="accept"``: of an id, an end or a key).
    """
    if drift != "accept":
        return PlannedFile(mapping, checked(source, mapping))
    reduced, lost = without_lost(mapping, source.columns, schema) if source.columns else (mapping, ())
    return PlannedFile(reduced, checked(source, reduced), lost)


def wanted(mapping: FileMapping) -> tuple[str, ...]:
    """All columns that a file's mapping refers to, each once."""
    return columns_of((*mapping.nodes, *mapping.edges))


def columns_of(mappings: Iterable[RecordMapping]) -> tuple[str, ...]:
    """All columns that these mappings refer to, each once."""
    names: dict[str, None] = {}
    for mapping in mappings:
        ends = (mapping.id,) if isinstance(mapping, NodeMapping) else (mapping.source, mapping.target)
        names.update((how.column, None) for how in (*ends, *mapping.properties.values()))
    return tuple(names)


def checked(source: TableSource, mapping: FileMapping) -> TableSource:
    """The source, if it has the columns that the mapping refers to; SourceError otherwise."""
    columns = source.columns
    if not columns and (mapping.header or mapping.format != "delimited"):
        raise SourceError(
            source.name, expected="a header", got=Shown("an empty file"), remedy="Check that the copy is complete."
        )
    absent = [name for name in wanted(mapping) if name not in columns]
    if not absent or not columns:
        return source
    if len(columns) == 1 and mapping.format == "delimited":
        raise SourceError(
            f"{source.name}: first line",
            expected=f"columns such as {absent[0]!r}",
            got=columns[0],
            remedy=f'It is not cut at {mapping.delimiter or ","!r}: set delimiter = "..." in the mapping.',
        )
    raise SourceError(
        f"{source.name}: column", expected=f"one called {absent[0]!r}", got=list(columns), remedy=nearest(absent[0], columns)
    )


def passes(file: FileMapping, schema: GraphSchema) -> list[tuple[RecordMapping, ...]]:
    """How often a file is read, and for which mappings.

    Mostly once. Twice, for the nodes and then for the edges, when an edge may lead to a node that a later row describes.
    KGAT files once per mapping, because duplicates are judged by the columns asked for.
    """
    nodes: tuple[RecordMapping, ...] = file.nodes
    edges: tuple[RecordMapping, ...] = file.edges
    if file.format == "kgat":
        return [(mapping,) for mapping in nodes + edges]
    labels = {node.label: node.id for node in file.nodes}
    for edge in file.edges:
        spec = schema.edge(edge.type)
        ends = (("source", spec.source, edge.source), ("target", spec.target, edge.target))
        if any(label in labels and labels[label] != how and side not in edge.create for side, label, how in ends):
            return [nodes, edges]
    return [nodes + edges]
