"""What every store asks of the batches it is given, so that all stores refuse alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.errors import ConfigError, ConstraintViolated, SchemaError, ShapeError, Shown, Unsupported, nearest
from kgrecall.schema import EdgeTypeSpec, GraphSchema, PropertyType
from kgrecall.sources.tables import ARROW_TYPES
from kgrecall.store.base import Direction


def check_node_batch(schema: GraphSchema, label: str, keys: pa.StringArray, columns: Mapping[str, pa.Array]) -> None:
    """Raises SchemaError (unknown names), ShapeError (types, lengths) or ConstraintViolated (null keys)."""
    spec = schema.node(label)
    check_keys(label, keys)
    _check_columns(label, spec.properties, columns, len(keys))


def check_edge_batch(
    schema: GraphSchema,
    edge_type: str,
    sources: pa.StringArray,
    targets: pa.StringArray,
    columns: Mapping[str, pa.Array],
) -> None:
    """As :func:`check_node_batch`; also every property of the relation's key must be given, without nulls."""
    spec = schema.edge(edge_type)
    check_pairs(edge_type, sources, targets)
    _check_columns(edge_type, spec.properties, columns, len(sources))
    for name in spec.edge_key:
        if name not in columns:
            raise ConstraintViolated(
                f"{edge_type}.{name}",
                expected="a column, since it belongs to the key",
                got=Shown(f"only {sorted(columns)}"),
                remedy="Give it for every edge, or take it out of the key in the mapping file.",
            )
        _check_no_nulls(f"{edge_type}.{name}", columns[name])


def check_pairs(edge_type: str, sources: pa.StringArray, targets: pa.StringArray) -> None:
    """Both ends are string arrays of one length, without nulls."""
    check_keys(f"{edge_type} sources", sources)
    check_keys(f"{edge_type} targets", targets)
    if len(sources) != len(targets):
        raise ShapeError(
            edge_type,
            expected="as many sources as targets",
            got=(len(sources), len(targets)),
            remedy="Pass one source and one target per edge.",
        )


def check_keys(what: str, keys: pa.StringArray) -> None:
    """A string array without nulls."""
    if not isinstance(keys, pa.StringArray):
        raise ShapeError(
            what, expected="a pyarrow StringArray of ids", got=type(keys).__name__, remedy="Use pyarrow.array(ids, 'string')."
        )
    _check_no_nulls(what, keys)


def check_properties(what: str, known: Mapping[str, PropertyType], names: Sequence[str]) -> None:
    """Raises SchemaError with the nearest known property."""
    for name in names:
        if name not in known:
            raise SchemaError(f"{what}.{name}", expected=f"a property of {what}", got=name, remedy=nearest(name, known))


def check_neighbors(name: str, spec: EdgeTypeSpec, direction: Direction, limit: int | None, newest_first: bool) -> None:
    """Raises ConfigError (direction, limit) or Unsupported (no time property, both ways between two labels)."""
    if direction not in ("out", "in", "both"):
        raise ConfigError(
            "direction", expected="out, in or both", got=direction, remedy=nearest(direction, ("out", "in", "both"))
        )
    if limit is not None and limit < 1:
        raise ConfigError("limit", expected="None or an integer >= 1", got=limit, remedy="Pass None for all neighbours.")
    if direction == "both" and spec.source != spec.target:
        raise Unsupported(
            f"{name} in direction 'both'",
            expected="a relation within one label",
            got=(spec.source, spec.target),
            remedy="Ask for 'out' with keys of the first label or 'in' with keys of the second.",
        )
    if newest_first and spec.time is None:
        raise Unsupported(
            f"{name} newest first",
            expected="a relation with a time property",
            got=Shown("none"),
            remedy=f"Declare time under [edges.{name}] in the mapping file.",
        )


def _check_columns(what: str, known: Mapping[str, PropertyType], columns: Mapping[str, pa.Array], num_rows: int) -> None:
    check_properties(what, known, list(columns))
    for name, values in columns.items():
        expected = ARROW_TYPES[known[name]]
        if not isinstance(values, pa.Array) or values.type != expected:
            raise ShapeError(
                f"{what}.{name}",
                expected=f"a pyarrow array of {expected}",
                got=Shown(getattr(values, "type", type(values).__name__)),
                remedy="Cast it first.",
            )
        if len(values) != num_rows:
            raise ShapeError(
                f"{what}.{name}", expected=f"{num_rows} values", got=len(values), remedy="Pass one value per record."
            )


def _check_no_nulls(what: str, values: pa.Array) -> None:
    bad = pc.is_null(values, nan_is_null=True)
    position = pc.index(bad, True).as_py() if len(values) else -1
    if position >= 0:
        raise ConstraintViolated(
            what,
            expected="a value in every row, since it belongs to the key",
            got=Shown(f"none at position {position}"),
            remedy="Leave such records out.",
        )
