"""How rate limits are written: "100/s", and what they count by: "header:x-api-key"."""

from __future__ import annotations

import re

_LIMIT = re.compile(r"(\d+)\s*/\s*(s|m|h|d)")
WINDOWS = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # seconds
_NS = 1_000_000_000
KINDS = ("header", "cookie", "query", "path")
MOST = 1_000_000  # a second: a nanosecond is the unit in which requests are counted

LONGEST_FILL = 100  # years: so that what a key owes, in ns, is a number of 63 bits with any clock


def parse_limit(text: str) -> tuple[int, int]:
    """(requests, seconds) of "100/s". Raises ValueError with the remedy."""
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'{text!r} is not a rate: write "100/s", "600/m", "5000/h" or "10000/d"')
    count, window = int(match[1]), WINDOWS[match[2]]
    if not count:
        raise ValueError("a rate of 0 lets nothing in: respond = 429 says that")
    if count > MOST * window:
        raise ValueError(f"more than {MOST} requests a second are not counted")
    return count, window


def parse_key(text: str) -> tuple[str, str]:
    """(kind, name) of "header:x-api-key"; ("client", "") and ("", ""), the route as a whole.
    Raises ValueError with the remedy."""
    if text in ("", "client"):
        return text, ""
    kind, colon, name = text.partition(":")
    if kind not in KINDS or not colon or not name.strip():
        raise ValueError(
            f'{text!r} is no key: write "client", "header:x-api-key", "cookie:NAME", '
            '"query:NAME", "path:NAME", or leave it out for the route as a whole'
        )
    return kind, name.strip()


def parse_redis(url: str) -> tuple[str, int, str, str, int]:
    """(host, port, user, password, database); of "unix:///path" the path and 0.
    Raises ValueError with the remedy."""
    from urllib.parse import unquote, urlsplit

    remedy = 'write "redis://host:6379", "redis://:password@host:6379/0" or "unix:///path"'
    parts = urlsplit(url)
    try:
        port = parts.port or 6379
        number = int(parts.path.strip("/") or 0) if parts.scheme == "redis" else 0
    except ValueError:
        raise ValueError(f"{remedy}; this has no valid port or database") from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "redis" and parts.hostname and number >= 0:
        return parts.hostname, port, user, password, number
    if parts.scheme == "unix" and parts.path:
        return parts.path, 0, user, password, 0
    raise ValueError(remedy)


def cost(count: int, window: int) -> int:
    """ns between two requests at the limit's pace."""
    return max(window * _NS // count, 1)


def largest_burst(count: int, window: int) -> int:
    """How many may come at once at most, so that their place is free again in `LONGEST_FILL`."""
    return LONGEST_FILL * 365 * 86400 * _NS // cost(count, window)
