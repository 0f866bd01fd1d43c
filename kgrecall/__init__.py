"""Knowledge-graph enhanced recall (candidate retrieval) for recommender systems.

    import kgrecall as kg

    schema = kg.GraphSchema.load("shop.toml")
    store = kg.open_store("shop.sqlite")
    kg.ingest(kg.read_tables("raw/", schema), store, schema)
    kg.build(store, schema, kg.BuildConfig(), out="models/shop")
    engine = kg.load_engine("models/shop")
    for candidate in engine.recall(kg.Query(user_id="u042", k=100)):
        print(candidate.item_id, candidate.score, candidate.channels)

Names are loaded when they are first used: ``import kgrecall`` costs nothing, and asking an engine never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kgrecall import errors as errors
    from kgrecall.graph.neighbourhood import to_networkx as to_networkx
    from kgrecall.graph.snapshot import GraphSnapshot as GraphSnapshot
    from kgrecall.graph.snapshot import take_snapshot as take_snapshot
    from kgrecall.graph.split import split_by_time as split_by_time
    from kgrecall.graph.split import split_last as split_last
    from kgrecall.graph.split import split_random as split_random
    from kgrecall.jobs.build import build as build
    from kgrecall.jobs.build import build_snapshot as build_snapshot
    from kgrecall.jobs.build_config import BuildConfig as BuildConfig
    from kgrecall.jobs.gate import GateConfig as GateConfig
    from kgrecall.jobs.gate import run_gate as run_gate
    from kgrecall.jobs.serve import load_engine as load_engine
    from kgrecall.jobs.trial import run_trial as run_trial
    from kgrecall.recall.engine import RecallEngine as RecallEngine
    from kgrecall.recall.explaining.explanation import Attribution as Attribution
    from kgrecall.recall.explaining.explanation import Counterfactual as Counterfactual
    from kgrecall.recall.explaining.explanation import Explanation as Explanation
    from kgrecall.schema import GraphSchema as GraphSchema
    from kgrecall.sources import datasets as datasets
    from kgrecall.sources.inspect import propose_mapping as propose_mapping
    from kgrecall.sources.mappings import find_mapping as find_mapping
    from kgrecall.sources.reader import from_tables as from_tables
    from kgrecall.sources.reader import read_tables as read_tables
    from kgrecall.store import open_store as open_store
    from kgrecall.store.ingest import ingest as ingest
    from kgrecall.types import Candidate as Candidate
    from kgrecall.types import Candidates as Candidates
    from kgrecall.types import Path as Path
    from kgrecall.types import Query as Query
    from kgrecall.types import Seen as Seen

_HOMES = {
    "errors": "kgrecall.errors",
    "to_networkx": "kgrecall.graph.neighbourhood",
    "GraphSnapshot": "kgrecall.graph.snapshot",
    "take_snapshot": "kgrecall.graph.snapshot",
    "split_by_time": "kgrecall.graph.split",
    "split_last": "kgrecall.graph.split",
    "split_random": "kgrecall.graph.split",
    "build": "kgrecall.jobs.build",
    "build_snapshot": "kgrecall.jobs.build",
    "BuildConfig": "kgrecall.jobs.build_config",
    "GateConfig": "kgrecall.jobs.gate",
    "run_gate": "kgrecall.jobs.gate",
    "load_engine": "kgrecall.jobs.serve",
    "run_trial": "kgrecall.jobs.trial",
    "RecallEngine": "kgrecall.recall.engine",
    "Attribution": "kgrecall.recall.explaining.explanation",
    "Counterfactual": "kgrecall.recall.explaining.explanation",
    "Explanation": "kgrecall.recall.explaining.explanation",
    "GraphSchema": "kgrecall.schema",
    "datasets": "kgrecall.sources.datasets",
    "propose_mapping": "kgrecall.sources.inspect",
    "find_mapping": "kgrecall.sources.mappings",
    "from_tables": "kgrecall.sources.reader",
    "read_tables": "kgrecall.sources.reader",
    "open_store": "kgrecall.store",
    "ingest": "kgrecall.store.ingest",
    "Candidate": "kgrecall.types",
    "Candidates": "kgrecall.types",
    "Path": "kgrecall.types",
    "Query": "kgrecall.types",
    "Seen": "kgrecall.types",
}
__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load a public name at its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOMES[name])
    value = module if _HOMES[name].endswith(f".{name}") and not hasattr(module, name) else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
