"""Recall for all users, or many, into a folder of Parquet files; killed and run again it goes on where it was.

    answers/
      _job.json            what was asked of which build: another job refuses to write here
      part-00000.parquet   the answers of the first users, complete or not there

A row is one candidate: ``user_id``, ``rank`` (from 1), ``item_id``, ``score``, ``served``. Files hold the same bytes however
often the job was interrupted and however many workers shared it. Readers of Parquet folders skip names that begin with ``_``.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from kgrecall.errors import ConfigError, Shown, UnknownId
from kgrecall.jobs.artifact import Artifact
from kgrecall.jobs.serve import load_engine
from kgrecall.recall.engine import RecallEngine
from kgrecall.sealed import flush
from kgrecall.settings import Settings
from kgrecall.types import Candidates, Progress, Query, no_progress

_JOB = "_job.json"
_FORMAT = "kgrecall batch 1"
_BLOCK = 1024
_SERVED = ("hot", "warm", "cold")
_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("served", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    ]
)


class BatchConfig(Settings):
    """How a batch is cut."""

    shard_users: int = Field(default=10_000, ge=1)
    """Users per file; what a killed job loses at most."""
    worker: int = Field(default=0, ge=0)
    """This worker's number, from 0: it writes every ``workers``-th file."""
    workers: int = Field(default=1, ge=1)
    """How many workers share the job, on one machine or several with a common folder."""
    unknown: Literal["error", "popular"] = "error"
    """Users who are not in the model: an error before anything is written, or what is popular, as for a visitor."""

    @model_validator(mode="after")
    def _numbered(self) -> BatchConfig:
        if self.worker >= self.workers:
            raise ConfigError(
                "BatchConfig.worker",
                expected=f"a number below workers ({self.workers})",
                got=self.worker,
                remedy="Workers are numbered from 0.",
            )
        return self


@dataclass(frozen=True)
class BatchReport:
    """What a run did. ``shards`` are all files of the job; this run wrote ``written`` of them, with ``users`` users and
    ``rows`` candidates, and found ``found`` complete; the others belong to other workers."""

    out: Path
    shards: int
    written: int
    found: int
    users: int
    rows: int


def recall_all(
    artifact: str | Path,
    *,
    out: str | Path,
    users: Sequence[str] | None = None,
    query: Mapping[str, Any] | None = None,
    config: BatchConfig | None = None,
    progress: Progress = no_progress,
) -> BatchReport:
    """Answers for many users. Memory holds the engine and one block of answers, however many users there are.

    Args:
        artifact: what ``build`` wrote.
        out: folder of the answers; that of the same job, interrupted, is completed.
        users: ids, in the order of the answers; None for all of the graph.
        query: fields of :class:`~kgrecall.query.Query` that all share, such as ``{"k": 50, "filter": "price < 20"}``.

    Raises:
        UnknownId: a user is not in the graph, and config.unknown says that this is an error; nothing is written.
        ConfigError: an impossible query, ``out`` holds another job, or it cannot be written.
    """
    config, fields = config or BatchConfig(), dict(query or {})
    build = Artifact(artifact, verify=False)
    engine = load_engine(build.folder)
    ids = engine.users.ids.to_pylist() if users is None else list(users)
    queries = _Queries(engine, fields, config.unknown)
    queries.check(ids)
    folder = Path(out)
    _claim(folder, {**_job(build, fields, ids, config.shard_users), "unknown": config.unknown})
    starts = range(0, len(ids), config.shard_users)
    report = BatchReport(folder, len(starts), 0, 0, 0, 0)
    for number, start in list(enumerate(starts))[config.worker :: config.workers]:
        part, path = ids[start : start + config.shard_users], folder / f"part-{number:05}.parquet"
        if path.exists():
            report = replace(report, found=report.found + 1)
        else:
            rows = _write(path, queries, part)
            report = replace(report, written=report.written + 1, users=report.users + len(part), rows=report.rows + rows)
        progress("recall", start + len(part), len(ids))
    return report


