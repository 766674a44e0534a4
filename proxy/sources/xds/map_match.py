"""RouteMatch -> the path, the host's conditions and methods of a route."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from proxy.routing.pattern import parse
from proxy.sources.xds.map_regex import map_regex
from proxy.sources.xds.reading import Reader, Refused, share_of, which

_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch


@dataclass(slots=True)
class Match:
    """The part of a route's table that says which requests it takes."""

    path: str
    method: list[str] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    grpc: bool = False

    def when(self) -> dict[str, Any]:
        said = {"method": self.method, "header": self.header, "query": self.query}
        when: dict[str, Any] = {key: value for key, value in said.items() if value}
        if self.grpc:
            when["grpc"] = True
        return when


def map_match(match: Any, reader: Reader) -> Match:
    """Refused for what cannot be said here."""
    reader.only(
        match, "prefix", "path", "safe_regex", "path_separated_prefix", "case_sensitive",
        "runtime_fraction", "headers", "query_parameters", "grpc",
    )  # fmt: skip
    if match.HasField("runtime_fraction") and share_of(match.runtime_fraction.default_value) < 1:
        raise Refused("RouteMatch.runtime_fraction is supported at 100 % only")
    made = Match(_path(match), grpc=match.HasField("grpc"))
    for header in match.headers:
        _header(header, made, reader)
    for query in match.query_parameters:
        _query(query, made, reader)
    try:
        parse(made.path)
    except ValueError as error:
        raise Refused(f"RouteMatch: {error}") from None
    return made


def demand_of(matcher: Any, reader: Reader) -> str:
    """A StringMatcher as a condition writes it."""
    reader.only(
        matcher, "exact", "prefix", "suffix", "safe_regex", "contains", "ignore_case"
    )  # fmt: skip
    kind = which(matcher, "match_pattern")
    if not kind or kind == "custom":
        raise Refused("StringMatcher needs exact, prefix, suffix, safe_regex or contains")
    if kind == "safe_regex":
        reader.only(matcher.safe_regex, "regex")
        return map_regex(matcher.safe_regex.regex)
    text: str = getattr(matcher, kind)
    if kind == "exact" and not matcher.ignore_case:
        return _exact(text)
    shape = {"exact": "{}", "prefix": "{}(?s:.*)", "suffix": "(?s:.*){}"}
    escaped = shape.get(kind, "(?s:.*){}(?s:.*)").format(re.escape(text))
    return f"~(?i:{escaped})" if matcher.ignore_case else "~" + escaped


def _path(match: Any) -> str:
    kind = which(match, "path_specifier")
    caseless = match.HasField("case_sensitive") and not match.case_sensitive.value
    if kind == "safe_regex":
        return map_regex(match.safe_regex.regex)
    if kind not in ("prefix", "path", "path_separated_prefix"):
        raise Refused(f"RouteMatch.{kind or 'path_specifier'} is not supported")
    text: str = getattr(match, kind)
    if caseless:
        end = {"path": "", "prefix": ".*"}.get(kind, "(?:/.*)?")
        return f"~(?i:{re.escape(text)}){end}"
    if kind == "path":
        return text if _PLAIN(text) else "~" + re.escape(text)
    if kind == "path_separated_prefix":
        return text.rstrip("/") + "/*" if _PLAIN(text) else f"~{re.escape(text)}(?:/.*)?"
    if text in ("", "/"):
        return "/*"
    if not text.startswith("/"):
        return f"~{re.escape(text)}.*"  # no path begins so, as the control plane may know
    return "^" + text if _PLAIN(text) else f"~{re.escape(text)}.*"


def _header(header: Any, made: Match, reader: Reader) -> None:
    reader.only(
        header, "name", "exact_match", "safe_regex_match", "present_match", "prefix_match",
        "suffix_match", "contains_match", "string_match", "invert_match",
    )  # fmt: skip
    name = header.name.lower()
    wanted = _header_demand(header, reader)
    if name.startswith(":"):
        _pseudo(name, wanted, made)
        return
    _add(made.header, name, wanted)


def _header_demand(header: Any, reader: Reader) -> str:
    kind = which(header, "header_match_specifier")
    if kind in ("", "present_match"):
        if (header.present_match if kind else True) == header.invert_match:
            raise Refused("HeaderMatcher: that a header must be absent is not supported")
        return "*"
    if kind == "string_match":
        wanted = demand_of(header.string_match, reader)
    elif kind == "safe_regex_match":
        wanted = map_regex(header.safe_regex_match.regex)
    else:
        wanted = _deprecated(kind, str(getattr(header, kind)))
    if not header.invert_match:
        return wanted
    body = wanted[1:] if wanted.startswith("~") else re.escape(wanted)
    return rf"~(?!(?:{body})\Z)(?s:.*)"  # a header that is missing fits neither here nor there


def _deprecated(kind: str, text: str) -> str:
    if kind == "exact_match":
        return _exact(text)
    shape = {"prefix_match": "~{}(?s:.*)", "suffix_match": "~(?s:.*){}"}
    return shape.get(kind, "~(?s:.*){}(?s:.*)").format(re.escape(text))


def _pseudo(name: str, wanted: str, made: Match) -> None:
    if name != ":method":
        raise Refused(f"HeaderMatcher for {name} is not supported")
    alternatives = wanted.removeprefix("~").strip("^$()").split("|")
    if not all(re.fullmatch(r"[A-Z]+", one) for one in alternatives):
        raise Refused(f"HeaderMatcher for :method is supported for names of methods, not {wanted}")
    made.method = [m for m in alternatives if not made.method or m in made.method]
    if not made.method:
        raise Refused("HeaderMatcher for :method: no method fits all of them")


def _query(query: Any, made: Match, reader: Reader) -> None:
    reader.only(query, "name", "string_match", "present_match")
    kind = which(query, "query_parameter_match_specifier")
    if kind == "present_match" and not query.present_match:
        raise Refused("QueryParameterMatcher.present_match = false is not supported")
    _add(
        made.query,
        query.name,
        demand_of(query.string_match, reader) if kind == "string_match" else "*",
    )


def _add(demands: dict[str, str], name: str, wanted: str) -> None:
    """A second demand on the same name: both must hold."""
    known = demands.get(name, "*")
    if known == "*" or known == wanted:
        demands[name] = wanted
    elif wanted != "*":
        bodies = [d[1:] if d.startswith("~") else re.escape(d) for d in (known, wanted)]
        demands[name] = rf"~(?=(?:{bodies[0]})\Z)(?:{bodies[1]})"


def _exact(text: str) -> str:
    return "~" + re.escape(text) if text.startswith("~") or text == "*" else text
