"""What a run has measured, kept beside the searches: a killed run goes on, and a later one compares without measuring again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from kgrecall.evaluate import Measure, parse_measure
from kgrecall.evaluate.measures import Values
from tests.benchmarks.quality.memory_folder import memory_folder
from tests.benchmarks.quality.systems import Params
from tests.benchmarks.quality.tasks import Task
from tests.benchmarks.record import Cost, code_version


@dataclass(frozen=True, slots=True)
class SeedResult:
    """The test values of one seed.

    ``fit``: None when it was done for another system. ``segments``: the measure that chose, among users by the number of
    events that were learned from. ``serve_seconds``: CPU seconds to rank all test users.
    """

    seed: int | None
    values: Mapping[Measure, float]
    per_user: Mapping[Measure, Values]
    segments: Mapping[str, float]
    fit: Cost | None
    serve_seconds: float
    num_bytes: int


def keep_seed(task: Task, system: str, params: Params, result: SeedResult) -> None:
    """Keep one seed's result for :func:`kept_seed`, unless the code has uncommitted changes, which nothing tells apart."""
    if code_version().endswith("-dirty"):
        return
    facts = {
        "values": {str(measure): value for measure, value in result.values.items()},
        "segments": dict(result.segments),
        "fit": None if result.fit is None else asdict(result.fit),
        "serve_seconds": result.serve_seconds,
        "num_bytes": result.num_bytes,
    }
    arrays = {str(measure): values for measure, values in result.per_user.items()}
    path = _seed_path(task, system, params, result.seed)
    part = path.with_suffix(".part.npz")
    np.savez(part, facts=np.array(json.dumps(facts)), **arrays)
    part.replace(path)


def kept_seed(task: Task, system: str, params: Params, seed: int | None) -> SeedResult | None:
    """What this version of the code measured for these parameters and this seed, if it has."""
    path = _seed_path(task, system, params, seed)
    if not path.exists():
        return None
    with np.load(path) as arrays:
        facts = json.loads(str(arrays["facts"]))
        per_user = {parse_measure(name): arrays[name] for name in arrays.files if name != "facts"}
    return SeedResult(
        seed,
        {parse_measure(name): value for name, value in facts["values"].items()},
        per_user,
        facts["segments"],
        None if facts["fit"] is None else Cost(**facts["fit"]),
        facts["serve_seconds"],
        facts["num_bytes"],
    )


def _seed_path(task: Task, system: str, params: Params, seed: int | None) -> Path:
    what = json.dumps([code_version(), system, dict(params), seed, [str(measure) for measure in task.measures]], sort_keys=True)
    folder = _memory(task) / "seeds"
    folder.mkdir(exist_ok=True)
    return folder / f"{system}-{hashlib.sha256(what.encode()).hexdigest()[:16]}.npz"


def remember(task: Task, system: str, values: Values) -> None:
    """Keep the values per user, so that a later run can be compared without measuring this system again."""
    np.savez(_memory(task) / f"{system}.npz", values=values)


def remembered(task: Task, systems: Iterable[str]) -> dict[str, Values]:
    """Values per user of those systems that were measured on this set before, float64 (num_users,) each."""
    num_users = len(np.unique(task.split.test.user_pos))
    paths = {system: _memory(task) / f"{system}.npz" for system in systems}
    found = {system: np.load(path)["values"] for system, path in paths.items() if path.exists()}
    return {system: values for system, values in found.items() if len(values) == num_users}


def _memory(task: Task) -> Path:
    folder = memory_folder() / "quality" / task.name / str(task.chosen_by)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
