"""Requests that are small on the wire and large for whoever reads them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import NamedTuple

MIB = 1024 * 1024
MOST = 64 * MIB
PROTOBUF = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
JSON = {"Content-Type": "application/json", "Content-Encoding": "gzip"}


class Bomb(NamedTuple):
    """One request to the receiver of that type, with a name for tables."""

    name: str
    path: str
    headers: dict[str, str]
    body: bytes
    receiver: str = "otlp"


def bombs(most: int = MOST) -> Iterator[Bomb]:
    """One of each kind; each becomes nearly `most` bytes."""
    objects = b'{"x":[' + b"{}," * ((most - 16) // 3) + b"{}]}"
    arrays = b'{"x":' + b"[" * (most // 2) + b"]" * (most // 2 - 16) + b"}"
    yield Bomb("JSON, empty objects", "/v1/traces", JSON, gzip.compress(objects))
    yield Bomb("JSON, nested arrays", "/v1/traces", JSON, gzip.compress(arrays))
    yield Bomb("protobuf, zeros", "/v1/traces", PROTOBUF, gzip.compress(bytes(most)))
    messages = b"\x0a\x00" * (most // 2)
    yield Bomb("protobuf, empty resources", "/v1/traces", PROTOBUF, gzip.compress(messages))
