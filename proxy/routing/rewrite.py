"""What a route makes of a path: another path for the upstream, or a Location for the client.

Captures are parts of a normalised path, percent-encoded as they came, and are written back that
way. Whatever is put together here is normalised again, and a dot segment that appears only then
is refused (Traefik GHSA-xf64-8mw2-4gr2, CVE-2026-65600). In a Location each value is encoded for
the place where it stands, so that it can neither end the field nor move to another host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from proxy.config.model import Redirect, Rewrite, Route
from proxy.errors import BadRequest
from proxy.http.path import renormalise
from proxy.routing.pattern import REST, Pattern, parse

LocationMaker = Callable[[str, str, dict[str, str], str], str]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# {path} and {*} begin with a slash, and end the origin as one does.
_LOCATION = re.compile(
    r"(https?://(?:[^/?#{]|\{(?!(?:path|\*)\})[^/?#{]*)*)?([^?#]*)(.*)", re.DOTALL
)
_rooted = re.compile(r"/(?!/)|\{path\}|\{\*\}").match
_SAME_HOST = re.compile(r"https?://\{host\}(?::[0-9]{1,5})?", re.IGNORECASE)
_label = re.compile(r"[A-Za-z0-9-]+").fullmatch
# What quote() leaves as it is, besides letters, digits and "-._~": RFC 3986 §3.3 and §3
_PATH = "!$&'()*+,;=:@/%"
_LITERAL = _PATH + "?#[]"
_is_path = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/%-]*").fullmatch
_is_literal = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/%?#\[\]-]*").fullmatch


def compile_rewrite(route: Route) -> PathMaker | None:
    """(path, captures) -> the upstream's path; None if the route rewrites nothing.

    The maker raises BadRequest if the new path is no normal one. ValueError, from here, for a
    rewrite that is wrong in itself: no or several of strip, prefix, path, or an unknown capture.
    """
    rewrite = route.rewrite
    if rewrite is None:
        return None
    if sum(part is not None for part in (rewrite.strip, rewrite.prefix, rewrite.path)) != 1:
        raise ValueError("a rewrite is one of strip, prefix and path")
    if rewrite.strip is not None:
        return _stripper(rewrite.strip)
    return Filled(_path_template(rewrite, parse(route.path)))


def compile_redirect(redirect: Redirect, captures: Sequence[str] | None = None) -> LocationMaker:
    """(path, tail, captures, host) -> the Location; `tail` is the query with its "?", or "".

    The maker raises BadRequest as above. `captures` are the names that the route's pattern has,
    and ValueError says that `to` uses another one; None leaves that unchecked, and what is not
    there is filled with nothing. A capture called "path", "query" or "host" hides the request's
    own. "https://{host}" is the host that was asked for, without its port.
    """
    to, keeps_query = _query_of(redirect.to, captures or ())
    parts = _LOCATION.fullmatch(to)
    assert parts is not None  # each of its groups may be empty
    origin, path, tail = parts[1] or "", _with_rest(parts[2]), parts[3]
    if not origin and not _rooted(path):
        raise ValueError(f'{redirect.to!r} must begin with "https://", "http://" or one "/"')
    allowed = None if captures is None else (*captures, "path", "query")
    same_host = "host" not in (captures or ()) and _SAME_HOST.fullmatch(origin) is not None
    names = allowed if allowed is None or not same_host else (*allowed, "host")
    first = Template.parse(origin, names)
    second, third = (Template.parse(part, allowed) for part in (path, tail))
    location = Location((first, second, third), keeps_query, same_host)
    if not same_host and not all(literal.startswith(".") for literal in first.literals[1:]):
        raise ValueError(f'{redirect.to!r}: in a host a capture is a label before a "."')
    try:
        location.make("/x", "", {n: "/x" if n == REST else "x" for n in captures or ()}, "x")
    except BadRequest as error:
        if captures is not None:
            raise ValueError(f"{redirect.to!r} cannot be used: {error.detail}") from None
    return location.make


def glues_query(to: str, captures: Sequence[str]) -> bool:
    """Whether `to` puts the request's query where no "?" precedes it: "{path}{query}"."""
    return "query" not in captures and "{query}" in to.partition("?")[0]


