"""What a route makes of a path: another path for the upstream, or a Location for the client.

Owns how the file writes them, and what is wrong there; `maker.py` has what requests are made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from proxy.config.model import Redirect, Rewrite, Route
from proxy.errors import BadRequest
from proxy.http.path import renormalise
from proxy.routing.maker import LITERAL, Filled, Location, PathMaker, Stripped, Template
from proxy.routing.pattern import REST, Pattern, parse

LocationMaker = Callable[[str, str, dict[str, str], str], str]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# {path} and {*} begin with a slash, and end the origin as one does.
_LOCATION = re.compile(
    r"(https?://(?:[^/?#{]|\{(?!(?:path|\*)\})[^/?#{]*)*)?([^?#]*)(.*)", re.DOTALL
)
_rooted = re.compile(r"/(?!/)|\{path\}|\{\*\}").match
_SAME_HOST = re.compile(r"https?://\{host\}(?::[0-9]{1,5})?", re.IGNORECASE)


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
    first = parse_template(origin, names)
    second, third = (parse_template(part, allowed) for part in (path, tail))
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


def parse_template(text: str, allowed: Sequence[str] | None) -> Template:
    """ValueError for braces that name nothing in `allowed`."""
    pieces = _PLACEHOLDER.split(text)
    names = pieces[1::2]
    unknown = [] if allowed is None else [n for n in names if n not in allowed]
    if unknown or any("{" in literal or "}" in literal for literal in pieces[::2]):
        known = ", ".join(f"{{{n}}}" for n in allowed or ()) or "none"
        raise ValueError(f"{text!r} names what the path does not capture; known here: {known}")
    return Template(tuple(quote(piece, safe=LITERAL) for piece in pieces[::2]), tuple(names))


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
    template = parse_template(text, pattern.captures)
    try:
        renormalise(template.fill({n: "/x" if n == REST else "x" for n in pattern.captures}))
    except BadRequest as error:
        raise ValueError(f"the new path {text!r} cannot be used: {error.detail}") from None
    return template


def _with_rest(path: str) -> str:
    """ "/v2/*" is a short form of "/v2{*}"."""
    return path[:-2] + "{*}" if path.endswith("/*") else path
