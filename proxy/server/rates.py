"""A route's rate limits, ready for requests: by what a request is counted, and what it is told.

Where it is counted is in `limiter.py`. Fields: draft-ietf-httpapi-ratelimit-headers-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from ipaddress import IPv6Address
from urllib.parse import unquote_plus

from proxy.config.model import Route
from proxy.config.rate_model import RateLimit
from proxy.config.rates import cost, parse_key, parse_limit
from proxy.errors import ProxyError
from proxy.http.head import Pair, RequestHead
from proxy.server.reply import quoted

NS = 1_000_000_000

# of head, captures of the path, address of the client -> what it is counted by, None = it has none
Key = Callable[[RequestHead, Mapping[str, str], str], bytes | None]


class RateLimited(ProxyError):
    """More requests than the route lets in: 429 (RFC 6585 §4)."""

    status = 429
    reason = "http_request_denied"
    error_type = "rate_limited"
    told = True

    def __init__(self, rule: Rule, why: str = "") -> None:
        super().__init__(why or f"more requests than the rate limit {rule.title}")
        self.source = "client"  # so that it is told the limit, and not only that there is one
        self.which = f"rate limit {rule.title}" + (f": {why}" if why else "")


class Rule:
    """One limit of one route; times in ns."""

    __slots__ = (
        "_key",
        "_policy",
        "_title",
        "absent",
        "cost",
        "headers",
        "identity",
        "most",
        "route",
        "scope",
        "title",
    )

    def __init__(self, route: Route, said: RateLimit) -> None:
        count, window = parse_limit(said.limit)
        burst = said.burst or count
        self.cost = cost(count, window)
        self.most = self.cost * (burst - 1)  # what a key may owe when one more is let in
        self.scope = said.scope
        self.headers = said.headers
        self.route = route.name or route.path
        self.title = said.limit + (f" by {said.key}" if said.key else "")
        self._title = quoted(self.title)
        self._policy = b"%b;q=%d;w=%d" % (self._title, count, window)
        self._key = key_of(said.key)
        # The same text is the same limit, also after a reload and on another gateway.
        hosts = ",".join(route.host)
        said_all = (self.route, hosts, route.path, said.limit, str(burst), said.key)
        self.identity = "\0".join(said_all).encode("utf-8", "replace") + b"\0"
        self.absent = 0  # requests that had no key

    def key(self, head: RequestHead, captures: Mapping[str, str], client: str) -> bytes:
        """What the request is counted by; b"" for all that have no key."""
        if self._key is None:
            return b""
        found = self._key(head, captures, client)
        if found is None:
            self.absent += 1
            return b""
        return b"=" + found

    def told(self, owed: int, admitted: bool) -> tuple[bytes, bytes]:
        """RateLimit-Policy and RateLimit: what the key may still do, and in how many seconds
        it may do all again, or anything at all."""
        after = owed + self.cost if admitted else owed
        left = max((self.most - after) // self.cost + 1, 0) if admitted else 0
        seconds = _seconds(after if admitted else owed - self.most)
        return self._policy, b"%b;r=%d;t=%d" % (self._title, left, seconds)

    def retry_after(self, owed: int) -> int:
        """Seconds until one more is let in."""
        return max(_seconds(owed - self.most), 1)


class Rates:
    """All limits of a route, in the order of the file: the first that refuses answers."""

    __slots__ = ("rules", "shared")

    def __init__(self, route: Route) -> None:
        self.rules = [Rule(route, said) for said in route.rate]
        self.shared = any(rule.scope == "shared" for rule in self.rules)


def fields(told: list[tuple[bytes, bytes]], retry_after: int) -> list[Pair]:
    """The lines of an answer; `retry_after` 0 = it was let in."""
    lines: list[Pair] = []
    if told:
        lines.append((b"ratelimit-policy", b", ".join([policy for policy, _ in told])))
        lines.append((b"ratelimit", b", ".join([state for _, state in told])))
    if retry_after:
        lines.append((b"retry-after", b"%d" % retry_after))
    return lines


def hashed(secret: bytes, rule: Rule, key: bytes) -> int:
    """64 bits that nobody can aim at who does not know the secret."""
    made = blake2b(rule.identity, digest_size=8, key=secret)
    made.update(key)
    return int.from_bytes(made.digest(), "little")


def key_of(text: str) -> Key | None:
    """What reads the key; None = all requests of the route are one."""
    kind, name = parse_key(text)
    if not kind:
        return None
    return _READERS[kind](name)


def _header(name: str) -> Key:
    lower = name.lower().encode("ascii")
    return lambda head, captures, client: head.get(lower)


def _cookie(name: str) -> Key:
    wanted = name.encode()

    def read(head: RequestHead, captures: Mapping[str, str], client: str) -> bytes | None:
        for part in (head.get(b"cookie") or b"").split(b";"):
            key, equals, value = part.strip().partition(b"=")
            if equals and key == wanted:
                return value
        return None

    return read


def _query(name: str) -> Key:
    def read(head: RequestHead, captures: Mapping[str, str], client: str) -> bytes | None:
        for part in head.query.split("&"):
            key, _, value = part.partition("=")
            if unquote_plus(key) == name:
                return unquote_plus(value, errors="surrogateescape").encode(
                    "utf-8", "surrogateescape"
                )
        return None

    return read


def _path(name: str) -> Key:
    def read(head: RequestHead, captures: Mapping[str, str], client: str) -> bytes | None:
        value = captures.get(name)
        return None if value is None else value.encode("utf-8", "surrogateescape")

    return read


def _client(name: str) -> Key:
    def read(head: RequestHead, captures: Mapping[str, str], client: str) -> bytes | None:
        return network(client)

    return read


def network(client: str) -> bytes | None:
    """An IPv4 address; of IPv6 the /64, which is what one customer has; None = a Unix socket."""
    if not client:
        return None
    if ":" not in client:
        return client.encode("ascii", "replace")
    try:
        return IPv6Address(client.partition("%")[0].strip("[]")).packed[:8]
    except ValueError:
        return client.encode("ascii", "replace")


_READERS: dict[str, Callable[[str], Key]] = {
    "header": _header,
    "cookie": _cookie,
    "query": _query,
    "path": _path,
    "client": _client,
}


def _seconds(ns: int) -> int:
    return max(-(-ns // NS), 0)
