"""The conditions of a route besides host and path: method, header fields, query.

All must hold. Values are compared whole: "1" is equal to "1" only, "*" is any value, "~regex"
must match from the first to the last character.

A field or parameter may come several times, and readers behind the gateway differ in which one
they go by. So a route that lets pass must be sure, and one that denies need only suspect:

- all lines of a field count as one value, joined with ", ", and of a parameter the first one
  counts: a second copy beside it satisfies no condition on its own
- where the route denies (it responds with 400 or more, or redirects), it is also enough that one
  line holds, one member of a list, or one of the parameters: a second copy hides nothing from it
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import unquote_plus

from proxy.config.model import When


class Fields(Protocol):
    """The part of a head that conditions read; `name` in lower case."""

    def get(self, name: bytes) -> bytes | None: ...
    def each(self, name: bytes) -> list[bytes]: ...


class Demand:
    """What one header field or query parameter must be."""

    __slots__ = ("_is_any", "_raw", "name", "regex", "wanted")

    def __init__(self, name: str, wanted: str, regex: re.Pattern[str] | None = None) -> None:
        self.name = name
        self.wanted = wanted  # as written in the file
        self.regex = regex
        self._is_any = regex is None and wanted == "*"
        self._raw = wanted.encode("utf-8", "surrogateescape")

    def holds(self, value: str | None) -> bool:
        if value is None:
            return False
        if self.regex is not None:
            return self.regex.fullmatch(value) is not None
        return self._is_any or self.wanted == value

    def holds_raw(self, value: bytes | None) -> bool:
        """As `holds`, for a field's value, which only a regular expression needs as a text."""
        if value is None:
            return False
        if self.regex is not None:
            return self.regex.fullmatch(_text(value)) is not None
        return self._is_any or self._raw == value

    def follows_from(self, wanted: str | None) -> bool:
        """Whether a value that meets `wanted` certainly meets this demand."""
        return wanted is not None and self.wanted in ("*", wanted)


@dataclass(frozen=True, slots=True)
class Failure:
    """The first condition that does not hold: where it looks, what it demands, what is there."""

    kind: Literal["method", "header", "query"]
    name: str  # of the field or parameter
    wanted: str
    value: str | None

    def text(self, wanted: str) -> str:
        """In words, with `wanted` as it may be shown."""
        if self.kind == "method":
            return f"method is {self.value}, wanted {wanted}"
        if self.value is None:
            return f"{self.kind} {self.name} is missing, wanted {wanted}"
        return f"{self.kind} {self.name} is {self.value!r}, wanted {wanted}"


class Conditions:
    """A compiled `when`. `methods` is None where any will do."""

    __slots__ = ("denies", "headers", "methods", "query")

    def __init__(
        self,
        methods: frozenset[str] | None,
        headers: tuple[tuple[bytes, Demand], ...],
        query: tuple[Demand, ...],
        denies: bool = False,
    ) -> None:
        self.methods = methods
        self.headers = headers
        self.query = query
        self.denies = denies  # one of several values is enough

    def __len__(self) -> int:
        return (self.methods is not None) + len(self.headers) + len(self.query)

    def hold(self, method: str, query: str, head: Fields) -> bool:
        if self.methods is not None and method not in self.methods:
            return False
        for name, demand in self.headers:
            if not self._in_head(name, demand, head):
                return False
        for demand in self.query:  # noqa: SIM110 - a generator costs more than most of these
            if not self._in_query(demand, query):
                return False
        return True

    def failure(self, method: str, query: str, head: Fields) -> Failure | None:
        """The first condition that fails, None if all hold."""
        if self.methods is not None and method not in self.methods:
            return Failure("method", "", " or ".join(sorted(self.methods)), method)
        for name, demand in self.headers:
            if not self._in_head(name, demand, head):
                raw = head.get(name)
                value = None if raw is None else _text(raw)
                return Failure("header", demand.name, demand.wanted, value)
        for demand in self.query:
            if not self._in_query(demand, query):
                values = parameters(query, demand.name)
                value = values[0] if values else None
                return Failure("query", demand.name, demand.wanted, value)
        return None

    def _in_head(self, name: bytes, demand: Demand, head: Fields) -> bool:
        if demand.holds_raw(head.get(name)):
            return True
        if not self.denies:
            return False
        for line in head.each(name):  # one of them is enough, or one member of a list in them
            if demand.holds_raw(line):
                return True
            for member in line.split(b","):
                if demand.holds_raw(member.strip()):
                    return True
        return False

    def _in_query(self, demand: Demand, query: str) -> bool:
        for value in parameters(query, demand.name, all_of_them=self.denies):
            if demand.holds(value):
                return True
        return False

    def follow_from(self, other: Conditions) -> bool:
        """Whether every request that meets `other` certainly meets these."""
        if self.methods is not None and not (other.methods and other.methods <= self.methods):
            return False
        # one value among several says nothing about the whole, but that there is one
        loose = other.denies and not self.denies
        headers = {d.name: "*" if loose else d.wanted for _, d in other.headers}
        query = {d.name: "*" if loose else d.wanted for d in other.query}
        return all(d.follows_from(headers.get(d.name)) for _, d in self.headers) and all(
            d.follows_from(query.get(d.name)) for d in self.query
        )


def compile_when(when: When, denies: bool = False) -> Conditions:
    """The conditions of `when`; ValueError for a regular expression that is none. `denies`: those
    of a route that denies."""
    headers = [_demand(name.lower(), wanted) for name, wanted in when.header.items()]
    return Conditions(
        frozenset(when.method) or None,
        tuple((demand.name.encode("utf-8"), demand) for demand in headers),
        tuple(_demand(name, wanted) for name, wanted in when.query.items()),
        denies,
    )


def parameters(query: str, name: str, all_of_them: bool = False) -> list[str]:
    """The decoded values of the parameters called `name`, in order; else the first alone.

    Where one counts it is the first, as the Gateway API recommends for repeated parameters.
    """
    found: list[str] = []
    for piece in query.split("&"):
        key, _, value = piece.partition("=")
        if key == name or (_is_encoded(key) and unquote_plus(key) == name):
            found.append(unquote_plus(value) if _is_encoded(value) else value)
            if not all_of_them:
                break
    return found


def _is_encoded(text: str) -> bool:
    return "%" in text or "+" in text


def _demand(name: str, wanted: str) -> Demand:
    if not wanted.startswith("~"):
        return Demand(name, wanted)
    try:
        return Demand(name, wanted, re.compile(wanted[1:]))
    except re.error as error:
        raise ValueError(f"{name}: {wanted!r} is not a regular expression: {error}") from None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
