"""Every error kgrecall raises, in one tree.

    KGRecallError
    ├── ConfigError              a setting or an argument has an impossible value
    ├── SchemaError              a mapping file or a graph schema does not hold together
    ├── SourceError              a file cannot be read as declared (file, row, column)
    │   └── TooManyBadRows       the quarantine reached its limit
    ├── StoreError               the graph store refused or failed
    │   ├── StoreUnavailable     it cannot be reached or opened
    │   ├── StoreConflict        somebody else holds it
    │   ├── ConstraintViolated   the data breaks a uniqueness or existence rule
    │   └── StoreTimeout         a deadline passed
    ├── UnknownId                (also KeyError) an id of yours that the graph does not hold
    ├── ArtifactError            a built model folder cannot be used
    │   ├── StaleArtifact        two parts come from different vocabularies or formats
    │   └── CorruptArtifact      a file is missing or its checksum differs
    ├── ShapeError               an array has the wrong shape or dtype
    ├── Unsupported              this implementation lacks a declared ability
    ├── NotBuilt                 something is asked for before it was built
    ├── MissingExtra             (also ImportError) an optional package is not installed
    └── BudgetExceeded           the job would need more memory or time than allowed

Every message answers three questions: what was expected, what arrived, what to do. The constructor asks for all three,
so that none can be forgotten::

    raise ConfigError("k", expected="an integer >= 1", got=0, remedy="Pass how many candidates you want, e.g. k=100.")
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MAX_SHOWN = 200


class KGRecallError(Exception):
    """Base of all errors; carries the parts of its message as attributes.

    Args:
        what: the thing that is wrong: an argument, a key, a file, a row.
        expected: what would have been right.
        got: what arrived; shown with ``repr`` and shortened.
        remedy: a whole sentence that says what to do now.
    """

    def __init__(self, what: str, *, expected: str, got: object, remedy: str) -> None:
        self.what, self.expected, self.got, self.remedy = what, expected, got, remedy
        super().__init__(f"{what}: expected {expected}, got {shorten(got)}. {remedy}")

    def __str__(self) -> str:  # KeyError would show the repr
        return str(self.args[0])

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[KGRecallError], args: tuple[object, ...], state: dict[str, object]) -> KGRecallError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


def shorten(value: object, limit: int = _MAX_SHOWN) -> str:
    """``repr`` of a value, cut in the middle when it is longer than ``limit`` characters."""
    text = value if isinstance(value, Shown) else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 30]} ... {text[-20:]}"


class Shown(str):
    """A ``got`` that is already a phrase ("nothing", "3 columns") and needs no quotes."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as ``Did you mean 'title'?``, or the list of known words when nothing is near."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(words[:20])}{', ...' if len(words) > 20 else ''}." if words else "None is known."


class ConfigError(KGRecallError):
    """A setting or an argument has an impossible value."""


class SchemaError(KGRecallError):
    """A mapping file or a graph schema does not hold together."""


class SourceError(KGRecallError):
    """A file cannot be read as declared."""


class TooManyBadRows(SourceError):
    """The quarantine reached the configured count or share."""


class StoreError(KGRecallError):
    """The graph store refused or failed."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or opened."""


class StoreConflict(StoreError):
    """Somebody else holds the store."""


class ConstraintViolated(StoreError):
    """The data breaks a uniqueness or existence rule of the store."""


class StoreTimeout(StoreError):
    """A deadline passed before the store answered."""


class UnknownId(KGRecallError, KeyError):
    """An id that the graph does not hold."""


class ArtifactError(KGRecallError):
    """A built model folder cannot be used."""


class StaleArtifact(ArtifactError):
    """Two parts come from different vocabularies or formats."""


class CorruptArtifact(ArtifactError):
    """A file of the artifact is missing or its checksum differs."""


class ShapeError(KGRecallError):
    """An array has the wrong shape or dtype."""


class Unsupported(KGRecallError):
    """This implementation lacks a declared ability."""


class NotBuilt(KGRecallError):
    """Something is asked for before it was built."""


class MissingExtra(KGRecallError, ImportError):
    """An optional package is not installed."""


class BudgetExceeded(KGRecallError):
    """The job would need more memory or time than allowed."""
