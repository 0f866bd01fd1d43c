from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from kgrecall.errors import ConfigError
from kgrecall.query import Query, Seen, milliseconds


@pytest.mark.parametrize(
    "moment",
    [
        1_714_561_200_000,
        "2024-05-01T11:00",
        "2024-05-01T13:00+02:00",
        datetime(2024, 5, 1, 11),
        datetime(2024, 5, 1, 13, tzinfo=timezone(timedelta(hours=2))),
        datetime(2024, 5, 1, 11, tzinfo=UTC),
    ],
)
def test_a_moment_is_milliseconds_utc(moment: object) -> None:
    assert milliseconds(moment, "time") == 1_714_561_200_000


@pytest.mark.parametrize("moment", ["yesterday", None, True, 3.5])
def test_what_is_no_time(moment: object) -> None:
    with pytest.raises(ConfigError, match=r"when: expected a time"):
        milliseconds(moment, "when")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "at least one of user_id, history, text"),
        ({"text": ""}, "at least one of"),
        ({"user_id": "a", "k": 0}, "an integer >= 1"),
        ({"user_id": "a", "k": True}, "an integer >= 1"),
        ({"friends": "ann"}, "Put the single value into a list"),
        ({"history": ["a"], "history_weights": [0.0]}, "1 positive numbers"),
        ({"history": ["a"], "history_weights": [1e-50]}, "1 positive numbers"),  # nothing is left of it in float32
        ({"history": ["a"], "history_weights": ["much"]}, "1 positive numbers"),
        ({"history": ["a"], "history_times": [10**19]}, "a time"),
        ({"text": 5}, "Query.text: expected a string"),
        ({"user_id": "a", "exclude_seen": "false"}, "True, False"),
        ({"history": ["a"], "history_times": []}, "1 times"),
        ({"history": ["a"], "history_times": ["soon"]}, "a time"),
        ({"attributes": ["age"]}, "a mapping from names"),
        ({"attributes": {3: "F"}}, "a mapping from names"),
        ({"context": "phone"}, "a mapping from names"),
    ],
)
def test_what_is_no_query(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Query(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"friends": []}, {"attributes": {}}, {"context": {"hour": 3}}, {"history": []}])
def test_each_start_is_enough(given: dict[str, object]) -> None:
    assert Query(**given).k == 100  # type: ignore[arg-type]


@pytest.mark.parametrize("days", [0, -1, float("inf"), float("nan"), "3"])
def test_days_of_seen_are_positive(days: object) -> None:
    with pytest.raises(ConfigError, match="days > 0"):
        Seen(days=days)  # type: ignore[arg-type]


def test_events_of_seen_are_a_list() -> None:
    assert Seen(events=["BOUGHT"]).events == ("BOUGHT",)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="into a list"):
        Seen(events="BOUGHT")  # type: ignore[arg-type]


def test_a_query_from_json() -> None:
    given = {"user_id": "a", "exclude": ["x"], "exclude_seen": {"events": ["BOUGHT"], "days": 3}, "channels": ["text"]}
    seen = Seen(("BOUGHT",), 3)
    assert Query.of(given) == Query("a", exclude=frozenset("x"), exclude_seen=seen, channels=("text",))
    with pytest.raises(ConfigError, match="Did you mean 'friends'"):
        Query.of({"freinds": []})
    with pytest.raises(ConfigError, match="Did you mean 'days'"):
        Query.of({"user_id": "a", "exclude_seen": {"day": 3}})


@pytest.mark.parametrize("name", ["history", "friends", "exclude", "allow", "channels"])
@pytest.mark.parametrize("given", [5, [1075], ["i1", None], {"i1": 2}, b"i1", "i1"])
def test_collections_hold_strings(name: str, given: object) -> None:
    with pytest.raises(ConfigError, match=rf"Query\.{name}"):
        Query(**{"user_id": "u1", name: given})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["history_weights", "history_times"])
def test_weights_and_times_are_collections(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"Query\.{name}"):
        Query(history=["i1"], **{name: 5})  # type: ignore[arg-type]


@pytest.mark.parametrize("events", [5, [5], "VIEWED", {"VIEWED": 1}])
def test_events_of_seen_are_names(events: object) -> None:
    with pytest.raises(ConfigError, match=r"Seen\.events"):
        Seen(events=events)  # type: ignore[arg-type]


def test_a_collection_may_be_a_generator_or_an_array() -> None:
    query = Query(history=(item for item in ("i1", "i2")), exclude=np.array(["i3"]))  # type: ignore[arg-type]
    assert query.history == ("i1", "i2")
    assert query.exclude == {"i3"}
