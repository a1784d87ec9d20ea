"""As much of GraphQL as subgraph queries need: fields, aliases, arguments and variables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

DEPTH_MAX = 20

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\$?[A-Za-z_]\w*|-?\d+(?:\.\d+)?|[{}()\[\]:!=]')
_IGNORED = re.compile(r"(?:[\s,]|#[^\n]*)*")


class Field(NamedTuple):
    """A field asked for; its value goes under `key`."""

    key: str
    name: str
    arguments: dict[str, Any]
    fields: list[Field]


def parse(query: str, variables: Mapping[str, Any]) -> list[Field]:
    """Read a query; ValueError says what was expected and what was found."""
    return _Reader(query, variables).document()


def select(value: Any, fields: list[Field], kind: str) -> Any:
    """Return of a value what was asked for; ValueError names a field that it has not."""
    if isinstance(value, list):
        return [select(item, fields, kind) for item in value]
    if not isinstance(value, dict):
        return value
    if not fields:
        raise ValueError(f"expected a selection of fields of {kind}, found none")
    for field in fields:
        if field.name not in value:
            raise ValueError(f"Type `{kind}` has no field `{field.name}`")
    return {field.key: select(value[field.name], field.fields, field.name) for field in fields}


class _Reader:
    """Reads a query token by token."""

    def __init__(self, query: str, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._tokens = [*_tokens(query), ""]
        self._at = self._depth = 0

    def document(self) -> list[Field]:
        if self._next_is("query"):
            # A name, and the types of the variables: a list of names and texts.
            while self._tokens[self._at] not in ("{", ""):
                self._at += 1
        fields = self._selection()
        if self._tokens[self._at]:
            raise ValueError(f"expected one query, found {self._tokens[self._at]!r} after it")
        return fields

    def _selection(self) -> list[Field]:
        self._deeper("{")
        fields: list[Field] = []
        while not self._next_is("}"):
            key = name = self._name()
            if self._next_is(":"):
                name = self._name()
            arguments = self._pairs(")") if self._next_is("(") else {}
            nested = self._selection() if self._tokens[self._at] == "{" else []
            fields.append(Field(key, name, arguments, nested))
        self._depth -= 1
        return fields

    def _pairs(self, end: str) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        while not self._next_is(end):
            name = self._name()
            self._expect(":")
            pairs[name] = self._value()
        return pairs

    def _value(self) -> Any:
        token = self._tokens[self._at]
        if token == "{":
            return self._nested("{", lambda: self._pairs("}"))
        if token == "[":
            return self._nested("[", self._items)
        self._at += 1
        if token.startswith("$"):
            return self._variables.get(token[1:])
        if token.startswith('"') or token[:1].isdigit() or token.startswith("-"):
            return json.loads(token)
        if not token.isidentifier():
            raise ValueError(f"expected a value, found {token!r}")
        return {"true": True, "false": False, "null": None}.get(token, token)

    def _items(self) -> list[Any]:
        items = []
        while not self._next_is("]"):
            items.append(self._value())
        return items

    def _nested(self, start: str, read: Callable[[], Any]) -> Any:
        self._deeper(start)
        value = read()
        self._depth -= 1
        return value

    def _deeper(self, start: str) -> None:
        self._expect(start)
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ValueError(f"expected at most {DEPTH_MAX} levels, found more")

    def _name(self) -> str:
        token = self._tokens[self._at]
        if not token.isidentifier():
            raise ValueError(f"expected a name, found {token!r}")
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if not self._next_is(token):
            raise ValueError(f"expected {token!r}, found {self._tokens[self._at]!r}")

    def _next_is(self, token: str) -> bool:
        """Pass over the next token if it is this one."""
        found = self._tokens[self._at] == token
        self._at += found
        return found


def _tokens(query: str) -> list[str]:
    found, at = [], 0
    while (at := _IGNORED.match(query, at).end()) < len(query):  # type: ignore[union-attr]
        token = _TOKEN.match(query, at)
        if token is None:
            raise ValueError(f"expected GraphQL, found {query[at]!r}")
        found.append(token[0])
        at = token.end()
    return found
