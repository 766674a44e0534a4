"""Who a workload is in a mesh: SPIFFE IDs, and patterns of them as the configuration writes them.

    spiffe://mesh/shop        trust domain "mesh", path "/shop" (SPIFFE-ID §2)

The grammar alone, for all who need it: a name that has no such form is nobody's, so that no
comparison ever meets two spellings of one. Upper case in a trust domain, percent-encoding, empty
segments and dot segments are therefore refused, and not made equal.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SCHEME = "spiffe://"
MOST = 2048  # bytes, SPIFFE-ID §2.3
MOST_DOMAIN = 255

_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


class SpiffeId(NamedTuple):
    """A trust domain and the path of a workload in it; "" is the trust domain itself."""

    domain: str
    path: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.domain}{self.path}"


def parse(text: str) -> SpiffeId:
    """The ID that `text` is; ValueError says which rule it breaks."""
    if len(text) > MOST:  # its characters are ASCII, or it is refused below
        raise ValueError(f"it is longer than {MOST} bytes")
    if not text.startswith(SCHEME):
        raise ValueError(f"it does not begin with {SCHEME}")
    domain, slash, rest = text[len(SCHEME) :].partition("/")
    check_domain(domain)
    for segment in rest.split("/") if slash else ():
        if not segment:
            raise ValueError("a segment of its path is empty")
        if segment in (".", ".."):
            raise ValueError(f"{segment!r} is no segment of a path")
        if _SEGMENT.fullmatch(segment) is None:
            raise ValueError("segments of its path have letters, digits and . - _ alone")
    return SpiffeId(domain, slash + rest)


def check_domain(domain: str) -> None:
    """ValueError if that is no trust domain."""
    if not domain:
        raise ValueError("it names no trust domain")
    if len(domain) > MOST_DOMAIN:
        raise ValueError(f"its trust domain is longer than {MOST_DOMAIN} bytes")
    if _DOMAIN.fullmatch(domain) is None:
        raise ValueError("trust domains have small letters, digits and . - _ alone")


class Pattern:
    """Whom a rule is for: "*" anybody, "spiffe://*" whoever has an ID, "spiffe://mesh/*" all of a
    trust domain, "spiffe://mesh/ns/*" all below a path, or one ID."""

    __slots__ = ("_domain", "_path", "_start", "text")

    def __init__(self, text: str) -> None:
        """ValueError says what is wrong with `text`."""
        self.text = text
        self._domain = self._path = self._start = ""
        if text in ("*", SCHEME + "*"):
            return
        if text.endswith("/*"):
            found = parse(text[:-2])
            self._start = found.path + "/"
        elif "*" in text:
            raise ValueError('"*" stands for whole segments at the end: "spiffe://mesh/shop/*"')
        else:
            found = parse(text)
            if not found.path:
                raise ValueError(f'it is a trust domain: "{text}/*" is all that are in it')
            self._path = found.path
        self._domain = found.domain

    def __repr__(self) -> str:
        return f"<Pattern {self.text}>"

    def holds(self, who: SpiffeId | None) -> bool:
        """`who`: None = somebody who has shown none."""
        if who is None or not self._domain:
            return self.text == "*" or who is not None
        if who.domain != self._domain:
            return False
        return who.path == self._path if self._path else who.path.startswith(self._start)
