"""The part of a build that knows the audience: what people with some attribute choose, and what is chosen at some moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kgrecall.graph.adjacency import MISSING_TIME
from kgrecall.graph.columns import UserColumns
from kgrecall.graph.snapshot import GraphSnapshot
from kgrecall.jobs.artifact import Artifact, ArtifactWriter
from kgrecall.recall.audience import Audience
from kgrecall.recall.base import Channel, Naming, Signal
from kgrecall.recall.friends import FriendsChannel
from kgrecall.recall.histories import Histories
from kgrecall.recall.item_knn import interaction_matrix
from kgrecall.recall.leanings import MOMENT, PEERS, LeaningChannel, Leanings, count_choices
from kgrecall.recall.moments import WHAT, Moments, clock_fields, clock_membership
from kgrecall.recall.seen import SeenEvents
from kgrecall.recall.sparse_rows import Matrix
from kgrecall.recall.traits import user_traits
from kgrecall.recall.value_codes import ValueCodes, joined
from kgrecall.types import FloatArray, Interactions


@dataclass(frozen=True, eq=False)
class AudiencePart:
    """What was learned of the users' attributes (None when users have none) and of moments (None without times)."""

    traits: tuple[ValueCodes, Matrix] | None
    peers: Leanings | None
    moments: Moments | None
    at_moment: Leanings | None

    @classmethod
    def of(cls, snapshot: GraphSnapshot, events: Interactions) -> AudiencePart:
        """Learn from the events that training may see."""
        known, members = user_traits(UserColumns(snapshot))
        peers = count_choices(members, interaction_matrix(events, "binary")) if known.num_values else None
        moments, at_moment = None, None
        if events.time is not None and (events.time != MISSING_TIME).any():
            moments = Moments(joined(WHAT, clock_fields()))
            at_moment = count_choices(clock_membership(events.time), _one_row_each(events))
        return cls((known, members) if known.num_values else None, peers, moments, at_moment)

    def save(self, writer: ArtifactWriter) -> None:
        writer.manifest["audience"] = {
            "traits": self.traits[0].to_json() if self.traits else None,
            "moments": self.moments.codes.to_json() if self.moments else None,
        }
        if self.traits and self.peers:
            writer.matrix("audience.users", self.traits[1])
            _save(writer, "audience.peers", self.peers)
        if self.at_moment:
            _save(writer, "audience.moments", self.at_moment)

    @classmethod
    def load(cls, artifact: Artifact) -> AudiencePart:
        stored = artifact.manifest["audience"]
        traits, moments = stored["traits"], stored["moments"]
        return cls(
            (ValueCodes.from_json(traits), artifact.matrix("audience.users")) if traits else None,
            _load(artifact, "audience.peers") if traits else None,
            Moments(ValueCodes.from_json(moments)) if moments else None,
            _load(artifact, "audience.moments") if moments else None,
        )

    def audience(self, snapshot: GraphSnapshot) -> Audience:
        return Audience(self.traits, self.moments, SeenEvents.of(snapshot))

    def channels(self, popularity: FloatArray, histories: Histories, naming: Naming) -> Mapping[Signal, Channel]:
        """The channels that are asked only where a query holds their signal."""
        found: dict[Signal, Channel] = {"friends": FriendsChannel(histories, naming=naming)}
        if self.traits and self.peers:
            describe = self.traits[0].describe
            found["traits"] = LeaningChannel(
                self.peers, popularity, lambda b: b.traits, describe, name="peers", relation=PEERS, naming=naming
            )
        if self.moments and self.at_moment:
            describe = self.moments.codes.describe
            found["moment"] = LeaningChannel(
                self.at_moment, popularity, lambda b: b.moment, describe, name="context", relation=MOMENT, naming=naming
            )
        return found


def _one_row_each(events: Interactions) -> Matrix:
    """What each event chose: float32 (n, num_items)."""
    n = len(events)
    numbered = Interactions(np.arange(n), events.item_pos, np.ones(n, np.float32), None, n, events.num_items)
    return interaction_matrix(numbered, "raw")


def _save(writer: ArtifactWriter, name: str, leanings: Leanings) -> None:
    writer.matrix(name, leanings.counts)
    writer.array(f"{name}.overall", leanings.overall)


def _load(artifact: Artifact, name: str) -> Leanings:
    return Leanings(artifact.matrix(name), artifact.array(f"{name}.overall"))
