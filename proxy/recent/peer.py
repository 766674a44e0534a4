"""Peer: parameters and bounds that the APIs of Jaeger, Zipkin and Tempo have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from proxy.recent.model import Span
from proxy.recent.pieces import MOST_SPANS
from proxy.recent.query import Params, word
from proxy.recent.search import Summary

_ID = re.compile(r"[0-9a-fA-F]{1,32}")


def padded_id(text: str) -> bytes:
    """A trace id of up to 128 bits in hex; those of 64 bits have zeros before them."""
    if not _ID.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no trace id: up to 32 hexadecimal digits")
    return bytes.fromhex(text.zfill(32))


def unix(params: Params, name: str, unit: int, default: int) -> int:
    """A time since 1970 in that unit of ns, as ns."""
    value = word(params, name)
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 19:
        raise ValueError(f"unable to parse param {name!r}: {value[:40]!r} is no whole number")
    return int(value) * unit


def between(spans: Sequence[Span], since: int, until: int) -> bool:
    """Whether some of it was then; not of nothing."""
    return bool(spans) and spans[0].start <= until and max(s.end for s in spans) >= since


def most_spans(found: Iterable[Summary]) -> list[bytes]:
    """The ids of as many traces as fit into one answer: one at least."""
    wanted: list[bytes] = []
    spans = 0
    for summary in found:
        spans += summary.spans
        if wanted and spans > MOST_SPANS:
            break
        wanted.append(summary.trace_id)
    return wanted
