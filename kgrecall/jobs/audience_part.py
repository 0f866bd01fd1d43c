"""The part of a build that knows the audience: what people with some attribute choose, and what is chosen at some moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kgrecall.graph.columns import UserColumns
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.artifact import Artifact, ArtifactWriter
from kgrecall.recall.base import Channel, Naming, Signal
from kgrecall.recall.channels.friends import FriendsChannel
from kgrecall.recall.channels.item_knn import interaction_matrix
from kgrecall.recall.channels.leanings import MOMENT, PEERS, LeaningChannel, Leanings, count_choices
from kgrecall.recall.channels.moment_knn import MomentEvents, MomentKnnChannel
from kgrecall.recall.channels.moments import Moments, MomentTable
from kgrecall.recall.channels.sparse_rows import Matrix, csr
from kgrecall.recall.channels.traits import user_traits
from kgrecall.recall.channels.value_codes import ValueCodes
from kgrecall.recall.histories import Histories
from kgrecall.recall.queries.audience import Audience
from kgrecall.recall.queries.seen import SeenEvents
from kgrecall.types import FloatArray, Interactions, PosArray

_EVENTS = ("indptr", "item_pos", "codes")


@dataclass(frozen=True, eq=False)
class AudiencePart:
    """What was learned of the users' attributes (None when users have none) and of moments (None without times)."""

    traits: tuple[ValueCodes, Matrix] | None
    peers: Leanings | None
    moments: Moments | None
    at_moment: Leanings | None
    moment_events: MomentEvents | None

    @classmethod
    def of(cls, snapshot: GraphSnapshot, events: Interactions) -> AudiencePart:
        """Learn from the events that training may see."""
        known, members = user_traits(UserColumns(snapshot))
        peers = count_choices(members, interaction_matrix(events, "binary")) if known.num_values else None
        traits = (known, members) if known.num_values else None
        table = MomentTable.of(snapshot)
        if table is None:
            return cls(traits, peers, None, None, None)
        at_moment = count_choices(table.under(), _one_row_each(table.item_pos, len(snapshot.items)))
        rows = MomentEvents.of(table.user_pos, table.item_pos, table.time, table.codes, len(snapshot.users))
        return cls(traits, peers, table.moments, at_moment, rows)

    def save(self, writer: ArtifactWriter) -> None:
        writer.manifest["audience"] = {
            "traits": self.traits[0].to_json() if self.traits else None,
            "moments": self.moments.codes.to_json() if self.moments else None,
        }
        if self.traits and self.peers:
            writer.matrix("audience.users", self.traits[1])
            _save(writer, "audience.peers", self.peers)
        if self.at_moment and self.moment_events:
            _save(writer, "audience.moments", self.at_moment)
            for name in _EVENTS:
                writer.array(f"audience.events.{name}", getattr(self.moment_events, name))

    @classmethod
    def load(cls, artifact: Artifact) -> AudiencePart:
        stored = artifact.manifest["audience"]
        traits, moments = stored["traits"], stored["moments"]
        return cls(
            (ValueCodes.from_json(traits), artifact.matrix("audience.users")) if traits else None,
            _load(artifact, "audience.peers") if traits else None,
            Moments(ValueCodes.from_json(moments)) if moments else None,
            _load(artifact, "audience.moments") if moments else None,
            MomentEvents(*(artifact.array(f"audience.events.{name}") for name in _EVENTS)) if moments else None,
        )

    def audience(self, snapshot: GraphSnapshot) -> Audience:
        return Audience(self.traits, self.moments, SeenEvents.of(snapshot))

    def channels(self, popularity: FloatArray, histories: Histories, naming: Naming) -> Mapping[Signal, tuple[Channel, ...]]:
        """The channels that are asked only where a query holds their signal."""
        found: dict[Signal, tuple[Channel, ...]] = {"friends": (FriendsChannel(histories, naming=naming),)}
        if self.traits and self.peers:
            describe = self.traits[0].describe
            peers = LeaningChannel(
                self.peers, popularity, lambda b: b.traits, describe, name="peers", relation=PEERS, naming=naming
            )
            found["traits"] = (peers,)
        if self.moments and self.at_moment and self.moment_events:
            describe = self.moments.codes.describe
            everybody = LeaningChannel(
                self.at_moment,
                popularity,
                lambda b: b.moment,
                describe,
                name="context",
                relation=MOMENT,
                of_everybody=True,
                naming=naming,
            )
            found["moment"] = (everybody, MomentKnnChannel(self.moment_events, histories, naming=naming))
        return found


def _one_row_each(item_pos: PosArray, num_items: int) -> Matrix:
    """What each event chose: float32 (n, num_items)."""
    n = len(item_pos)
    return csr(np.ones(n, np.float32), item_pos, np.arange(n + 1), num_items)


def _save(writer: ArtifactWriter, name: str, leanings: Leanings) -> None:
    writer.matrix(name, leanings.counts)
    writer.array(f"{name}.overall", leanings.overall)


def _load(artifact: Artifact, name: str) -> Leanings:
    return Leanings(artifact.matrix(name), artifact.array(f"{name}.overall"))
