"""What an import did, as numbers and as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the records of one label or relation: ``read == written + unchanged + quarantined``.

    ``created`` counts the nodes that edges brought along because nothing else had named them; no record asked for them.
    """

    read: int = 0
    written: int = 0
    unchanged: int = 0
    quarantined: int = 0
    created: int = 0

    @property
    def balanced(self) -> bool:
        return self.read == self.written + self.unchanged + self.quarantined


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The outcome of :func:`kgrecall.store.ingest.ingest`. ``str()`` of it is a table."""

    nodes: Mapping[str, Tally]
    """By label."""
    edges: Mapping[str, Tally]
    """By relation."""
    rows: Mapping[str, int]
    """Rows read, by file."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Quarantined records, by reason code."""
    quarantine: str | None = None
    """The file that holds them, when one was asked for and something was bad."""
    drift: tuple[str, ...] = ()
    """How the schema differs from the one that the store was filled with before, in sentences."""
    seconds: float = 0.0
    """Wall time, reading included."""
    retries: Mapping[str, int] = field(default_factory=dict)
    """Transactions that failed and were run again, by the kind of error; a store that never does this has none."""

    @property
    def total(self) -> Tally:
        """The sum over all labels and relations."""
        tallies = [*self.nodes.values(), *self.edges.values()]
        return Tally(*(sum(column) for column in zip(*(asdict(t).values() for t in tallies), strict=True)))

    @property
    def rows_per_second(self) -> float:
        return sum(self.rows.values()) / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "nodes": {label: asdict(tally) for label, tally in self.nodes.items()},
            "edges": {relation: asdict(tally) for relation, tally in self.edges.items()},
            "rows": dict(self.rows),
            "reasons": dict(self.reasons),
            "quarantine": self.quarantine,
            "drift": list(self.drift),
            "seconds": self.seconds,
            "rows_per_second": self.rows_per_second,
            "retries": dict(self.retries),
        }

    def __str__(self) -> str:
        head = ("", "read", "written", "unchanged", "quarantined", "created")
        named = [*self.nodes.items(), *self.edges.items(), ("total", self.total)]
        lines = [head, *((name, *(f"{n:,}" for n in asdict(tally).values())) for name, tally in named)]
        width = max(len(line[0]) for line in lines)
        table = [line[0].ljust(width) + "".join(f"{cell:>13}" for cell in line[1:]) for line in lines]
        files = [f"{file}: {rows:,} rows" for file, rows in self.rows.items()]
        reasons = [f"{count:,} {reason}" for reason, count in self.reasons.items()]
        bad = (
            [f"Quarantined: {', '.join(reasons)}." + (f" See {self.quarantine}." if self.quarantine else "")] if reasons else []
        )
        again = ", ".join(f"{count:,} {kind}" for kind, count in self.retries.items())
        failed = [f"Failed and run again: {again}."] if again else []
        rate = f"{sum(self.rows.values()):,} rows in {self.seconds:.1f} s ({self.rows_per_second:,.0f} rows/s)."
        return "\n".join([*self.drift, *table, *files, *bad, *failed, rate])
