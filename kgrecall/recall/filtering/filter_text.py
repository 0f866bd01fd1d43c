"""The text form of filters: a tokenizer and a recursive descent with a limit.

    or        = and ("or" and)*
    and       = not ("and" not)*
    not       = "not" not | "(" or ")" | condition
    condition = name | name ("==" | "!=" | "<" | "<=" | ">" | ">=") value | name "is" ["not"] "null"
              | name ["not"] "in" list | name ("any" | "all" | "none") list
    list      = "[" value ("," value)* "]"
    value     = number | "true" | "false" | string in ' or "
    name      = letters, digits, ".", "_" and "^", or anything between backquotes

Keywords are read in any case; a name alone asks for a true boolean; ``=`` is read as ``==``.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from kgrecall.errors import ConfigError, Shown

Words: TypeAlias = tuple[Any, ...]
"""("and" | "or", part, ...), ("not", part), ("null", name) or ("is", name, op, value)."""
MAX_CHARACTERS = 100_000
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | `(?P<quoted>[^`]+)`
      | (?P<name>\^?[^\W\d][\w.]*)
      | (?P<sign>==|!=|<=|>=|[=<>(),\[\]])
    )""",
    re.VERBOSE,
)
_KEYWORDS = frozenset({"and", "or", "not", "in", "any", "all", "none", "is", "null", "true", "false"})
_SIGNS = frozenset({"==", "!=", "<", "<=", ">", ">=", "="})
_END = ("end", "the end")


def parse_words(text: str, max_depth: int) -> Words:
    """The structure of a filter text; names and values are not looked at.

    Raises:
        ConfigError: it does not follow the grammar (says what was expected at which character), or nests deeper than allowed.
    """
    parser = _Parser(text, max_depth)
    words = parser.read_or(max_depth)
    parser.expect("end", "the end")
    return words


class _Parser:
    def __init__(self, text: str, max_depth: int) -> None:
        if len(text) > MAX_CHARACTERS:
            raise ConfigError(
                "filter", expected=f"at most {MAX_CHARACTERS} characters", got=len(text), remedy="Pass long lists as JSON."
            )
        self._text, self._max_depth = text, max_depth
        self._tokens = list(_tokens(text))
        self._at = 0

    def read_or(self, depth: int) -> Words:
        parts = [self._read_and(depth)]
        while self._take("keyword", "or"):
            parts.append(self._read_and(depth))
        return parts[0] if len(parts) == 1 else ("or", *parts)

    def expect(self, kind: str, what: str, word: str | None = None) -> Any:
        if not self._is(kind, word):
            raise self._error(what)
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _read_and(self, depth: int) -> Words:
        parts = [self._read_not(depth)]
        while self._take("keyword", "and"):
            parts.append(self._read_not(depth))
        return parts[0] if len(parts) == 1 else ("and", *parts)

    def _read_not(self, depth: int) -> Words:
        if depth == 0:
            raise self._error(f"at most {self._max_depth} levels")
        if self._take("keyword", "not"):
            return ("not", self._read_not(depth - 1))
        if self._take("sign", "("):
            inner = self.read_or(depth - 1)
            self.expect("sign", "a closing parenthesis", ")")
            return inner
        return self._read_condition()

    def _read_condition(self) -> Words:
        name = self.expect("name", "the name of a property or relation")
        kind, word, _ = self._tokens[self._at]
        if kind == "sign" and word in _SIGNS:
            self._at += 1
            return ("is", name, "==" if word == "=" else word, self._read_value())
        if self._take("keyword", "is"):
            negated = self._take("keyword", "not")
            self.expect("keyword", "null", "null")
            return ("not", ("null", name)) if negated else ("null", name)
        if self._take("keyword", "not"):
            self.expect("keyword", "in", "in")
            return ("not", ("is", name, "in", self._read_list()))
        for quantifier in ("in", "any", "all", "none"):
            if self._take("keyword", quantifier):
                return ("is", name, quantifier, self._read_list())
        return ("is", name, "==", True)

    def _read_list(self) -> tuple[Any, ...]:
        self.expect("sign", "a list in brackets", "[")
        values = [self._read_value()]
        while self._take("sign", ","):
            values.append(self._read_value())
        self.expect("sign", "a comma or a closing bracket", "]")
        return tuple(values)

    def _read_value(self) -> Any:
        for word, value in (("true", True), ("false", False)):
            if self._take("keyword", word):
                return value
        return self.expect("value", "a number, true, false, or a string in quotes")

    def _is(self, kind: str, word: str | None) -> bool:
        found_kind, found, _ = self._tokens[self._at]
        return found_kind == kind and word in (None, found)

    def _take(self, kind: str, word: str) -> bool:
        taken = self._is(kind, word)
        self._at += taken
        return taken

    def _error(self, expected: str) -> ConfigError:
        _, found, start = self._tokens[self._at]
        remedy = f"It stands at character {start + 1} of {self._text[max(0, start - 20) : start + 20]!r}."
        return ConfigError("filter", expected=expected, got=Shown(found), remedy=remedy)


def _tokens(text: str) -> list[tuple[str, Any, int]]:
    """(kind, value, where it starts) of each token: ``value``, ``name``, ``keyword``, ``sign``, and ``end`` at last."""
    found: list[tuple[str, Any, int]] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise ConfigError(
                "filter",
                expected="names, values in quotes, numbers and operators",
                got=text[at : at + 20].strip(),
                remedy=f"It stands at character {at + 1}. Put strings into quotes.",
            )
        kind = str(match.lastgroup)
        word = match[kind]
        start, at = match.start(kind), match.end()
        if kind == "number":
            found.append(("value", float(word), start))
        elif kind == "string":
            found.append(("value", re.sub(r"\\(.)", r"\1", word[1:-1]), start))
        elif kind == "name" and word.lower() in _KEYWORDS:
            found.append(("keyword", word.lower(), start))
        else:
            found.append(("name" if kind == "quoted" else kind, word, start))
    return [*found, ("end", "the end", len(text))]
