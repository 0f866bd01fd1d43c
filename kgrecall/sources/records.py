"""A mapping applied to raw columns: rows become nodes and edges, and what does not fit goes to the quarantine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kgrecall.errors import SourceError
from kgrecall.mapping import Column, EdgeMapping, FileMapping, NodeMapping, TimeUnit
from kgrecall.schema import GraphSchema, PropertyType
from kgrecall.sources.cells import Cells, Problems, is_list, joined, list_cells, plain, positions
from kgrecall.sources.convert import convert, convert_ids
from kgrecall.sources.numerals import Numerals
from kgrecall.sources.quarantine import Quarantine, Reason
from kgrecall.sources.raw import BadRows, RawBatch
from kgrecall.sources.tables import EdgeBatch, NodeBatch, Origin
from kgrecall.sources.times import detect_unit
from kgrecall.types import BoolArray, IntArray

JUDGED_ROWS = 1_000
"""Rows that tell the unit of times which does not stand in the mapping."""
_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class _End:
    """One end of the edges that a batch of n rows asks for.

    ``cells`` the ids: one per row, or, when ``parents`` is given, one per element of a list, ``parents`` (m,) being their
    rows. ``absent`` (n,): rows that ask for no edge. ``lost``: rows whose list is unusable as a whole.
    """

    column: str
    cells: Cells
    parents: IntArray | None
    absent: BoolArray
    lost: Problems


class RecordBuilder:
    """Turns the raw batches of one file into node and edge batches. Remembers the time units that it detected.

    Args:
        name: the file, as origins call it.
        file: its mapping.
        schema: whose labels and relations the mapping names.
        quarantine: receives the records that do not fit.
        list_columns: columns that the file itself declares as lists separated by a space.
    """

    def __init__(
        self, name: str, file: FileMapping, schema: GraphSchema, quarantine: Quarantine, list_columns: frozenset[str]
    ) -> None:
        self._name, self._file, self._schema, self._quarantine = name, file, schema, quarantine
        self._list_columns = list_columns
        self._units: dict[str, TimeUnit] = {}
        self._numerals = Numerals()
        self._latest = int(time.time() * 1000) + _DAY
        self._own_ids = {node.id.column for node in file.nodes}
        self.records_read: Counter[str] = Counter()
        """Records asked for so far, by label and relation, the quarantined ones included."""

    def judge(self, head: Sequence[RawBatch], mappings: Iterable[EdgeMapping | NodeMapping]) -> None:
        """Detect the time units from the first rows of the file. A unit that they do not tell is told by later ones."""
        for mapping in mappings:
            spec = self._schema.node(mapping.label) if isinstance(mapping, NodeMapping) else self._schema.edge(mapping.type)
            for name, how in mapping.properties.items():
                if spec.properties[name] == "time" and how.unit is None and how.format is None and head:
                    parts = [raw.columns[how.column].slice(0, JUDGED_ROWS) for raw in head]
                    alike = [part for part in parts if part.type == parts[0].type]  # JSON lines may change it
                    self._unit(pa.concat_arrays(alike).slice(0, JUDGED_ROWS), how)

    def lost(self, bad: BadRows, record: str) -> None:
        """Put a record aside for every row that fell apart."""
        self.records_read[record] += len(bad.rows)
        self._quarantine.add_many(self._name, bad.rows, record=record, column=bad.column, reason=bad.reason, values=bad.values)

    def nodes(self, raw: RawBatch, mapping: NodeMapping) -> NodeBatch:
        """One node per row."""
        kinds = self._schema.node(mapping.label).properties
        ids = self._ids(raw.columns[mapping.id.column], mapping.id)
        columns = {name: self._property(raw, how, kinds[name]) for name, how in mapping.properties.items()}
        faults = [(mapping.id.column, ids.problems)]
        faults += [(mapping.properties[name].column, cells.problems) for name, cells in columns.items()]
        bad = np.zeros(len(raw), np.bool_)
        self.records_read[mapping.label] += len(raw)
        self._set_aside(raw, mapping.label, faults, None, bad)
        arrays = {name: cells.values for name, cells in columns.items()}
        if not bad.any():
            return NodeBatch(mapping.label, ids.values, arrays, Origin(self._name, raw.rows))
        keep = pa.array(~bad)
        arrays = {name: array.filter(keep) for name, array in arrays.items()}
        return NodeBatch(mapping.label, ids.values.filter(keep), arrays, Origin(self._name, raw.rows[~bad]))

    def edges(self, raw: RawBatch, mapping: EdgeMapping) -> EdgeBatch:
        """One edge per row, or one per element where an end is a list.

        Raises:
            SourceError: both ends are lists.
        """
        spec = self._schema.edge(mapping.type)
        source, target = self._end(raw, mapping.source), self._end(raw, mapping.target)
        if source.parents is not None and target.parents is not None:
            raise SourceError(
                f"{self._name}: {mapping.type}",
                expected="a list on one side of a relation",
                got=(source.column, target.column),
                remedy="Give one of the two columns as single ids.",
            )
        parents = target.parents if source.parents is None else source.parents
        columns = {name: self._property(raw, how, spec.properties[name]) for name, how in mapping.properties.items()}
        if spec.time in columns:
            columns[spec.time] = self._event_time(columns[spec.time])
        for name in spec.edge_key:
            cells = columns[name]
            nothing = {Reason.MISSING_KEY: positions(cells.values.is_null())}  # behind a reason why there is nothing
            columns[name] = Cells(cells.values, joined(cells.problems, nothing))
        absent = source.absent | target.absent
        bad = (absent if parents is None else absent[parents]).copy()
        self.records_read[mapping.type] += len(bad) - int(bad.sum())
        for end in (source, target):
            self._lose_lists(raw, mapping.type, end, absent)
            spread = None if end.parents is not None else parents
            self._set_aside(raw, mapping.type, [(end.column, end.cells.problems)], spread, bad, parents)
        faults = [(mapping.properties[name].column, cells.problems) for name, cells in columns.items()]
        self._set_aside(raw, mapping.type, faults, parents, bad, parents)
        return self._edge_batch(raw, mapping, (source, target), columns, parents, ~bad)

    def _edge_batch(
        self,
        raw: RawBatch,
        mapping: EdgeMapping,
        ends: tuple[_End, _End],
        columns: Mapping[str, Cells],
        parents: IntArray | None,
        keep: BoolArray,
    ) -> EdgeBatch:
        """The kept elements of every array: those by element filtered, those by row taken."""
        by_row = keep if parents is None else pa.array(parents[keep])

        def pick(array: pa.Array, per_element: bool) -> pa.Array:
            if parents is None or per_element:
                return array if keep.all() else array.filter(pa.array(keep))
            return array.take(by_row)

        sources, targets = (pick(end.cells.values, end.parents is not None) for end in ends)
        arrays = {name: pick(cells.values, False) for name, cells in columns.items()}
        rows = raw.rows[parents[keep]] if parents is not None else raw.rows if keep.all() else raw.rows[keep]
        create = ("source" in mapping.create, "target" in mapping.create)
        return EdgeBatch(mapping.type, sources, targets, arrays, Origin(self._name, rows), *create)

    def _end(self, raw: RawBatch, how: Column) -> _End:
        array, nulls = raw.columns[how.column], self._file.null_values
        optional = bool(self._file.nodes) and how.column not in self._own_ids
        absent = np.zeros(len(raw), np.bool_)
        separator = how.separator or (" " if how.column in self._list_columns else None)
        if separator is None and not is_list(array.type):
            cells = self._ids(array, how)
            if optional and Reason.MISSING_ID in cells.problems:
                absent[cells.problems[Reason.MISSING_ID]] = True
            return _End(how.column, cells, None, absent, {})
        lists = list_cells(array, separator, nulls)
        lost = dict(lists.problems)
        unusable = np.zeros(len(raw), np.bool_)
        for found in lost.values():
            unusable[found] = True
        empty = np.bincount(lists.parents, minlength=len(raw)) == 0
        if not optional:
            lost = joined(lost, {Reason.MISSING_ID: np.flatnonzero(empty & ~unusable)})
        usable = ~unusable[lists.parents]
        flat = lists.flat if usable.all() else lists.flat.filter(pa.array(usable))
        return _End(how.column, self._ids(flat, how), lists.parents[usable], absent, lost)

    def _ids(self, array: pa.Array, how: Column) -> Cells:
        return convert_ids(array, null_values=self._file.null_values, prefix=how.prefix, numerals=self._numerals)

    def _property(self, raw: RawBatch, how: Column, kind: PropertyType) -> Cells:
        array, nulls = raw.columns[how.column], self._file.null_values
        separator = how.separator or (" " if how.column in self._list_columns else None)
        unit = self._unit(array, how) if kind == "time" else "s"
        zone, form, decimal = how.timezone, how.format, how.decimal
        return convert(
            array, kind, null_values=nulls, separator=separator, unit=unit, timezone=zone, form=form, decimal=decimal
        )

    def _unit(self, array: pa.Array, how: Column) -> TimeUnit:
        """The declared unit, or the one that the first values of this file suggest; any where a format says it all."""
        if how.unit is not None or how.format is not None:
            return how.unit or "iso8601"
        if how.column not in self._units:
            found = detect_unit(plain(array, self._file.null_values).values)
            if found is None:
                return "s"
            self._units[how.column] = found
        return self._units[how.column]

    def _event_time(self, cells: Cells) -> Cells:
        """Events lie between 1970 and tomorrow."""
        ends = pc.min_max(cells.values)
        if pc.and_(pc.greater_equal(ends["min"], 0), pc.less_equal(ends["max"], self._latest)).as_py():
            return cells
        odd = {
            Reason.NEGATIVE_TIME: positions(pc.less(cells.values, 0)),
            Reason.FUTURE_TIME: positions(pc.greater(cells.values, self._latest)),
        }
        return Cells(cells.values, joined(cells.problems, odd))

    def _lose_lists(self, raw: RawBatch, record: str, end: _End, absent: BoolArray) -> None:
        for reason, found in end.lost.items():
            rows = found[~absent[found]]
            values = _python_values(raw.columns[end.column].take(pa.array(rows)))
            self.lost(BadRows(raw.rows[rows], reason, values, end.column), record)

    def _set_aside(
        self,
        raw: RawBatch,
        record: str,
        faults: list[tuple[str, Problems]],
        spread: IntArray | None,
        bad: BoolArray,
        parents: IntArray | None = None,
    ) -> None:
        """Quarantine the records that a problem hits first, and mark them in ``bad`` (by record).

        ``spread``: the problems are by row, and record i belongs to row ``spread[i]``; None: they are by record.
        ``parents``: the row of every record; None: record i is row i.
        """
        for column, problems in faults:
            for reason, found in problems.items():
                hit = found if spread is None else np.flatnonzero(np.isin(spread, found))
                fresh = hit[~bad[hit]]
                bad[fresh] = True
                rows = fresh if parents is None else parents[fresh]
                values = _python_values(raw.columns[column].take(pa.array(rows)))
                self._quarantine.add_many(
                    self._name, raw.rows[rows], record=record, column=column, reason=reason, values=values
                )


def _python_values(cells: pa.Array) -> list[object]:
    """Cells as Python objects. Times become text or a count: Python's own have no nanoseconds, and pyarrow refuses to cut."""
    kind = cells.type
    if pa.types.is_duration(kind):
        cells = cells.cast(pa.int64())
    elif pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        cells = cells.cast(pa.string())
    values: list[object] = cells.to_pylist()
    return values
