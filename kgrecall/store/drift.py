"""How a schema differs from the one that a store was filled with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kgrecall.schema import EdgeTypeSpec, GraphSchema


def differences(old: GraphSchema, new: GraphSchema) -> tuple[str, ...]:
    """One sentence per label, relation, property or rule that is new, gone or changed; none when data fit as before.

    The files of the mapping do not count: where the data come from is not what they are.
    """
    return (*_of_labels(old, new), *_of_relations(old, new))


def _of_labels(old: GraphSchema, new: GraphSchema) -> Iterator[str]:
    yield from _named("label", old.nodes, new.nodes)
    for label in (label for label in old.nodes if label in new.nodes):
        before, after = old.nodes[label], new.nodes[label]
        yield from _of_properties(label, before.properties, after.properties)
        for field in ("role", "title"):
            yield from _changed(f"{field} of {label}", getattr(before, field), getattr(after, field))


def _of_relations(old: GraphSchema, new: GraphSchema) -> Iterator[str]:
    yield from _named("relation", old.edges, new.edges)
    for name in (name for name in old.edges if name in new.edges):
        before, after = old.edges[name], new.edges[name]
        yield from _of_properties(name, before.properties, after.properties)
        for field in EdgeTypeSpec.model_fields:
            if field != "properties":
                yield from _changed(f"{field} of {name}", getattr(before, field), getattr(after, field))


def _of_properties(owner: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    yield from _named("property", {f"{owner}.{name}": 0 for name in old}, {f"{owner}.{name}": 0 for name in new})
    for name in (name for name in old if name in new):
        yield from _changed(f"type of {owner}.{name}", old[name], new[name])


def _named(what: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    yield from (f"The {what} {name} is new." for name in new if name not in old)
    yield from (f"The {what} {name} is gone; what the store holds of it stays, unseen." for name in old if name not in new)


def _changed(what: str, old: object, new: object) -> Iterator[str]:
    if old != new:
        yield f"The {what} was {old!r} and is {new!r}."
