"""Query: which traces are looked for, read from the parameters of a URL.

What cannot be understood is a ValueError that says what would be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

DEFAULT_LIMIT = 50
MOST = 1000
MS = 1_000_000
SECOND = 1_000_000_000
FOREVER = 1 << 63

Params = Mapping[str, Sequence[str]]  # as urllib.parse.parse_qs makes them

_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h|d))+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)")
_UNITS = {
    "ns": 1, "us": 1000, "µs": 1000, "ms": MS, "s": SECOND,
    "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86_400 * SECOND,
}  # fmt: skip
_MOST_TEXT = 1024


@dataclass(frozen=True, slots=True)
class Query:
    """What a trace must have; times in Unix ns, durations in ns. "" and 0 ask for nothing."""

    route: str = ""  # of some SERVER span its name, or of some span its template
    service: str = ""  # that recorded some span, or was called
    operation: str = ""  # the name of some span, of that service where one is named
    shortest: int = 0  # of the whole trace
    longest: int = FOREVER
    shortest_span: int = 0  # of some span
    longest_span: int = FOREVER
    error: bool | None = None  # whether some span has failed
    since: int = 0
    until: int = FOREVER
    text: str = ""  # anywhere in some span, or `key=value`, or how the trace's id begins
    tags: Mapping[str, str] = field(default_factory=dict)  # attributes, each of some span
    limit: int = DEFAULT_LIMIT


def query_of(params: Params, now: int) -> Query:
    """Of /api/traces; `now` in Unix ns."""
    known = {"route", "service", "min_ms", "max_ms", "error", "since", "until", "q", "limit"}
    if unknown := sorted(params.keys() - known):
        raise ValueError(f"unknown parameter {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return Query(
        route=word(params, "route"),
        service=word(params, "service"),
        shortest=milliseconds(params, "min_ms", 0),
        longest=milliseconds(params, "max_ms", FOREVER),
        error=truth(params, "error"),
        since=moment(params, "since", now, 0),
        until=moment(params, "until", now, FOREVER),
        text=word(params, "q"),
        limit=whole(params, "limit", DEFAULT_LIMIT, MOST),
    )


def word(params: Params, name: str, most: int = _MOST_TEXT) -> str:
    """A text of at most so many characters, "" where there is none."""
    values = params.get(name, ())
    if len(values) > 1:
        raise ValueError(f"{name} is there {len(values)} times; once is enough")
    if values and len(values[0]) > most:
        raise ValueError(f"{name} is longer than {most} characters")
    return values[0] if values else ""


def whole(params: Params, name: str, default: int, most: int) -> int:
    """A number from 1 to `most`."""
    if not (value := word(params, name)):
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise ValueError(f"{name} is {value[:40]!r}; write a whole number, 1 to {most}")
    if not 1 <= int(value) <= most:
        raise ValueError(f"{name} is {value[:40]}; it may be 1 to {most}")
    return int(value)


def truth(params: Params, name: str) -> bool | None:
    """true or false; None where nothing is said."""
    value = word(params, name).lower()
    if value not in ("", "true", "false", "1", "0"):
        raise ValueError(f"{name} is {value[:40]!r}; write true or false")
    return None if not value else value in ("true", "1")


def milliseconds(params: Params, name: str, default: int) -> int:
    """In ns: a number of ms, or a duration with its unit."""
    if not (value := word(params, name)):
        return default
    if _DURATION.fullmatch(value):
        return duration(value)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1e12:
        raise ValueError(f"{name} is {value[:40]!r}; write milliseconds, as in {name}=100")
    return int(number * MS)


def duration(value: str) -> int:
    """Such as "5m", "1m30s" or "1.5s", in ns; ValueError."""
    if not _DURATION.fullmatch(value):
        raise ValueError(f'{value[:40]!r} is no duration; write "30s", "5m" or "1h30m"')
    ns = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    if ns >= FOREVER:
        raise ValueError(f"{value[:40]!r} is too long a time")
    return round(ns)


def moment(params: Params, name: str, now: int, default: int) -> int:
    """A duration before `now`, or a time of RFC 3339, in Unix ns."""
    if not (value := word(params, name)):
        return default
    if _DURATION.fullmatch(value):
        return max(0, now - duration(value))
    try:
        time = datetime.fromisoformat(value.replace(" ", "+"))  # "+" that nobody has escaped
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        seconds = time.timestamp()
    except (ValueError, OverflowError):
        seconds = -1.0
    if seconds < 0 or len(value) < len("2026-01-01T00:00"):
        raise ValueError(
            f'{name} is {value[:40]!r}; write a duration ("5m") or a time ("2026-01-31T12:00:00Z")'
        )
    return int(seconds * 1e6) * 1000
