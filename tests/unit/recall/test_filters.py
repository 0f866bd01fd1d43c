from __future__ import annotations

from typing import Any

import pytest

from kgrecall.errors import ConfigError
from kgrecall.recall.filtering.filters import And, Compare, Field, Filter, IsNull, Not, OneOf, Or, parse_filter

PRICE, GENRE = Field("price"), Field("HAS_GENRE")


@pytest.mark.parametrize(
    ("text", "as_json", "tree"),
    [
        ("price < 20", {"price": {"<": 20}}, PRICE < 20),
        ("price=20.5", {"price": 20.5}, PRICE == 20.5),
        ("price >= -1e3", {"price": {">=": -1000}}, PRICE >= -1000),
        ("price > 1 and price <= 2", {"price": {">": 1, "<=": 2}}, (PRICE > 1) & (PRICE <= 2)),
        ("name != 'it\\'s'", {"name": {"!=": "it's"}}, Field("name") != "it's"),
        ('category in ["a", "b"]', {"category": ["a", "b"]}, Field("category").is_in("a", "b")),
        ("HAS_GENRE any ['x']", {"HAS_GENRE": {"any": ["x"]}}, GENRE.any("x")),
        ("HAS_GENRE ALL ['x', 'y']", {"HAS_GENRE": {"all": ["x", "y"]}}, GENRE.all("x", "y")),
        ("^film.film.sequel none ['x']", {"^film.film.sequel": {"none": "x"}}, Field("^film.film.sequel").none("x")),
        ("in_stock", {"in_stock": True}, Field("in_stock") == True),  # noqa: E712
        ("not in_stock", {"not": {"in_stock": True}}, ~(Field("in_stock") == True)),  # noqa: E712
        ("price is null", {"price": None}, PRICE.is_null()),
        ("price is not null", {"not": {"price": None}}, ~PRICE.is_null()),
        ("price not in [1]", {"not": {"price": [1]}}, ~PRICE.is_in(1)),
        ("`in` == true", {"in": True}, Field("in") == True),  # noqa: E712
        (
            "a == 1 or b == 2 and not (c == 3 or d == 4)",
            {"or": [{"a": 1}, {"b": 2, "not": {"or": [{"c": 3}, {"d": 4}]}}]},
            (Field("a") == 1) | ((Field("b") == 2) & ~((Field("c") == 3) | (Field("d") == 4))),
        ),
    ],
)
def test_text_json_and_python_are_the_same_tree(text: str, as_json: dict[str, Any], tree: Filter) -> None:
    assert parse_filter(text) == parse_filter(as_json) == parse_filter(tree) == tree
    assert hash(parse_filter(text)) == hash(tree)


def test_the_shape_of_the_tree() -> None:
    tree = parse_filter("a or b and not c is null or d in ['x']")
    a, b = Compare("a", "==", True), Compare("b", "==", True)
    assert tree == Or((a, And((b, Not(IsNull("c")))), OneOf("d", "in", ("x",))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the name of a property or relation, got the end"),
        ("price <", "expected a number, true, false, or a string in quotes, got the end"),
        ("price < cheap", r"a string in quotes, got cheap.*character 9"),
        ("price in 3", "expected a list in brackets"),
        ("price in []", "a string in quotes, got ]"),
        ("price in [1", "a comma or a closing bracket, got the end"),
        ("(price < 3", "a closing parenthesis"),
        ("price < 3)", "expected the end, got \\)"),
        ("price < 3 price > 1", "expected the end, got price"),
        ("price is 3", "expected null"),
        ("price not 3", "expected in, got 3"),
        ("and", "name of a property"),
        ("price < 'open", "expected names, values in quotes"),
        ("price ; drop", "expected names"),
        ("3 < price", "expected the name"),
    ],
)
def test_text_that_is_no_filter_says_where(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_filter(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "at least one condition"),
        ({"and": {}}, "a list of objects"),
        ({"or": []}, "a list of objects"),
        ({"or": [3]}, "a list of objects"),
        ({"not": 3}, "an object"),
        ({"price": {}}, "an operator"),
        ({"price": {"lt": 3}}, "expected one of =="),
        ({"price": {"an": 3}}, "Did you mean 'any'"),
        ({"price": [[1]]}, "a string, a finite number or a boolean"),
        ({"price": []}, "1 to 10000 values, got 0"),
        ({"price": float("nan")}, "finite number"),
        (7, "text, a JSON object, or Field"),
        (PRICE, "text, a JSON object, or Field"),
        (And((PRICE,)), "expected conditions"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_filter_says_why(given: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_filter(given)


@pytest.mark.parametrize("text", ["(" * 40 + "a" + ")" * 40, "not " * 40 + "a"])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(ConfigError, match="at most 16 levels"):
        parse_filter(text)
    deep: dict[str, Any] = {"a": 1}
    tree: Filter = PRICE < 1
    for _ in range(20):
        deep, tree = {"not": deep}, ~tree
    for given in (deep, tree):
        with pytest.raises(ConfigError, match="depth: expected at most 16"):
            parse_filter(given)


def test_size_is_bounded() -> None:
    with pytest.raises(ConfigError, match="conditions: expected at most 256"):
        parse_filter(" or ".join(["a"] * 300))
    with pytest.raises(ConfigError, match="1 to 10000 values, got 10001"):
        parse_filter({"price": list(range(10_001))})
    with pytest.raises(ConfigError, match="at most 100000 characters"):
        parse_filter("a or " * 30_000 + "a")