@dataclass(frozen=True)
class _Queries:
    """One query a user, with fields that all share."""

    engine: RecallEngine
    fields: Mapping[str, Any]
    unknown: Literal["error", "popular"]

    def check(self, ids: Sequence[str]) -> None:
        """See before a file is written that the first of them is answered, and that all are known who must be.

        Raises:
            UnknownId: a user is not in the graph; names the first, and how many there are.
            ConfigError: an impossible query.
        """
        for name in ("user_id", "history"):
            if name in self.fields:
                raise ConfigError("query", expected="fields that all users share", got=name, remedy="Leave it out.")
        absent = np.flatnonzero(self.engine.users.positions(ids) < 0)
        if len(absent) and self.unknown == "error":
            first = int(absent[0])
            raise UnknownId(
                f"user {first + 1} of {len(ids):,}",
                expected="users of the model",
                got=Shown(f"{ids[first]!r}, and {len(absent) - 1:,} more that are none"),
                remedy='Leave them out, or have them answered like visitors: unknown="popular".',
            )
        if ids:
            self.engine.recall(self.of(ids[:1])[0])

    def of(self, ids: Sequence[str]) -> list[Query]:
        known = self.engine.users.positions(ids) >= 0
        who = ({"user_id": user} if there else {"history": ()} for user, there in zip(ids, known, strict=True))
        return [Query.of({**self.fields, **one}) for one in who]


def _job(build: Artifact, fields: Mapping[str, Any], ids: Sequence[str], shard_users: int) -> dict[str, Any]:
    """What makes two runs the same job."""
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    query = json.loads(json.dumps(fields, default=_as_json, sort_keys=True))
    return {
        "format": _FORMAT,
        "build": build.manifest["build"],
        "query": query,
        "users": len(ids),
        "users_sha256": digest,
        "shard_users": shard_users,
    }


def _as_json(value: object) -> object:
    """A plan as its settings, a set in order, anything else (a filter in Python) as it prints."""
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return value.model_dump(exclude_defaults=True) if isinstance(value, Settings) else repr(value)


def _claim(folder: Path, job: dict[str, Any]) -> None:
    """Make the folder this job's, or see that it is.

    Raises:
        ConfigError: it belongs to another job or holds other things, or cannot be written.
    """
    path = folder / _JOB
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            if any(not other.name.startswith(".") and other.name != _JOB for other in folder.iterdir()):
                raise ConfigError("out", expected="an empty folder", got=str(folder), remedy="Choose another folder.")
            _replace(path, lambda partial: partial.write_text(json.dumps(job, indent=1), encoding="utf-8"))
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError("out", expected="a folder that can be written", got=str(folder), remedy=f"{error}.") from error
    for name, value in job.items():
        if stored.get(name) != value:
            raise ConfigError(
                f"out: {name}",
                expected=f"{stored.get(name)!r}, as the job in {folder} has it",
                got=value,
                remedy="Choose another folder, or remove this one.",
            )


def _write(path: Path, queries: _Queries, users: Sequence[str]) -> int:
    """One file, block by block; returns its rows."""
    rows = 0

    def write(partial: Path) -> None:
        nonlocal rows
        with pq.ParquetWriter(partial, _SCHEMA, compression="zstd") as writer:
            for start in range(0, len(users), _BLOCK):
                block = users[start : start + _BLOCK]
                answers = queries.engine.recall_many(queries.of(block))
                table = _table(block, answers, queries.engine.items.ids)
                rows += len(table)
                writer.write_table(table)

    _replace(path, write)
    return rows


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """A file that is there whole or not at all."""
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
    try:
        write(partial)
        flush(partial)
        partial.replace(path)
        flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _table(users: Sequence[str], answers: Sequence[Candidates], items: pa.StringArray) -> pa.Table:
    lengths = np.array([len(answer) for answer in answers], np.int64)
    owner = np.repeat(np.arange(len(users)), lengths)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    kinds = pa.array(_SERVED, pa.string())
    served = np.array([_SERVED.index(answer.served) for answer in answers], np.int32)[owner]
    columns = [
        pa.array(list(users), pa.string()).take(pa.array(owner)),
        pa.array(rank, pa.int32()),
        items.take(pa.array(np.concatenate([np.zeros(0, np.int32), *(answer.item_pos for answer in answers)]))),
        pa.array(np.concatenate([np.zeros(0, np.float32), *(answer.scores for answer in answers)]), pa.float32()),
        pa.DictionaryArray.from_arrays(pa.array(served), kinds),
    ]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)
