"""What requests are asked about themselves where a route has conditions; `conditions.py` has the
rules, and makes these from the file."""

from __future__ import annotations

import re
from typing import Protocol
from urllib.parse import unquote_plus

from proxy.http.grpc import is_grpc
from proxy.http.grpc_web import kind_of


class Fields(Protocol):
    """The part of a head that conditions read; `name` in lower case."""

    @property
    def scheme(self) -> str: ...
    @property
    def listener(self) -> str: ...

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
            return self.regex.fullmatch(text(value)) is not None
        return self._is_any or self._raw == value


class Conditions:
    """A compiled `when`. `methods` is None where any will do."""

    __slots__ = ("denies", "grpc", "headers", "listener", "methods", "query", "scheme", "web")

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
        self.scheme: str | None = None  # of the client's connection, None = any
        self.listener = ""  # its name, "" = any
        self.grpc: bool | None = None  # whether it must be a gRPC call, None = any
        self.web = False  # gRPC-Web is one too

    def __len__(self) -> int:
        said = (self.methods is not None) + (self.scheme is not None) + (self.listener != "")
        said += self.grpc is not None
        return said + len(self.headers) + len(self.query)

    def hold(self, method: str, query: str, head: Fields) -> bool:
        if self.methods is not None and method not in self.methods:
            return False
        if self.scheme is not None and self.scheme != head.scheme:
            return False
        if self.listener and self.listener != head.listener:
            return False
        if self.grpc is not None and self.grpc is not self.is_call(head):
            return False
        for name, demand in self.headers:
            if not self.in_head(name, demand, head):
                return False
        for demand in self.query:  # noqa: SIM110 - a generator costs more than most of these
            if not self.in_query(demand, query):
                return False
        return True

    def is_call(self, head: Fields) -> bool:
        """Whether it is a gRPC call, as far as its head says."""
        content_type = head.get(b"content-type")
        if self.web and kind_of(content_type):
            return True
        return is_grpc(content_type)

    def in_head(self, name: bytes, demand: Demand, head: Fields) -> bool:
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

    def in_query(self, demand: Demand, query: str) -> bool:
        for value in parameters(query, demand.name, all_of_them=self.denies):
            if demand.holds(value):
                return True
        return False


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


def text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