def _query_of(to: str, captures: Sequence[str]) -> tuple[str, bool]:
    """`to` without what stands for the request's query as a whole, and whether that is kept.

    It is, as servers and browsers would have it, unless `to` has a query of its own, be it the
    empty one of "/new?". "{?query}" says so, and "?{query}" means the same.
    """
    asked = ["{?query}"] if "query" in captures else ["{?query}", "?{query}"]
    for text in asked:
        before, found, after = to.partition(text)
        if found and "?" not in before and "#" not in before and after[:1] in ("", "#"):
            return before + after, True
    if "{?query}" in to:
        raise ValueError(f'{to!r}: {{?query}} stands at the end or before "#", without another "?"')
    before, mark, fragment = to.partition("?")
    if mark and fragment[:1] in ("", "#"):
        return before + fragment, False
    return to, not mark and not glues_query(to, captures)


class Template:
    """Text with places to fill: literals[0] names[0] literals[1] names[1] … literals[-1]."""

    __slots__ = ("literals", "names")

    def __init__(self, literals: tuple[str, ...], names: tuple[str, ...]) -> None:
        self.literals = literals
        self.names = names

    @classmethod
    def parse(cls, text: str, allowed: Sequence[str] | None) -> Template:
        """ValueError for braces that name nothing in `allowed`."""
        pieces = _PLACEHOLDER.split(text)
        names = pieces[1::2]
        unknown = [] if allowed is None else [n for n in names if n not in allowed]
        if unknown or any("{" in literal or "}" in literal for literal in pieces[::2]):
            known = ", ".join(f"{{{n}}}" for n in allowed or ()) or "none"
            raise ValueError(f"{text!r} names what the path does not capture; known here: {known}")
        return cls(tuple(quote(piece, safe=_LITERAL) for piece in pieces[::2]), tuple(names))

    def fill(self, values: dict[str, str], encode: bool = False) -> str:
        """`encode`: as it must be for what each value is in a path."""
        made = self.literals[0]
        for place, name in enumerate(self.names, 1):
            value = values.get(name, "")
            if encode and _is_path(value) is None:
                value = quote(value, safe=_PATH)
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
            where += tail if _is_literal(tail) is not None else quote(tail, safe=_LITERAL)
        if not self.tail.names:
            return self.origin.fill(values) + where + self.tail.literals[0]
        # The path is a value here and is encoded once more; a capture is the encoded form already.
        inside = {"path": quote(path, safe="/"), "query": quote(query, safe=_LITERAL)}
        inside.update((n, quote(v, safe="/%")) for n, v in captures.items())
        return self.origin.fill(values) + where + self.tail.fill(inside)


def _stripper(prefix: str) -> PathMaker:
    if parse(prefix).kind != "exact":
        raise ValueError(f"strip = {prefix!r}: write it out, without captures and /*")
    return Stripped(parse(prefix).path.rstrip("/"))


def _path_template(rewrite: Rewrite, pattern: Pattern) -> Template:
    """The template of `prefix` or `path`, tried out once so that its own faults show at start."""
    if rewrite.path is not None:
        text = _with_rest(rewrite.path)
    else:
        text = (rewrite.prefix or "").rstrip("/") + "{*}"
        if pattern.kind != "prefix":
            raise ValueError(
                "rewrite.prefix needs a path that ends in /*: it replaces what precedes"
            )
    if not text.startswith("/") and text != "{*}":
        raise ValueError(f'the new path {text!r} does not begin with "/"')
    template = Template.parse(text, pattern.captures)
    try:
        renormalise(template.fill({n: "/x" if n == REST else "x" for n in pattern.captures}))
    except BadRequest as error:
        raise ValueError(f"the new path {text!r} cannot be used: {error.detail}") from None
    return template


def _with_rest(path: str) -> str:
    """ "/v2/*" is a short form of "/v2{*}"."""
    return path[:-2] + "{*}" if path.endswith("/*") else path
