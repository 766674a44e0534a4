"""Long pages in slices: text that is made while it is sent, to several readers by turns.

One slice is made in a turn of the loop, whoever asks, so that four viewers of a page of 30 MB
stop the hub no longer than one. What is made waits for its reader, so that who reads nothing holds
one slice.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from time import perf_counter
from typing import Any

SLICE_BYTES = 64 * 1024  # of text; a millisecond of making and compressing
SLICE_SECONDS = 0.002

_CODINGS = {"gzip": 31, "deflate": zlib.MAX_WBITS}  # by zlib's wbits; the first one wins
_LEVEL = 1  # of 9: a third of level 6's time for a quarter more bytes, of a page of metrics


class Turns:
    """Those who send pages of one port take turns at making them."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def slices(self, pieces: Iterator[str], coding: str) -> AsyncIterator[bytes]:
        """What is to be sent, none of it empty; `coding` as of `accepted`."""
        coder = zlib.compressobj(_LEVEL, wbits=_CODINGS[coding]) if coding else None
        while slice := await self._next(pieces):
            data = coder.compress(slice) if coder is not None else slice
            if data:
                yield data
        if coder is not None:
            yield coder.flush()

    async def _next(self, pieces: Iterator[str]) -> bytes:
        async with self._turn:
            slice = take(pieces)
            await asyncio.sleep(0)  # with the turn kept: nobody makes a second one before it
        return slice


def take(pieces: Iterator[str]) -> bytes:
    """As many pieces as make a slice; b"" at the end."""
    found, size, end = [], 0, perf_counter() + SLICE_SECONDS
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size >= SLICE_BYTES or perf_counter() >= end:
            break
    return "".join(found).encode("utf-8")


def accepted(fields: list[str]) -> str:
    """The coding that Accept-Encoding allows, by our preference; "" = none (RFC 9110 §12.5.3)."""
    allowed: dict[str, bool] = {}
    for item in ",".join(fields).lower().split(","):
        name, _, weight = item.replace(" ", "").partition(";q=")
        allowed[name] = weight.strip("0.") != "" or not weight
    return next((coding for coding in _CODINGS if allowed.get(coding)), "")


def json_pieces(value: Mapping[str, Any]) -> Iterator[str]:
    """JSON with an indent of 2, as `json.dumps` writes it, made member by member.

    A member may be an iterator, which becomes an array, or a mapping that is no dict, which
    computes its values when they are asked for; their items are made one by one too.
    """
    yield from _members(value, "\n  ")
    yield "\n"


def _members(value: Mapping[str, Any], newline: str) -> Iterator[str]:
    before = "{" + newline
    for key in value:
        yield f"{before}{json.dumps(str(key))}: "
        yield from _member(value[key], newline)
        before = "," + newline
    yield newline[:-2] + "}" if before[0] == "," else "{}"


def _member(value: Any, newline: str) -> Iterator[str]:
    if isinstance(value, Iterator):
        yield from _items(value, newline + "  ")
    elif isinstance(value, Mapping) and not isinstance(value, dict):
        yield from _members(value, newline + "  ")
    else:
        yield _whole(value, newline)


def _items(values: Iterator[Any], newline: str) -> Iterator[str]:
    before = "[" + newline
    for value in values:
        yield before + _whole(value, newline)
        before = "," + newline
    yield newline[:-2] + "]" if before[0] == "," else "[]"


def _whole(value: Any, newline: str) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=True, default=str)
    return text.replace("\n", newline)  # none stands in a string of JSON
