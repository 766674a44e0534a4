"""Paths and Locations from templates, as requests need them: `rewrite.py` makes what makes them.

Captures are parts of a normalised path, percent-encoded as they came, and are written back that
way. Whatever is put together here is normalised again, and a dot segment that appears only then
is refused (Traefik GHSA-xf64-8mw2-4gr2, CVE-2026-65600). In a Location each value is encoded for
the place where it stands, so that it can neither end the field nor move to another host.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from proxy.errors import BadRequest
from proxy.http.path import renormalise

# What quote() leaves as it is, besides letters, digits and "-._~": RFC 3986 §3.3 and §3
PATH = "!$&'()*+,;=:@/%"
LITERAL = PATH + "?#[]"
_is_path = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/%-]*").fullmatch
_is_literal = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/%?#\[\]-]*").fullmatch
_label = re.compile(r"[A-Za-z0-9-]+").fullmatch


class Template:
    """Text with places to fill: literals[0] names[0] literals[1] names[1] … literals[-1]."""

    __slots__ = ("literals", "names")

    def __init__(self, literals: tuple[str, ...], names: tuple[str, ...]) -> None:
        self.literals = literals
        self.names = names

    def fill(self, values: dict[str, str], encode: bool = False) -> str:
        """`encode`: as it must be for what each value is in a path."""
        made = self.literals[0]
        for place, name in enumerate(self.names, 1):
            value = values.get(name, "")
            if encode and _is_path(value) is None:
                value = quote(value, safe=PATH)
            made += value + self.literals[place]
        return made


class PathMaker:
    """Makes the upstream's path of a request's and its captures."""

    __slots__ = ()

    def __call__(self, path: str, captures: dict[str, str]) -> str:
        return self.make(path, captures)

    def make(self, path: str, captures: dict[str, str]) -> str:
        raise NotImplementedError


class Filled(PathMaker):
    """A new path with captures in it."""

    __slots__ = ("_template",)

    def __init__(self, template: Template) -> None:
        self._template = template

    def make(self, path: str, captures: dict[str, str]) -> str:
        return renormalise(self._template.fill(captures) or "/")


class Stripped(PathMaker):
    """The path without its first segments, if these are they."""

    __slots__ = ("_start",)

    def __init__(self, start: str) -> None:
        self._start = start

    def make(self, path: str, captures: dict[str, str]) -> str:
        if not path.startswith(self._start):
            return path
        rest = path[len(self._start) :]
        # Whole segments only: what follows is a normal path, and nothing new can appear in it.
        return rest if rest.startswith("/") else path if rest else "/"


class Location:
    """A redirect's target in three parts, each of which has an encoding of its own. The request's
    query comes between the second and the third, where it is kept."""

    __slots__ = ("keeps_query", "origin", "path", "same_host", "tail")

    def __init__(self, parts: Sequence[Template], keeps_query: bool, same_host: bool) -> None:
        self.origin, self.path, self.tail = parts  # the tail has its "?" and "#"
        self.keeps_query = keeps_query
        self.same_host = same_host  # the origin's one name is the request's host

    def make(self, path: str, tail: str, captures: dict[str, str], host: str = "") -> str:
        query = tail[1:]
        values = {"path": path, "query": query, "host": host, **captures}
        if self.same_host and not host:
            raise BadRequest("the request names no host to be sent to")
        for name in () if self.same_host else self.origin.names:
            if not _label(values.get(name, "")):
                raise BadRequest("a part of the path cannot stand in a host name")
        where = self.path.fill(values, encode=True)
        if where or not self.origin.literals[0]:
            where = renormalise(where or "/")
        if self.keeps_query:
            where += tail if _is_literal(tail) is not None else quote(tail, safe=LITERAL)
        if not self.tail.names:
            return self.origin.fill(values) + where + self.tail.literals[0]
        # The path is a value here and is encoded once more; a capture is the encoded form already.
        inside = {"path": quote(path, safe="/"), "query": quote(query, safe=LITERAL)}
        inside.update((n, quote(v, safe="/%")) for n, v in captures.items())
        return self.origin.fill(values) + where + self.tail.fill(inside)
