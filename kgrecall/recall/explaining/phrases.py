"""Names of relations as words: ``film.film.directed_by`` becomes "directed by", ``HAS_GENRE`` "genre"."""

from __future__ import annotations

import re

_PREPOSITIONS = ("by", "in", "of", "at", "from", "to", "with", "for", "on")
_IRREGULAR_PAST = frozenset(
    {
        "bought",
        "read",
        "saw",
        "sold",
        "heard",
        "wrote",
        "won",
        "ate",
        "drank",
        "kept",
        "left",
        "gave",
        "took",
        "went",
        "sent",
        "did",
    }
)


def words_of(relation: str) -> str:
    """The last dotted part in lower case, words apart, without a leading "has" or "is"."""
    last = relation.lstrip("^").rsplit(".", 1)[-1]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", last).replace("_", " ").replace("-", " ").lower().split()
    if len(words) > 1 and words[0] in ("has", "is", "have"):
        words = words[1:]
    return " ".join(words) or relation


def past_tense(relation: str) -> str:
    """What a user did, from the relation of an interaction: ``RATED`` is "rated", ``LISTENED_TO`` "listened to".

    A name that is no verb in the past ("VIEW") gives "chose", which is true of any interaction.
    """
    words = words_of(relation)
    first = words.split()[0]
    return words if first.endswith("ed") or first in _IRREGULAR_PAST else "chose"


def sharing(relation: str, node: str) -> str:
    """That two items share a node: "both directed by Ridley Scott", "same genre (Drama)"."""
    words = words_of(relation)
    if words.split()[-1] in _PREPOSITIONS:
        return f"both {words} {node}"
    return f"same {words} ({node})"
