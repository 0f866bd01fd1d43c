"""The import journal inside the database: nodes ``_KGRecallImporter`` (at most one) and ``_KGRecallChunk``.

Who claims, notes or releases locks the node ``_KGRecall`` first, so that two importers see each other. None of this counts
as a write of the graph: ``version()`` stays as it is.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from kgrecall.errors import StoreConflict
from kgrecall.store.journal import Finished, Holder
from kgrecall.store.neo4j import statements as cypher
from kgrecall.store.neo4j.connection import Connection, Run
from kgrecall.store.neo4j.ledger import Ledger
from kgrecall.types import IntArray

_LOCK = "MATCH (m:_KGRecall {id: 'meta'}) REMOVE m._lock"
_READ_HOLDER = "MATCH (h:_KGRecallImporter) RETURN h.token, h.pid, h.started, h.host, h.since, h.seen"
_DROP_HOLDER = "MATCH (h:_KGRecallImporter) DELETE h"
_WRITE_HOLDER = (
    "CREATE (:_KGRecallImporter {token: $token, pid: $pid, started: $started, host: $host, since: $since, seen: $seen})"
)
_TOUCH_HOLDER = "MATCH (h:_KGRecallImporter {token: $token}) SET h.seen = $seen RETURN count(*)"
_READ_CHUNKS = (
    "MATCH (c:_KGRecallChunk) RETURN c.version, c.digest, c.missing_source, c.missing_target, c.conflicts ORDER BY c.n"
)
_DROP_CHUNKS = "MATCH (c:_KGRecallChunk) WHERE c.n >= $n DELETE c"
_WRITE_CHUNK = (
    "CREATE (:_KGRecallChunk {n: $n, version: $version, digest: $digest, missing_source: $missing_source,"
    " missing_target: $missing_target, conflicts: $conflicts})"
)

_at_work: set[str] = set()
"""Tokens of the imports of this process. A lock of ours that is not among them could not be given back."""


class Neo4jJournal:
    """A :class:`kgrecall.store.journal.Journal` for one database; the store's ledger is kept from claim to release."""

    def __init__(self, connection: Connection, ledger: Ledger) -> None:
        self._connection, self._ledger = connection, ledger
        self._token = uuid.uuid4().hex

    def claim(self) -> Sequence[Finished]:
        finished = self._connection.write(self._claim)
        _at_work.add(self._token)
        self._ledger.begin()
        return finished

    def note(self, n: int, finished: Finished) -> None:
        self._connection.write(lambda run: self._note(run, n, finished))

    def release(self, *, complete: bool) -> None:
        _at_work.discard(self._token)
        self._ledger.end()
        self._connection.write(lambda run: self._release(run, complete))

    def _claim(self, run: Run) -> list[Finished]:
        run(_LOCK)
        for token, *row in run(_READ_HOLDER):
            holder = Holder(*row)
            if holder.alive() and token != self._token and not (holder.is_me() and token not in _at_work):
                raise holder.conflict(self._connection.url)
        run(_DROP_HOLDER)
        run(_WRITE_HOLDER, token=self._token, **asdict(Holder.me()))
        chunks = run(_READ_CHUNKS)
        if chunks and chunks[-1][0] != _lane_numbers(run):  # somebody wrote since
            run(_DROP_CHUNKS, n=0)
            return []
        return [Finished(digest, *map(_unpack, positions)) for _, digest, *positions in chunks]

    def _note(self, run: Run, n: int, finished: Finished) -> None:
        run(_LOCK)
        if run(_TOUCH_HOLDER, token=self._token, seen=time.time())[0][0] == 0:
            raise self._lost(run)
        run(_DROP_CHUNKS, n=n)
        positions = {name: _pack(getattr(finished, name)) for name in ("missing_source", "missing_target", "conflicts")}
        run(_WRITE_CHUNK, n=n, version=_lane_numbers(run), digest=finished.digest, **positions)

    def _release(self, run: Run, complete: bool) -> None:
        run(_LOCK)
        if run(_TOUCH_HOLDER, token=self._token, seen=time.time())[0][0]:
            run(_DROP_HOLDER)
            if complete:
                run(_DROP_CHUNKS, n=0)

    def _lost(self, run: Run) -> StoreConflict:
        rows = run(_READ_HOLDER)
        return (Holder(*rows[0][1:]) if rows else Holder.me()).conflict(self._connection.url)


def _lane_numbers(run: Run) -> list[int]:
    return [number for _, number in run(cypher.READ_LANES)]


def _pack(positions: IntArray) -> bytes:
    return positions.astype("<i8").tobytes()


def _unpack(blob: bytes) -> IntArray:
    return np.frombuffer(blob, "<i8").astype(np.int64)
