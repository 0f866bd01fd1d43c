"""How files differ from what the mapping, or an earlier import, knew of them: columns that are new, gone or of another type."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal, TypeVar

from kgrecall.mapping import EdgeMapping, FileMapping, NodeMapping
from kgrecall.schema import GraphSchema

Drift = Literal["stop", "extend", "accept"]
"""What a difference does: "stop": any ends the import. "extend": all are reported, and only the loss of a column that the
mapping names ends it. "accept": all are reported, and a property whose column is gone is left as it is in the store."""
Layout = Mapping[str, Mapping[str, str]]
"""Path in the mapping -> column -> its type, "text" where the file says none."""
_Mapping = TypeVar("_Mapping", NodeMapping, EdgeMapping)


def layout_differences(old: Layout, new: Layout) -> Iterator[str]:
    """One sentence per column that differs, of the files that both know."""
    for path in (path for path in new if path in old):
        before, after = old[path], new[path]
        yield from (f"{path}: the column {name!r} is new." for name in after if name not in before)
        yield from (f"{path}: the column {name!r} is gone." for name in before if name not in after)
        yield from (
            f"{path}: the column {name!r} was {before[name]} and is {kind}."
            for name, kind in after.items()
            if before.get(name, kind) != kind
        )


def without_lost(mapping: FileMapping, columns: Collection[str], schema: GraphSchema) -> tuple[FileMapping, tuple[str, ...]]:
    """The mapping without the properties whose columns the file lacks, and a sentence for each of them.

    Ids, ends and keys stay: without them there is nothing to import.
    """
    said: list[str] = []

    def kept(one: _Mapping, name: str, key: Collection[str]) -> _Mapping:
        lost = {p: how.column for p, how in one.properties.items() if how.column not in columns and p not in key}
        said.extend(f"{mapping.path}: the column {column!r} is gone; {name}.{p} stays as it is." for p, column in lost.items())
        return one.model_copy(update={"properties": {p: how for p, how in one.properties.items() if p not in lost}})

    nodes = tuple(kept(node, node.label, ()) for node in mapping.nodes)
    edges = tuple(kept(edge, edge.type, schema.edge(edge.type).edge_key) for edge in mapping.edges)
    return mapping.model_copy(update={"nodes": nodes, "edges": edges}), tuple(said)
