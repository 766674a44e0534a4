"""The last moments of a client's connection: patience with what is unsent, and the hard end."""

from __future__ import annotations

import socket
import struct
from typing import Any

_LINGER_NS = 1_000_000_000  # reading on after the last answer, so that a reset cannot eat it
_RESET = struct.pack("ii", 1, 0)  # struct linger: on, for no time
_STALL_NS = 30_000_000_000  # waiting for a client to take any more of its answers


class Unsent:
    """What a client has not taken yet, and since when it takes nothing."""

    __slots__ = ("_bytes", "_since")

    def __init__(self) -> None:
        self._bytes = -1
        self._since = 0

    def start(self, now: int) -> None:
        """Watch from now on."""
        self._bytes = -1
        self._since = now

    def has_waited(self, unsent: int, now: int) -> bool:
        """Whether it was enough; `unsent` in bytes."""
        if unsent and unsent != self._bytes:
            self._bytes = unsent
            self._since = now  # answers are still on their way
            return False
        return now - self._since > (_STALL_NS if unsent else _LINGER_NS)


def reset(transport: Any) -> None:
    """End the connection by RST; abort() alone sends FIN."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
