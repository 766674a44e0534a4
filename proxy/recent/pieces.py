"""Pieces: large answers as JSON, written in steps so that no loop is held by them."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import msgspec

from proxy.recent.view import Step

STEP = 250  # things between two steps: about 5 ms for spans
MOST_SPANS = 20_000  # in one answer

Bytes = Generator[Step, None, bytes]

_encode = msgspec.json.Encoder().encode


def listed(things: Iterable[Any]) -> Bytes:
    """A JSON array of them."""
    written: list[bytes] = []
    since = 0
    for thing in things:
        written.append(_encode(thing))
        since += 1
        if since >= STEP:
            since = 0
            yield
    return b"[" + b",".join(written) + b"]"


def encoded(thing: Any) -> bytes:
    """Something small."""
    return _encode(thing)


def runs(things: list[Any]) -> Iterable[list[Any]]:
    """STEP at a time."""
    return (things[at : at + STEP] for at in range(0, len(things), STEP))
