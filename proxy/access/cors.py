"""Which pages of other origins may read answers: CORS by the Fetch standard (§3.3, §4.8).

A request is never refused here. What is not allowed gets an answer without the lines that would
let a page read it, and the browser does the rest. Whoever asks is a stranger: an Origin that is
not written as browsers write origins matches nothing, and is neither echoed nor remembered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from proxy.config.access_model import Cors
from proxy.config.origins import LONGEST, SERIALISED, parse_origin
from proxy.http.head import Pair, RequestHead

# What only the gateway says on such a route: browsers refuse answers where one comes twice.
DROPS = frozenset(
    {
        b"access-control-allow-origin",
        b"access-control-allow-credentials",
        b"access-control-allow-methods",
        b"access-control-allow-headers",
        b"access-control-allow-private-network",
        b"access-control-expose-headers",
        b"access-control-max-age",
    }
)
SAFE_METHODS = frozenset({b"GET", b"HEAD", b"POST"})  # CORS-safelisted: need not be listed
_NOT_COVERED = b"authorization"  # CORS non-wildcard request-header name: "*" leaves it out

_MOST = 1024  # origins that are remembered, which have matched; then all are forgotten
_LONGEST_ASKED = 4096  # bytes of Access-Control-Request-Headers that are read
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_METHOD = b"access-control-request-method"
_HEADERS = b"access-control-request-headers"
_PRIVATE = b"access-control-request-private-network"
_VARY: Pair = (b"vary", b"Origin")
_VARY_PREFLIGHT = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
_VARY_PRIVATE = _VARY_PREFLIGHT + b", Access-Control-Request-Private-Network"


class Policy:
    """The `cors` of one route, ready for requests."""

    __slots__ = (
        "_allow_headers", "_allow_methods", "_always", "_any", "_any_header", "_any_method",
        "_credentials", "_exact", "_expose", "_headers", "_known", "_max_age", "_methods",
        "_pattern", "_private", "drops",
    )  # fmt: skip

    def __init__(self, said: Cors) -> None:
        """Raises ValueError for an origin that is none."""
        origins = [parse_origin(text) for text in said.origins]
        self.drops = DROPS
        self._credentials = said.credentials
        self._any = any(origin.is_any for origin in origins) and not said.credentials
        self._exact = frozenset(origin.exact for origin in origins if origin.exact)
        patterns = [origin.pattern for origin in origins if origin.pattern]
        self._pattern = _either(patterns)
        self._methods, self._any_method = _set(said.methods)
        self._allow_methods = _listed(said.methods)
        self._headers, self._any_header = _set([name.lower() for name in said.headers])
        self._allow_headers = _listed(said.headers)
        self._expose = _listed(said.expose)
        self._max_age = b"%d" % int(said.max_age)
        self._private = said.private_network
        self._known: dict[bytes, tuple[Pair, ...]] = {}
        self._always: tuple[Pair, ...] = (_VARY,)
        if self._any:
            self._always = (_VARY, *self._readable(b"*"))

    def lines(self, origin: bytes | None) -> list[Pair]:
        """The lines of an answer to a request of that origin, None = it names none; a list of the
        caller's own."""
        if origin is None or self._any:
            return [*self._always]
        known = self._known.get(origin)
        if known is None:
            if not self._matches(origin):
                return [*self._always]
            if len(self._known) >= _MOST:
                self._known.clear()
            known = self._known[origin] = (_VARY, *self._readable(origin))
        return [*known]

    def is_preflight(self, head: RequestHead) -> bool:
        """Whether it is the browser that asks, before the page's own request (§4.8)."""
        return (
            head.method == "OPTIONS"
            and head.get(_METHOD) is not None
            and head.get(b"origin") is not None
        )

    def preflight(self, head: RequestHead) -> list[Pair]:
        """The lines of the answer to it, which has the status 204: what is allowed, or nothing of
        the kind where the origin, the method or one of the fields is not."""
        lines: list[Pair] = [(b"vary", _VARY_PRIVATE if self._private else _VARY_PREFLIGHT)]
        origin, method = head.get(b"origin"), head.get(_METHOD) or b""
        if origin is None or not self._allows(origin) or not self._takes(method):
            return lines
        names = _asked(head.get(_HEADERS))
        if names is None or not self._may_send(names):
            return lines
        lines.append((b"access-control-allow-origin", b"*" if self._any else origin))
        if self._credentials:
            lines.append((b"access-control-allow-credentials", b"true"))
        lines += self._methods_and_headers(method, names)
        lines.append((b"access-control-max-age", self._max_age))
        if self._private and head.get(_PRIVATE) == b"true":
            lines.append((b"access-control-allow-private-network", b"true"))
        return lines

    def _methods_and_headers(self, method: bytes, names: Sequence[bytes]) -> list[Pair]:
        """With credentials "*" is a name like others (§3.3.5), so that what was asked is said."""
        lines: list[Pair] = []
        literal = self._credentials
        methods = method if literal and self._any_method else self._allow_methods
        if methods:
            lines.append((b"access-control-allow-methods", methods))
        headers = b", ".join(names) if literal and self._any_header else self._allow_headers
        if headers and names:
            lines.append((b"access-control-allow-headers", headers))
        return lines

    def _readable(self, origin: bytes) -> list[Pair]:
        """What lets pages of that origin read an answer."""
        lines: list[Pair] = [(b"access-control-allow-origin", origin)]
        if self._credentials:
            lines.append((b"access-control-allow-credentials", b"true"))
        if self._expose:
            lines.append((b"access-control-expose-headers", self._expose))
        return lines

    def _allows(self, origin: bytes) -> bool:
        return self._any or origin in self._known or self._matches(origin)

    def _matches(self, origin: bytes) -> bool:
        if len(origin) > LONGEST or SERIALISED.fullmatch(origin) is None:
            return False
        if origin in self._exact:
            return True
        if origin == b"null":
            return False  # sandboxed pages of anybody: only where it is listed
        pattern = self._pattern
        return pattern is not None and pattern.fullmatch(origin.decode("ascii")) is not None

    def _takes(self, method: bytes) -> bool:
        """Methods are case-sensitive (RFC 9110 §9.1): fetch("…", {method: "patch"}) is no PATCH."""
        if method in SAFE_METHODS or method in self._methods:
            return True
        return self._any_method and _TOKEN.fullmatch(method) is not None

    def _may_send(self, names: Sequence[bytes]) -> bool:
        allowed = self._headers
        if self._any_header:
            return _NOT_COVERED in allowed or _NOT_COVERED not in names
        return all(name in allowed for name in names)


def _asked(value: bytes | None) -> list[bytes] | None:
    """The names of fields that the page wants to send, in lower case; None = that is no list."""
    if value is None:
        return []
    if len(value) > _LONGEST_ASKED:
        return None
    names = [name.strip(b" \t").lower() for name in value.split(b",")]
    names = [name for name in names if name]  # RFC 9110 §5.6.1.2
    return names if all(map(_TOKEN.fullmatch, names)) else None


def _either(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None


def _set(names: Sequence[str]) -> tuple[frozenset[bytes], bool]:
    """Those names, and whether "*" is among them."""
    return frozenset(name.encode("ascii", "replace") for name in names), "*" in names


def _listed(names: Sequence[str]) -> bytes:
    return ", ".join(names).encode("ascii", "replace")
