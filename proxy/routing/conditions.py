"""The conditions of a route besides host and path: method, scheme, listener, fields, query.

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
from typing import Literal

from proxy.config.model import When
from proxy.routing.demands import Conditions, Demand, Fields, parameters, text


@dataclass(frozen=True, slots=True)
class Failure:
    """The first condition that does not hold: where it looks, what it demands, what is there."""

    kind: Literal["method", "scheme", "listener", "grpc", "header", "query"]
    name: str  # of the field or parameter
    wanted: str
    value: str | None

    def text(self, wanted: str) -> str:
        """In words, with `wanted` as it may be shown."""
        if self.kind in ("method", "scheme", "listener"):
            return f"{self.kind} is {self.value or 'another'}, wanted {wanted}"
        if self.kind == "grpc":
            return f"it is {self.value} gRPC call"
        if self.value is None:
            return f"{self.kind} {self.name} is missing, wanted {wanted}"
        return f"{self.kind} {self.name} is {self.value!r}, wanted {wanted}"


def compile_when(when: When, denies: bool = False, grpc_web: bool = False) -> Conditions:
    """The conditions of `when`; ValueError for a regular expression that is none. `denies`: those
    of a route that denies; `grpc_web`: of one for which gRPC-Web is gRPC."""
    headers = [_demand(name.lower(), wanted) for name, wanted in when.header.items()]
    conditions = Conditions(
        frozenset(when.method) or None,
        tuple((demand.name.encode("utf-8"), demand) for demand in headers),
        tuple(_demand(name, wanted) for name, wanted in when.query.items()),
        denies,
    )
    conditions.scheme, conditions.listener = when.scheme, when.listener
    conditions.grpc, conditions.web = when.grpc, grpc_web
    return conditions


def first_failure(conditions: Conditions, method: str, query: str, head: Fields) -> Failure | None:
    """The first condition that fails, None if all hold."""
    if conditions.methods is not None and method not in conditions.methods:
        return Failure("method", "", " or ".join(sorted(conditions.methods)), method)
    if conditions.scheme is not None and conditions.scheme != head.scheme:
        return Failure("scheme", "", conditions.scheme, head.scheme)
    if conditions.listener and conditions.listener != head.listener:
        return Failure("listener", "", conditions.listener, head.listener)
    if conditions.grpc is not None and conditions.grpc is not conditions.is_call(head):
        return Failure("grpc", "", "", "no" if conditions.grpc else "a")
    for name, demand in conditions.headers:
        if not conditions.in_head(name, demand, head):
            raw = head.get(name)
            value = None if raw is None else text(raw)
            return Failure("header", demand.name, demand.wanted, value)
    for demand in conditions.query:
        if not conditions.in_query(demand, query):
            values = parameters(query, demand.name)
            value = values[0] if values else None
            return Failure("query", demand.name, demand.wanted, value)
    return None


def follow(these: Conditions, other: Conditions) -> bool:
    """Whether every request that meets `other` certainly meets `these`."""
    if these.methods is not None and not (other.methods and other.methods <= these.methods):
        return False
    if these.scheme is not None and these.scheme != other.scheme:
        return False
    if these.listener and these.listener != other.listener:
        return False
    if these.grpc is not None and (these.grpc, these.web) != (other.grpc, other.web):
        return False
    # one value among several says nothing about the whole, but that there is one
    loose = other.denies and not these.denies
    headers = {d.name: "*" if loose else d.wanted for _, d in other.headers}
    query = {d.name: "*" if loose else d.wanted for d in other.query}
    return all(_follows(d, headers.get(d.name)) for _, d in these.headers) and all(
        _follows(d, query.get(d.name)) for d in these.query
    )


def _follows(demand: Demand, wanted: str | None) -> bool:
    """Whether a value that meets `wanted` certainly meets the demand."""
    return wanted is not None and demand.wanted in ("*", wanted)


def _demand(name: str, wanted: str) -> Demand:
    if not wanted.startswith("~"):
        return Demand(name, wanted)
    try:
        return Demand(name, wanted, re.compile(wanted[1:]))
    except re.error as error:
        raise ValueError(f"{name}: {wanted!r} is not a regular expression: {error}") from None
