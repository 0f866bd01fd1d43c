"""From an artifact to an engine that answers; imports neither torch nor a database driver."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from kgrecall.errors import ConfigError, nearest
from kgrecall.graph.columns import ItemColumns
from kgrecall.jobs.artifact import Artifact
from kgrecall.jobs.encoders import LateEncoder
from kgrecall.jobs.ingredients import Ingredients, load
from kgrecall.recall.base import Channel
from kgrecall.recall.engine import EngineConfig, RecallEngine
from kgrecall.recall.filtering.filter_mask import FilterMasks
from kgrecall.recall.fusion.combiner_weights import CombinerWeights
from kgrecall.recall.fusion.rank_fusion import FusionConfig
from kgrecall.store.base import GraphStore


def load_engine(
    folder: str | Path,
    *,
    channels: Sequence[str] | None = None,
    store: GraphStore | None = None,
    hidden: Collection[str] = (),
    verify: bool = True,
) -> RecallEngine:
    """Open a built model.

    Args:
        folder: what ``build`` wrote.
        channels: only these; None for all that were built.
        store: a Neo4j store, for channels that search inside it: ``neo4j_vector``, ``neo4j_fulltext`` (both after
            :func:`kgrecall.jobs.database.publish`) and ``neo4j_walk``, where ``channels`` names them.
        hidden: ids of items that nobody is ever shown; a list or a set.
        verify: compare every file with its checksum (0.3 s per GB).

    Raises:
        NotBuilt: nothing was built there.
        CorruptArtifact, StaleArtifact: a file differs from its checksum, or was written by another format.
        ConfigError: a channel that was not built.
        Unsupported: a channel inside the database, and ``store`` is none.
    """
    artifact = Artifact(folder, verify=verify)
    built: list[str] = artifact.manifest["channels"]
    if channels is not None and (isinstance(channels, str) or not channels):
        raise ConfigError("channels", expected="a list of names, or None for all", got=channels, remedy="Name at least one.")
    chosen = list(built if channels is None else channels)
    outside = [name for name in chosen if name not in built] if store else []
    for name in chosen:
        if name not in built and name not in outside:
            raise ConfigError("channels", expected="channels of the artifact", got=name, remedy=nearest(name, built))
    fusion = FusionConfig(**artifact.manifest["fusion"])
    engine = EngineConfig(**artifact.manifest["engine"])
    ingredients, more = load(artifact), []
    if store and outside:
        from kgrecall.jobs.database import STAND_INS, database_channel  # the driver is imported only for this

        more = [database_channel(name, ingredients, store) for name in outside]
        lent = {name: fusion.weight(STAND_INS[name]) for name in outside}
        fusion = fusion.model_copy(update={"weights": {**fusion.weights, **lent}})
    names = [name for name in built if name in chosen]  # in the order that fusion was learned in
    return assemble(ingredients, names, fusion, encoder=artifact.manifest["encoder"], hidden=hidden, config=engine, more=more)


def assemble(
    ingredients: Ingredients,
    channels: Sequence[str],
    fusion: FusionConfig,
    *,
    encoder: str | None,
    hidden: Collection[str] = (),
    config: EngineConfig | None = None,
    more: Sequence[Channel] = (),
) -> RecallEngine:
    """An engine with those of the named channels for which the graph has something, and ``more``."""
    made = [*(channel for name in channels if (channel := ingredients.channel(name)) is not None), *more]
    names, part = [channel.name for channel in made], ingredients.audience
    served = {
        field: {name: value for name, value in getattr(fusion, field).items() if name in names}
        for field in ("weights", "new_weights", "temperatures")
    }
    if set(fusion.new_weights) - set(names):
        served["new_weights"] = {}  # beside other channels their scale says nothing
    return RecallEngine(
        ingredients.snapshot.users,
        ingredients.snapshot.items,
        made,
        fusion.model_copy(update={**served, "combiner": _combiner(fusion, names)}),
        ingredients.histories,
        popularity=ingredients.popularity,
        filters=FilterMasks(ItemColumns(ingredients.snapshot)),
        audience=part.audience(ingredients.snapshot) if part else None,
        on_signal=part.channels(ingredients.popularity, ingredients.histories, ingredients.naming) if part else None,
        hidden=hidden,
        encode_text=LateEncoder(encoder) if encoder and "text" in names else None,
        vectors=ingredients.item_vectors,
        names=ingredients.names,
        naming=ingredients.naming,
        config=config,
    )


def _combiner(fusion: FusionConfig, names: Sequence[str]) -> CombinerWeights | None:
    """The learned combiner, where all channels that it knows are there and no other one."""
    return fusion.combiner if fusion.combiner is not None and fusion.combiner.channels == tuple(names) else None
