"""What a discovery file holds: JSON, a list of servers' URLs, or the servers with their weights.

    ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]
    {"servers": {"http://10.0.0.1:8000": 90, "http://10.0.0.2:8000": 10}}

No proper beginning of such a file is one itself, so that one which is half written is never taken
for a whole one.
"""

from __future__ import annotations

import json
from typing import Any

from proxy.config.syntax import Server, parse_server

MOST = 10_000  # servers
HEAVIEST = 1_000_000  # weight
LARGEST = 4 * 1024 * 1024  # bytes of a file
EXAMPLE = '["http://10.0.0.1:8000"] or {"servers": {"http://10.0.0.1:8000": 90}}'


def parse_servers(data: bytes) -> dict[str, int]:
    """The servers by URL with their weights, in the file's order; an empty list means none.
    ValueError, in one line, for anything else."""
    if len(data) > LARGEST:
        raise ValueError(f"over {LARGEST // 1024**2} MiB are no list of servers")
    if not data.strip():
        raise ValueError(f"it is empty, which [] would say: write {EXAMPLE}")
    try:
        told = json.loads(data, object_pairs_hook=_object, parse_constant=_constant)
    except _Twice:
        raise
    except (json.JSONDecodeError, UnicodeError) as error:
        raise ValueError(f"it is not JSON, or half written: {_line(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it cannot be read: {_line(error)}") from None
    return _checked(_weights(told))


class _Twice(ValueError):
    """A key that an object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Twice(f"{twice!r} is in it twice: leave one of them out")
    return made


def _constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _weights(told: object) -> dict[str, int]:
    if isinstance(told, list):
        for url in told:
            if not isinstance(url, str):
                raise ValueError(f"{_short(url)} in its list is no URL: write {EXAMPLE}")
        weights = dict.fromkeys(told, 1)
        if len(weights) != len(told):
            twice = next(url for url in told if told.count(url) > 1)
            raise ValueError(f"{twice!r} is in it twice: give weights for a greater share")
        return weights
    servers = told.get("servers") if isinstance(told, dict) and len(told) == 1 else None
    if isinstance(servers, list):
        return _weights(servers)
    if not isinstance(servers, dict):
        raise ValueError(f"it is neither a list of URLs nor servers by weight: write {EXAMPLE}")
    return servers


def _checked(weights: dict[str, int]) -> dict[str, int]:
    if len(weights) > MOST:
        raise ValueError(f"it has {len(weights)} servers, and {MOST} are the most")
    known: dict[Server, str] = {}
    for url, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int) or not 0 < weight <= HEAVIEST:
            remedy = f"write a whole number from 1 to {HEAVIEST}, or leave the server out"
            raise ValueError(f"the weight of {url!r} is {_short(weight)}: {remedy}")
        other = known.setdefault(parse_server(url), url)
        if other != url:
            raise ValueError(f"{url!r} is the same server as {other!r}: leave one of them out")
    return weights


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
