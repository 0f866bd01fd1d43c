from __future__ import annotations

import json

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.recall.channels.value_codes import ValueCodes, ValueField, joined

CODES = joined(
    "Query.attributes",
    [
        ValueField("gender", 0, {"F": 0, "M": 1}),
        ValueField("age", 0, {}, (18.0, 30.0)),
        ValueField("vip", 0, {"false": 0, "true": 1}),
    ],
)


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        ({"gender": "F"}, [0]),
        ({"age": 17.9}, [2]),
        ({"age": 18}, [3]),
        ({"age": np.int64(99), "gender": "M"}, [1, 4]),
        ({"gender": ["M", "F"]}, [0, 1]),
        ({"vip": True}, [6]),
        ({}, []),
    ],
)
def test_values_are_looked_up(given: dict[str, object], codes: list[int]) -> None:
    notes: list[str] = []
    assert CODES.look_up(given, notes).tolist() == codes
    assert notes == []
    stored = ValueCodes.from_json(json.loads(json.dumps(CODES.to_json())))
    assert stored == CODES
    assert stored.num_values == 7


def test_a_rare_value_is_left_out_with_a_note() -> None:
    notes: list[str] = []
    assert CODES.look_up({"gender": "X"}, notes).tolist() == []
    assert notes == ["Too few have gender 'X': it was left out."]


@pytest.mark.parametrize(
    ("given", "message"),
    [({"gendre": "F"}, "Did you mean 'gender'"), ({"age": "old"}, "a number"), ({"age": float("nan")}, "a number")],
)
def test_what_cannot_be_looked_up(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CODES.look_up(given, [])


def test_values_in_words() -> None:
    words = ["gender F", "gender M", "age below 18", "age 18 to 30", "age from 30", "vip false", "vip true"]
    assert [CODES.describe(code) for code in range(7)] == words


def test_fields_have_names_of_their_own() -> None:
    with pytest.raises(ConfigError, match="distinct fields"):
        joined("x", [ValueField("a", 0, {"v": 0}), ValueField("a", 0, {"v": 0})])
