"""Whether a gateway that serves may be sent traffic, and what the log says of that, at each change.

`/ready` and the log go by the same words, so that who waits for the line may go by it.
"""

from __future__ import annotations

import logging
import socket

from proxy.config.loaded import Loaded
from proxy.hub.said import ready_line
from proxy.hub.sockets import Sockets

log = logging.getLogger("spangate")


def lacking(loaded: Loaded) -> str:
    """Why none should be sent although workers accept; "" = it should."""
    mesh = loaded.config.mesh
    if mesh is not None and mesh.mtls == "strict" and loaded.material.mesh is None:
        return "it has no identity yet, and mtls is strict"
    return ""


class Readiness:
    """That of one hub, which has that many workers."""

    __slots__ = ("_lacked", "_places")

    def __init__(self, sockets: Sockets, admin: socket.socket | None, workers: int) -> None:
        self._places = (sockets, admin, workers)
        self._lacked: str | None = None  # as the log has said; None = nothing yet

    def tell(self, loaded: Loaded) -> None:
        """Every worker accepts, by this configuration."""
        lacks = lacking(loaded)
        if lacks == self._lacked:
            return
        self._lacked = lacks
        line = ready_line(loaded.config, *self._places, lacks)
        if lacks:
            log.warning(line, extra={"key": "gateway.not_ready"})
        else:
            log.info(line, extra={"key": "gateway.ready"})
