"""Every error says what was expected, what arrived and what to do, and survives a trip to another process."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from kgrecall import errors
from kgrecall.errors import (
    ConfigError,
    KGRecallError,
    MissingExtra,
    Shown,
    SourceError,
    TooManyBadRows,
    UnknownId,
    nearest,
    shorten,
)

_ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, KGRecallError)]


@pytest.mark.parametrize("kind", _ALL)
def test_every_error_shows_its_parts_and_keeps_them(kind: type[KGRecallError]) -> None:
    error = kind("k", expected="an integer >= 1", got=0, remedy="Pass k=100.")
    assert str(error) == "k: expected an integer >= 1, got 0. Pass k=100."
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert str(twin) == str(error)
        assert (twin.what, twin.expected, twin.got, twin.remedy) == ("k", "an integer >= 1", 0, "Pass k=100.")


@pytest.mark.parametrize("kind", _ALL)
def test_every_error_is_in_the_drawn_tree(kind: type[KGRecallError]) -> None:
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__
    assert kind.__doc__


def test_the_tree() -> None:
    assert issubclass(TooManyBadRows, SourceError)
    assert issubclass(UnknownId, KeyError)
    assert issubclass(MissingExtra, ImportError)
    assert all(issubclass(kind, KGRecallError) for kind in _ALL)


def test_no_part_can_be_forgotten() -> None:
    with pytest.raises(TypeError):
        ConfigError("k", expected="x", got=1)  # type: ignore[call-arg]


def test_values_are_shown_by_repr_and_cut_in_the_middle() -> None:
    assert shorten("a'b") == '"a\'b"'
    assert shorten(Shown("3 columns")) == "3 columns"
    long = shorten("start" + "x" * 500 + "end")
    assert len(long) < 200
    assert long.startswith("'start")
    assert long.endswith("end'")
    assert " ... " in long


def test_the_nearest_known_word() -> None:
    assert nearest("titel", ["title", "genre"]) == "Did you mean 'title'?"
    assert nearest("xyz", ["b", "a"]) == "Known: a, b."
    assert nearest("xyz", []) == "None is known."
    assert nearest("0", [str(i) * 9 for i in range(50)]).endswith(", ....")
