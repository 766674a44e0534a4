"""The sidecar that runs beside a command: what its admin port says of how traffic gets to it.

Asked once, before the command begins; nothing here is asked again, and nobody else is asked.
"""

from __future__ import annotations

import json
import socket
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Any

from proxy.config.syntax import is_unix, parse_address, parse_unix

PATIENCE = 10.0  # seconds for each step of an answer; a busy host may need a few
_MOST = 16 * 1024 * 1024  # bytes of an answer
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # where such a one is reached


def how_redirected(listen: str, outbound: int) -> str | None:
    """`mesh.redirect` of the running sidecar with that port `outbound`, whose `[admin] listen` is
    `listen`. None: nobody answers there, or not such a sidecar."""
    if not listen:
        return None
    try:
        said = _asked(listen)
    except (OSError, HTTPException, ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("mesh") is not True:
        return None
    how, address = said.get("redirect"), said.get("outbound")
    if not isinstance(how, str) or not isinstance(address, str):
        return None  # an older one
    return how if address.endswith(f":{outbound}") else None


def _asked(listen: str) -> Any:
    with closing(_connection(listen)) as connection:
        connection.request("GET", "/mesh", headers={"Accept": "application/json"})
        response = connection.getresponse()
        return json.loads(response.read(_MOST)) if response.status == 200 else None


def _connection(listen: str) -> HTTPConnection:
    if not is_unix(listen):
        host, port = parse_address(listen)
        return HTTPConnection(_EVERYWHERE.get(host, host), port, timeout=PATIENCE)
    connection = HTTPConnection("localhost", timeout=PATIENCE)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(PATIENCE)
    try:
        connection.sock.connect(parse_unix(listen))
    except OSError:
        connection.close()
        raise
    return connection
