"""What requests a match of a route means, and which of two matches that both fit counts.

https://gateway-api.sigs.k8s.io/reference/spec/ (HTTPRouteRule.matches, GRPCRouteRule.matches):
an exact path, then the longest prefix, then a method, then more header fields, then more query
parameters; then the older route, then its name, then the rule that stands first. Regular
expressions come after prefixes here. Hosts are compared before all of this, by the gateway.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from proxy.config.syntax import is_token
from proxy.config.words.paths import written_here
from proxy.routing.pattern import parse
from proxy.sources.kubernetes.objects import GrpcMatch, HttpMatch, ValueMatch

EXACT, PREFIX, REGEX = range(3)
METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
)
_SERVICE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
Table = dict[str, Any]
Rank = tuple[Any, ...]


class Unsupported(ValueError):
    """What a route says that this gateway cannot do, by its name."""


class Match(NamedTuple):
    """One way in."""

    path: str  # as `path` of a route
    when: Table
    rank: Rank  # the lower one counts
    prefix: str | None = None  # what a path prefix is, without a slash at its end


def http(match: HttpMatch) -> Match:
    """Unsupported if it means nothing here."""
    kind, path, prefix = _path(match.path.type, match.path.value)
    when: Table = {}
    if match.method:
        if match.method not in METHODS:
            raise Unsupported(f"method {match.method} is not supported")
        when["method"] = [match.method]
    headers = _values(match.headers, "header", lower=True)
    query = _values(match.query_params, "query parameter", lower=False)
    when |= {"header": headers} if headers else {}
    when |= {"query": query} if query else {}
    length = len(match.path.value if prefix is None else prefix)
    return Match(
        path, when, (1, kind, -length, not match.method, -len(headers), -len(query)), prefix
    )


def grpc(match: GrpcMatch) -> Match:
    """Calls are told by their content type besides."""
    said = match.method
    service, method = said.service, said.method
    headers = _values(match.headers, "header", lower=True)
    when: Table = {"grpc": True, **({"header": headers} if headers else {})}
    rank = (0, -len(service), -len(method), -len(headers), 0, 0)
    if said.type == "RegularExpression":
        text = f"~/{_group(service, '[^/]+')}/{_group(method, '[^/]+')}"
        _compiled(text)
        return Match(text, when, (0, 1, *rank[1:5]))
    if said.type != "Exact":
        raise Unsupported(f"method match of type {said.type} is not supported")
    for name in filter(None, (service, method)):
        if _SERVICE.fullmatch(name) is None:
            raise Unsupported(f"{name!r} is no name of a service or method")
    path = f"/{service or '{service}'}/{method}" if method else f"/{service}/*"
    return Match(path if service or method else "/*", when, (0, 0, *rank[1:5]))


def _path(kind: str, value: str) -> tuple[int, str, str | None]:
    """(how special, as this gateway writes it, the prefix)."""
    if not value.startswith("/") and kind != "RegularExpression":
        raise Unsupported(f"path {value!r} does not begin with a slash")
    if kind == "Exact":
        return EXACT, _literal(value, value, "~" + re.escape(value)), None
    if kind == "PathPrefix":
        prefix = value.rstrip("/")
        spelled = "~" + re.escape(prefix) + "(?P<rest>/.*)?"
        return PREFIX, _literal(prefix + "/*", value, spelled), prefix
    if kind == "RegularExpression":
        _compiled("~" + value)
        return REGEX, "~" + value, None
    raise Unsupported(f"path match of type {kind} is not supported")


def _literal(written: str, value: str, otherwise: str) -> str:
    """A path that means itself; one with characters that are special here as an expression."""
    if not set("{}*").isdisjoint(value) or written_here(written) is not None:
        _compiled(otherwise)
        return otherwise
    try:
        parse(written)
    except ValueError as error:
        raise Unsupported(f"path {value!r}: {error}") from None
    return written


def _compiled(text: str) -> None:
    try:
        re.compile(text[1:], re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise Unsupported(f"{text[1:]!r} is no regular expression: {error}") from None


def _group(text: str, otherwise: str) -> str:
    return f"(?:{text})" if text else otherwise


def _values(matches: Sequence[ValueMatch], what: str, lower: bool) -> dict[str, str]:
    """By name; of several for one name the first counts, as it must."""
    found: dict[str, str] = {}
    for match in matches:
        name = match.name.lower() if lower else match.name
        if not name or (lower and not is_token(name)):
            raise Unsupported(f"{name!r} is no name of a {what}")
        if match.type == "Exact":
            special = match.value == "*" or match.value.startswith("~")
            value = "~" + re.escape(match.value) if special else match.value
        elif match.type == "RegularExpression":
            value = "~" + match.value
            _compiled(value)
        else:
            raise Unsupported(f"{what} match of type {match.type} is not supported")
        found.setdefault(name, value)
    return found
