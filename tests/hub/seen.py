"""What a gateway's pages show, asked for by tests."""

from __future__ import annotations

import json
from typing import Any

from tests.hub.gateway import Gateway

TEXT = """
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
{more}
[[route]]
name = "pong"
path = "/pong/{{x}}"
respond = "pong"
[[route]]
name = "gone"
path = "/gone"
to = "http://127.0.0.1:1"
"""


def text(more: str = "") -> str:
    return TEXT.format(more=more)


def asked(hub: Gateway, path: str, **headers: str) -> tuple[int, Any]:
    """Status and JSON."""
    status, _, body = hub.ask(path, **headers)
    return status, json.loads(body)


def traces(hub: Gateway, query: str = "") -> list[dict[str, Any]]:
    """The latest first."""
    status, found = asked(hub, f"/api/traces?{query}")
    assert status == 200, found
    listed: list[dict[str, Any]] = found["traces"]
    return listed
