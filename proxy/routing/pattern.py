"""What may stand behind `path` and `host` of a route, parsed and checked.

Owns the grammar alone: the table knows which pattern wins, the configuration knows whose it is.

    /api/orders          exact; a slash at the end makes another path
    /api/{id}            template: {name} is one whole segment that is not empty
    /api/*               prefix of whole segments: /api, /api/ and /api/x, never /apix; may
                         hold {name}
    ^/api                whatever begins so, /api, /api/x and /apix: as sources write it
    ~^/v[0-9]+/.*$       regular expression over the whole path (as if between ^ and $), named
                         groups are captures
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Literal
from urllib.parse import quote

from proxy.errors import BadRequest
from proxy.http.path import normalise

Kind = Literal["exact", "template", "prefix", "start", "regex"]

REST = "*"  # the capture that holds what a prefix left: "", "/" or "/x/y"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PLAIN = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")  # normal as it is, and no dot segment
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed path pattern. `template` is what http.route says: the text of the file."""

    kind: Kind
    template: str
    segments: tuple[str, ...] = ()  # without the leading slash; a capture is "{name}"; no "*"
    captures: tuple[str, ...] = ()  # in order; REST comes last
    regex: re.Pattern[str] | None = None
    start: str = ""  # what begins all that a "start" fits, as text and not as segments

    @property
    def path(self) -> str:
        """The segments as a path: all of an exact pattern, what precedes /* of a prefix, and what
        begins all that a start fits."""
        if self.start:
            return self.start
        return "/" + "/".join(self.segments) if self.segments else ""


def parse(path: str) -> Pattern:
    """The pattern that `path` writes; ValueError says what is wrong and what to write instead."""
    if path.startswith("~"):
        return _regex(path)
    if path.startswith("^"):
        return _start(path)
    if not path.startswith("/"):
        raise ValueError(f'{path!r} must begin with "/", or with "~" for a regular expression')
    prefix = path.endswith("/*")
    segments = tuple(_segment(s, path) for s in _split(path[:-2] if prefix else path))
    if "" in (segments if prefix else segments[:-1]):
        raise ValueError(f'{path!r} can never match: "//" is merged before')
    captures = tuple(s[1:-1] for s in segments if is_capture(s))
    if len(set(captures)) < len(captures):
        raise ValueError(f"{path!r} uses the name of a capture twice")
    if prefix:
        return Pattern("prefix", path, segments, (*captures, REST))
    return Pattern("template" if captures else "exact", path, segments, captures)


def is_capture(segment: str) -> bool:
    """Whether a segment of a Pattern is a "{name}"; literal braces are percent-encoded there."""
    return segment.startswith("{")


def parse_host(host: str) -> str:
    """ "shop.example" in lower case, ".example.com" for "*.example.com", "" for "*".

    An IPv6 address loses its brackets, a name the root's dot: both in the one spelling that
    requests are normalised to. ValueError if it is none of these.
    """
    text = host.lower()
    if text == "*":
        return ""
    text = text.removesuffix(".")
    name = text[2:] if text.startswith("*.") else text
    if name.startswith("[") and name.endswith("]"):
        return _ipv6(name[1:-1], host)
    if ":" in name or "/" in name:
        raise ValueError(f"{host!r} is not a host: write the name alone, no port, scheme or path")
    if "*" in name:
        raise ValueError(
            f'{host!r}: "*" stands only for whole labels at the front, "*.example.com"'
        )
    if not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f'{host!r} is not a host name: write "shop.example" or "*.example.com"')
    return "." + name if text.startswith("*.") else name


def _ipv6(text: str, host: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise ValueError(f'{host!r} is not an IPv6 address: write "[2001:db8::1]"') from None


def _regex(path: str) -> Pattern:
    try:
        regex = re.compile(path[1:], re.ASCII)
    except re.error as error:
        raise ValueError(f"{path!r} is not a regular expression: {error}") from None
    names = sorted(regex.groupindex, key=regex.groupindex.__getitem__)
    return Pattern("regex", path, captures=tuple(names), regex=regex)


def _start(path: str) -> Pattern:
    text = path[1:]
    if not text.startswith("/"):
        raise ValueError(f'{path!r} must go on with "/": "^/api" fits whatever begins with /api')
    if "{" in text or "*" in text:
        raise ValueError(f"{path!r}: what follows ^ is text, without captures and *")
    try:
        clean = normalise(quote(text, safe="/%!$&'()*+,;=:@\\#?"))
    except BadRequest as error:
        raise ValueError(f"{path!r} can never match: {error.detail}") from None
    if clean.count("/") != text.count("/"):
        raise ValueError(f'{path!r} can never match: "//" and dot segments are resolved before')
    return Pattern("start", clean + "*", captures=(REST,), start=clean)


def _split(path: str) -> list[str]:
    return path[1:].split("/") if path else []


def _segment(text: str, path: str) -> str:
    """A segment as it stands in a normalised path, or "{name}"."""
    if _PLAIN.fullmatch(text):
        return text
    if text.startswith("{") and text.endswith("}"):
        if not _NAME.fullmatch(text[1:-1]):
            raise ValueError(f"{text!r} in {path!r} is not a capture: write {{id}}")
        return text
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r} in {path!r}: a capture is a whole segment, as in /api/{{id}}")
    if "*" in text:
        raise ValueError(
            f'{path!r}: "*" stands only at the end, after a slash; one segment is {{id}}'
        )
    if not text:
        return text
    try:
        clean = normalise("/" + quote(text, safe="%!$&'()*+,;=:@\\#?"))[1:]
    except BadRequest as error:
        raise ValueError(f"{path!r} can never match: {error.detail}") from None
    if not clean:
        raise ValueError(f"{path!r} can never match: dot segments are resolved before")
    return clean
