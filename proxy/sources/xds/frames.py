"""What the hub and the process that talks xDS tell each other, as frames of `proxy/frames.py`.

A state goes in parts, so that neither end is held for long by one of ten thousand upstreams; the
part GIVEN completes it. Only upstreams that differ from those of the state before are sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

START = 1  # hub: Settings
SETTLED = 2  # hub: reasons; items = number of the state
UPSTREAMS = 3  # process: tables by name, None = gone
ROUTES = 4  # process: more routes of the coming state
GIVEN = 5  # process: Rest; items = number of the state
SERVERS = 6  # process: servers by upstream
FAILED = 7  # process: why the server cannot be asked now
REFUSED = 8  # process: what was refused of a response
VERSIONS = 9  # process: those in force by kind, and that the server can be asked
PLACES = 10  # process: more places of the coming state

PART = 500  # tables in one frame


class Settings(msgspec.Struct, frozen=True):
    """What the process goes by."""

    server: str
    mode: str
    node: str
    cluster: str
    agent: str  # "spangate 0.1.0"
    metadata: dict[str, str] = {}
    listeners: list[str] = []
    ignore: list[str] = []
    ca: str = ""
    cert: str = ""
    key: str = ""
    server_name: str = ""


class Rest(msgspec.Struct, frozen=True):
    """What is little of a state."""

    listeners: list[dict[str, Any]]
    certificates: dict[str, tuple[bytes, bytes]]
    authorities: dict[str, bytes]
    versions: dict[str, str]
    left_out: list[str] = []
    kept: list[str] = []


encode = msgspec.msgpack.encode
GONE = encode(None)
decode = msgspec.msgpack.decode


def in_parts(tables: dict[str, Any] | list[Any]) -> Iterator[Any]:
    """The same in pieces of PART."""
    if isinstance(tables, list):
        for start in range(0, len(tables), PART):
            yield tables[start : start + PART]
        return
    names = list(tables)
    for start in range(0, len(names), PART):
        yield {name: tables[name] for name in names[start : start + PART]}
